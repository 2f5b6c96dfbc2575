# SPDX-License-Identifier: Apache-2.0
"""STAR memory in the training loop: features of a stream -> what the language model reads.

Temporal, retrieved and spatial memory hold no weights: the streaming memory itself computes them,
once a stream, at all moments asked about, and a cache on disk keeps them. Abstract memory is
computed anew each time, with gradients to semantic attention, by the function that streams.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil, inf, log, log1p
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.star_memory import pool
from flash_vstream_ros.data.features import FeatureFile, write_tensor_file
from flash_vstream_ros.evaluation.inputs import INPUTS, Source, make_input

logger = logging.getLogger(__name__)

CACHE_VERSION = 2
# Up to so many frames computing costs no more than reading: an image is not cached.
_CACHED_FROM = 16
_FRAMES_AT_ONCE = 256  # read of a file of features
_NOTHING = 1e-9  # of a memory


@dataclass(frozen=True)
class MemoryTokens:
    """What the language model reads of a stream at one moment, but for the trained weights.

    :param pooled: (T, D) float32, one a frame, from which abstract memory is computed; (0, D)
        where the input has none.
    :param fixed: (N, D) float16, the tokens that follow it.
    :param abstract_tokens: tokens of abstract memory.
    """

    pooled: Tensor
    fixed: Tensor
    abstract_tokens: int

    @property
    def count(self) -> int:
        """Tokens in all."""
        return self.abstract_tokens + len(self.fixed)


class MemoryLoop:
    """Computes memories of feature files, and keeps them.

    :param geometry: of the checkpoint.
    :param memory_input: one of :data:`~flash_vstream_ros.evaluation.inputs.INPUTS`.
    :param cache: folder to keep them in; None: they are computed again each time.
    :raises ValueError: there is no such input.
    """

    def __init__(self, geometry: MemoryGeometry, memory_input: str, cache: Path | None) -> None:
        if memory_input not in INPUTS:
            raise ValueError(f'memory_input: expected one of {list(INPUTS)}, got {memory_input!r}')
        self._geometry = geometry
        self._input = memory_input
        self._cache = cache

    def check(self, features: FeatureFile) -> None:
        """Check that a memory of this geometry can be made of a file.

        :raises ValueError: its maps are of another width or do not pool to the memory's.
        """
        geometry = self._geometry
        if features.width != geometry.feature_width:
            raise ValueError(
                f'{features.path}: features of width {features.width}, but the checkpoint has a '
                f'geometry of width {geometry.feature_width}'
            )
        if features.side % geometry.detail_side or features.side > geometry.feature_side:
            raise ValueError(
                f'{features.path}: maps of side {features.side}, but the checkpoint has a '
                f'geometry of side {geometry.feature_side} with details of {geometry.detail_side}'
            )

    def tokens(self, features: FeatureFile, frames: int, asked: Sequence[int]) -> MemoryTokens:
        """Return the memory after the first frames of a stream.

        :param frames: how many.
        :param asked: all numbers of frames that this stream will be asked for; sorted.
        :raises OSError: what was computed cannot be kept.
        :raises ValueError: the features are not finite, or their file has been damaged.
        """
        if self._cache is None or len(features.stamps_ns) < _CACHED_FROM:
            return _select(self._compute(features, [frames]), frames)
        path = self._cache / f'{self._key(features, asked)}.safetensors'
        if path.exists():
            try:
                with safe_open(path, 'pt') as file:
                    return _select(_Lazy(file), frames)
            except SafetensorError as error:
                logger.warning('%s: cannot be read, and is computed again: %s', path, error)
        computed = self._compute(features, asked)
        write_tensor_file(path, computed)
        return _select(computed, frames)

    def count(self, features: FeatureFile, frames: int) -> int:
        """Count the tokens after the first frames of a stream; nothing is kept.

        :raises ValueError: see :meth:`tokens`.
        """
        return _select(self._compute(features, [frames]), frames).count

    def _key(self, features: FeatureFile, asked: Sequence[int]) -> str:
        state = features.path.stat()
        geometry = asdict(self._geometry) | {'feature_side': features.side, 'update_ratio': 0}
        name = str(features.path.resolve())
        about = (CACHE_VERSION, name, state.st_size, state.st_mtime_ns, self._input, list(asked))
        text = json.dumps([about, geometry], sort_keys=True)
        return f'{features.path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:16]}'

    @torch.no_grad()
    def _compute(self, features: FeatureFile, asked: Sequence[int]) -> dict[str, Tensor]:
        """Write the stream once; ``pooled``, and for each number of frames the other tokens."""
        geometry = _without_unused_buffer(self._geometry, max(asked))
        # Semantic attention as it is now does not matter: abstract memory is not read from here.
        source = Source(geometry, SemanticAttention(geometry.feature_width))
        reader = make_input(self._input, source, features.side)
        result, has_abstract = {}, False
        pooled = torch.empty(max(asked), geometry.feature_width)
        for number, feature in enumerate(_maps(features, max(asked)), 1):
            pooled[number - 1] = pool(pool_map(feature[None], geometry), 1)[0, 0]
            try:
                reader.write(feature, int(features.stamps_ns[number - 1]))
            except ValueError as error:
                raise ValueError(f'{features.path}: frame {number}: {error}') from error
            if number in asked:
                parts = dict(reader.read().parts)
                has_abstract = parts.pop('abstract', None) is not None
                tokens = torch.cat([*parts.values(), feature.new_zeros(0, geometry.feature_width)])
                result[f'after_{number}'] = tokens.half()
        result['pooled'] = pooled if has_abstract else pooled[:0].clone()
        result['abstract_slots'] = torch.tensor(geometry.abstract_slots if has_abstract else 0)
        return result


def _maps(features: FeatureFile, end: int) -> Iterator[Tensor]:
    """Iterate over the first maps of a stream, (P, P, D) float32: some in memory at a time."""
    for begin in range(0, end, _FRAMES_AT_ONCE):
        yield from features.read(min(begin + _FRAMES_AT_ONCE, end), begin).float()


def _without_unused_buffer(geometry: MemoryGeometry, frames: int) -> MemoryGeometry:
    """The same for so many frames: an image would else cost a buffer of hundreds."""
    buffered = min(geometry.buffer_frames, frames)
    return replace(geometry, buffer_frames=max(geometry.spatial_slots, buffered))


def pool_map(maps: Tensor, geometry: MemoryGeometry) -> Tensor:
    """Pool as a memory does before it averages a whole frame: (T, P, P, D) -> (T, Q, Q, D)."""
    side = geometry.detail_side
    return pool(maps, side).unflatten(1, (side, side))


def attend_streams(
    streams: Sequence[Tensor], attention: SemanticAttention, slots: int, update_ratio: float
) -> list[Tensor]:
    """:func:`~flash_vstream_ros.core.abstract_memory.attend_video` of several videos at once.

    Blocks of all videos that are equally far go through semantic attention together. Videos of
    hours begin late: each block leaves of what was before a share of 1 - ``update_ratio``, and
    what has become less than 1e-9 of the memory is not computed.

    :param streams: (T, D) each, any T.
    :returns: (min(T, slots), D) each.
    """
    blocks = ceil(log(_NOTHING) / log1p(-update_ratio)) if 0.0 < update_ratio < 1.0 else inf
    streams = [
        stream[int(max(len(stream) // slots - 1 - blocks, 0)) * slots :] for stream in streams
    ]
    order = sorted(range(len(streams)), key=lambda i: -len(streams[i]))
    memories = [stream[:slots] for stream in streams]
    full = [i for i in order if len(streams[i]) >= slots]
    if full:
        state = torch.stack([memories[i] for i in full])  # (B, slots, D), longest first
        for begin in range(slots, len(streams[full[0]]) - slots + 1, slots):
            end = begin + slots
            going = sum(len(streams[i]) >= end for i in full)
            block = torch.stack([streams[i][begin:end] for i in full[:going]])
            updated = attention(state[:going], block, update_ratio)
            state = torch.cat([updated, state[going:]]) if going < len(full) else updated
        for i, memory in zip(full, state, strict=True):
            # Its place in memory depends on whether it was read or computed, and that of a tensor
            # decides how its sums are rounded. The blocks above are copies already.
            rest = streams[i][len(streams[i]) // slots * slots :].clone()
            memories[i] = attention(memory, rest, update_ratio) if len(rest) else memory
    return memories


def round_to_float16(tokens: Tensor) -> Tensor:
    """Round as the message does; the gradient passes as if it had not been."""
    return tokens.detach().half().to(tokens.dtype) + (tokens - tokens.detach())


class _Lazy:
    """An open safetensors file as a mapping."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getitem__(self, name: str) -> Tensor:
        return self._file.get_tensor(name)


def _select(tensors: Any, frames: int) -> MemoryTokens:
    pooled = tensors['pooled'][:frames]
    slots = int(tensors['abstract_slots'])
    return MemoryTokens(pooled, tensors[f'after_{frames}'], min(slots, frames))
