# SPDX-License-Identifier: Apache-2.0
"""Baselines that hand the language model frames of the stream instead of a STAR memory.

Each has the token budget of the STAR memory it is compared with, and comes as near to it as whole
frames allow. They are for comparison: some keep a map of every frame, which a robot could not.
"""

import secrets
from collections import deque
from math import isqrt
from numbers import Integral
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.snapshot import fits_float16
from flash_vstream_ros.evaluation.input_snapshot import InputSnapshot


class InputSource(Protocol):
    """What an input is made for. A ``FlashVStream`` is one."""

    geometry: MemoryGeometry
    attention: SemanticAttention
    encoder_id: str
    device: torch.device


class FrameInput:
    """What all of these baselines have in common; they keep and show frames in ways of their own.

    :param name: of the input.
    """

    def __init__(self, name: str, source: InputSource) -> None:
        self.name = name
        self.geometry = source.geometry
        self._encoder_id = source.encoder_id
        self._device = torch.device(source.device)
        self._memory_id = secrets.randbelow(2**64 - 1) + 1
        self._frames = 0
        self._newest_ns = 0

    @torch.no_grad()
    def write(self, feature: Tensor, stamp_ns: int) -> None:
        """Take the next frame of the stream.

        :param feature: (P, P, D) of any floating type.
        :param stamp_ns: nanoseconds, after all stamps before.
        :raises ValueError: as ``StarMemory.write``; the frame has no effect.
        """
        g = self.geometry
        shape = (g.feature_side, g.feature_side, g.feature_width)
        if feature.shape != shape or not feature.is_floating_point():
            raise ValueError(
                f'feature: expected floats of shape {shape}, got {feature.dtype} of shape '
                f'{tuple(feature.shape)}'
            )
        if not isinstance(stamp_ns, Integral) or stamp_ns <= self._newest_ns:
            raise ValueError(
                f'stamp_ns: expected an integer after {self._newest_ns}, got {stamp_ns!r}'
            )
        if not fits_float16(feature):
            raise ValueError(f'feature of the frame stamped {stamp_ns}: not within float16')
        self._keep(feature.to(self._device, torch.float32))
        self._frames += 1
        self._newest_ns = int(stamp_ns)

    @torch.no_grad()
    def read(self) -> InputSnapshot:
        """Show what the language model reads of the stream so far."""
        tokens = self._show() if self._frames else self._nothing()
        return InputSnapshot(
            self.name,
            self._encoder_id,
            self._memory_id,
            self._frames,
            self._newest_ns,
            {'frames': tokens},
        )

    def _keep(self, feature: Tensor) -> None:
        """Keep of a frame what may be shown later; (P, P, D) float32."""
        raise NotImplementedError

    def _show(self) -> Tensor:
        """Tokens of the stream so far, at least one frame of it, (N, D)."""
        raise NotImplementedError

    def _nothing(self) -> Tensor:
        return torch.zeros(0, self.geometry.feature_width, device=self._device)


class QuestionOnly(FrameInput):
    """Nothing of the stream: what the words of a question alone give away."""

    description = 'nothing, 0 tokens'

    def _keep(self, feature: Tensor) -> None:
        """A frame leaves no trace."""

    def _show(self) -> Tensor:
        return self._nothing()


class NewestFrames(FrameInput):
    """The newest frames, oldest first, at the finest resolution that the budget allows.

    :param count: how many.
    """

    def __init__(self, name: str, source: InputSource, count: int) -> None:
        super().__init__(name, source)
        self.side = finest_side(self.geometry, count)
        self._maps: deque[Tensor] = deque(maxlen=count)
        self.description = f'newest {_frames(count, self.side)}'

    def _keep(self, feature: Tensor) -> None:
        self._maps.append(pool_to(feature, self.side))

    def _show(self) -> Tensor:
        return torch.cat(list(self._maps))  # frames * (side * side, D) -> (N, D)


class EvenFrames(FrameInput):
    """Frames spaced evenly over the stream so far, the first and the newest among them.

    At the resolution of the temporal memory, as many as the budget holds.
    """

    def __init__(self, name: str, source: InputSource) -> None:
        super().__init__(name, source)
        self.side = self.geometry.temporal_side
        self.count = max(self.geometry.tokens // self.side**2, 1)
        self._maps = _GrowingMaps((self.side**2, self.geometry.feature_width), self._device)
        self.description = f'evenly spaced {_frames(self.count, self.side)}'

    def _keep(self, feature: Tensor) -> None:
        self._maps.append(pool_to(feature, self.side))

    def _show(self) -> Tensor:
        maps = self._maps.all()  # (T, side * side, D)
        if len(maps) > self.count:
            last = len(maps) - 1
            maps = maps[torch.linspace(0, last, self.count, dtype=torch.float64).round().long()]
        return maps.flatten(0, 1)


class AveragedStretches(EvenFrames):
    """Average pooling over time: the stream in stretches of equal length, each averaged."""

    def __init__(self, name: str, source: InputSource) -> None:
        super().__init__(name, source)
        self.description = f'averages of equal stretches as {_frames(self.count, self.side)}'

    def _show(self) -> Tensor:
        maps = self._maps.all()  # (T, side * side, D)
        stretches = maps.tensor_split(min(self.count, len(maps)))
        return torch.stack([stretch.mean(0) for stretch in stretches]).flatten(0, 1)


class _GrowingMaps:
    """All maps of a stream in one tensor that doubles as it fills.

    :param shape: (side * side, D) of a map.
    """

    def __init__(self, shape: tuple[int, int], device: torch.device) -> None:
        self._maps = torch.empty(64, *shape, device=device)
        self._count = 0

    def append(self, new: Tensor) -> None:
        """Add a map."""
        if self._count == len(self._maps):
            self._maps = torch.cat([self._maps, torch.empty_like(self._maps)])
        self._maps[self._count] = new
        self._count += 1

    def all(self) -> Tensor:
        """All maps, (T, side * side, D); a view."""
        return self._maps[: self._count]


def finest_side(geometry: MemoryGeometry, count: int) -> int:
    """The largest side at which so many whole frames fit the budget; the map's own at most."""
    return max(min(isqrt(geometry.tokens // count), geometry.feature_side), 1)


def pool_to(feature: Tensor, side: int) -> Tensor:
    """Average a map down to any smaller side.

    :param feature: (P, P, D).
    :param side: 1 to P; where it does not divide P, the averaged fields overlap.
    :returns: (side * side, D), row by row.
    """
    # (P, P, D) -> (D, P, P) -> (D, side, side) -> (side * side, D)
    return functional.adaptive_avg_pool2d(feature.permute(2, 0, 1), side).flatten(1).T


def _frames(count: int, side: int) -> str:
    noun = 'frame' if count == 1 else 'frames'
    return f'{count} {noun} of {side}x{side}, {count * side**2} tokens'
