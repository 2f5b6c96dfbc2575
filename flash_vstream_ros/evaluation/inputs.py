# SPDX-License-Identifier: Apache-2.0
"""What the language model reads of a stream: the STAR memory, and what it is compared with.

    star = make_input('star', vstream)
    for feature, stamp_ns in stream:
        star.write(feature, stamp_ns)
    print(vstream.answer(star.read().to_float16(), 'What is on the table?').text)

All inputs have the same token budget, that of the full STAR memory, and can be fed side by side in
one pass over a stream.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.snapshot import PARTS
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.core.temporal_memory import TemporalMemory
from flash_vstream_ros.evaluation.exemplars import ExemplarStore
from flash_vstream_ros.evaluation.frame_inputs import (
    AveragedStretches,
    EvenFrames,
    InputSource,
    NewestFrames,
    QuestionOnly,
)
from flash_vstream_ros.evaluation.input_snapshot import InputSnapshot
from flash_vstream_ros.evaluation.temporal_baselines import (
    AlgorithmOneMemory,
    NeighbourMemory,
)

HALF_LIFE = 200  # frames, of the input ``fading``


class StreamInput(Protocol):
    """One stream, as one input shows it to the language model."""

    name: str
    description: str  # what it shows, for a table
    geometry: MemoryGeometry

    def write(self, feature: Tensor, stamp_ns: int) -> None:
        """Take the next frame, (P, P, D) floats, stamped after all before."""

    def read(self) -> InputSnapshot:
        """Show what the language model reads of the stream so far, float32."""


@dataclass(frozen=True)
class Source:
    """What an input is made for, where there is no whole ``FlashVStream``."""

    geometry: MemoryGeometry
    attention: SemanticAttention
    encoder_id: str = ''
    device: torch.device | str = 'cpu'


class StarInput:
    """The STAR memory, or one with a part exchanged or left out.

    :param without: the part that is left out, one of abstract, temporal, retrieved, spatial.
    :param temporal: another temporal memory to put in its place, made of (slots, width, device).
    :param fades: it is made with the checkpoint's ``half_life`` as well.
    :param exemplars: retrieve from one kept frame per cluster instead of the feature buffer.
    """

    def __init__(
        self,
        name: str,
        source: InputSource,
        *,
        without: str | None = None,
        temporal: Callable[..., TemporalMemory] | None = None,
        fades: bool = False,
        exemplars: bool = False,
        description: str = 'the STAR memory',
    ) -> None:
        self.name = name
        self.geometry = source.geometry
        self.description = f'{description}, {_tokens_without(source.geometry, without)} tokens'
        self.memory = StarMemory(
            source.geometry, source.attention, source.encoder_id, source.device
        )
        self._without = without
        if temporal is not None:
            width = self.memory.temporal.centroids.shape[1]
            half_life = {'half_life': source.geometry.temporal_half_life} if fades else {}
            self.memory.temporal = temporal(
                source.geometry.temporal_slots, width, source.device, **half_life
            )
        self._exemplars = ExemplarStore(self.memory) if exemplars else None

    def write(self, feature: Tensor, stamp_ns: int) -> None:
        """Memorise a frame; see :meth:`StarMemory.write`."""
        self.memory.write(feature, stamp_ns)
        if self._exemplars is not None:
            self._exemplars.write(feature, stamp_ns)

    @torch.no_grad()
    def read(self) -> InputSnapshot:
        """Show the memory."""
        snapshot = InputSnapshot.of_memory(self.name, self.memory.snapshot())
        parts = dict(snapshot.parts)
        if self._exemplars is not None:
            parts['retrieved'] = self._exemplars.heaviest().flatten(0, 1)
        if self._without is not None:
            del parts[self._without]
        return replace(snapshot, parts=parts)


def _tokens_without(geometry: MemoryGeometry, part: str | None) -> int:
    g = geometry
    tokens = {
        'abstract': g.abstract_slots,
        'temporal': g.temporal_slots * g.temporal_side**2,
        'retrieved': min(g.retrieved_slots, g.temporal_slots) * g.detail_side**2,
        'spatial': g.spatial_slots * g.detail_side**2,
    }
    return g.tokens - tokens.get(part, 0)


def _star(description: str, **changes: object) -> Callable[..., StreamInput]:
    return partial(StarInput, description=description, **changes)


_MAKERS: dict[str, Callable[[str, InputSource], StreamInput]] = {
    'star': _star('the STAR memory'),
    'question_only': QuestionOnly,
    'last_frame': partial(NewestFrames, count=1),
    'newest_4': partial(NewestFrames, count=4),
    'newest_10': partial(NewestFrames, count=10),
    'uniform': EvenFrames,
    'average_pool': AveragedStretches,
    'algorithm_1': _star(
        "STAR with the paper's Algorithm 1 as temporal memory", temporal=AlgorithmOneMemory
    ),
    'neighbours': _star(
        'STAR whose temporal memory merges neighbours in time only',
        temporal=NeighbourMemory,
        fades=True,
    ),
    'exact': _star('STAR whose temporal memory weighs all frames alike', temporal=TemporalMemory),
    'fading': _star(
        f'STAR whose temporal memory halves weights every {HALF_LIFE} frames',
        temporal=partial(TemporalMemory, half_life=HALF_LIFE),
    ),
    **{f'no_{part}': _star(f'STAR without {part} memory', without=part) for part in PARTS},
    'exemplars': _star('STAR that retrieves one kept frame per cluster', exemplars=True),
}
INPUTS = tuple(_MAKERS)


def make_input(name: str, source: InputSource, feature_side: int | None = None) -> StreamInput:
    """Make an input for one stream.

    :param name: one of :data:`INPUTS`.
    :param source: a ``FlashVStream``, or a :class:`Source`.
    :param feature_side: P of the features that will come, where it is not the encoder's own:
        stored features may be pooled already.
    :raises ValueError: there is no such input, or features of that side do not fit the memory.
    """
    if name not in _MAKERS:
        raise ValueError(f'input: expected one of {", ".join(INPUTS)}, got {name!r}')
    side = source.geometry.feature_side if feature_side is None else feature_side
    geometry = replace(source.geometry, feature_side=side)
    made = Source(geometry, source.attention, source.encoder_id, source.device)
    return _MAKERS[name](name, made)
