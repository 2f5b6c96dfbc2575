# SPDX-License-Identifier: Apache-2.0
"""STAR memory: spatial, temporal, abstract and retrieved memory of one stream, of fixed size."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from flash_vstream_ros.core.abstract_memory import AbstractMemory, SemanticAttention
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.cuda_graphs import CapturedCall
from flash_vstream_ros.core.feature_buffer import FeatureBuffer
from flash_vstream_ros.core.memory_file import MemoryFileError, read_memory_file, write_memory_file
from flash_vstream_ros.core.memory_state import state_fault
from flash_vstream_ros.core.snapshot import FLOAT16_MAX, MemorySnapshot, fits_float16
from flash_vstream_ros.core.temporal_memory import TemporalMemory

_WRITE = 'the write of a memory'


class StarMemory(nn.Module):
    """The memory of Flash-VStream (arXiv 2406.08085, section 3.2): fixed size, endless stream.

    Time and bytes of a write and a read do not depend on how many frames were ever written. All
    arithmetic is float32. A write synchronises nothing with the host; on a GPU it is one fixed
    series of kernels, which may be captured as a CUDA graph at the first one.

    :param geometry: the sizes.
    :param attention: the checkpoint's semantic attention, float32 on ``device``; not copied.
    :param encoder_id: fingerprint of encoder weights and geometry, copied into every snapshot.
    :param device: where the state lives.

    Where ``captures`` is set, writes on a GPU are captured.
    """

    captures = False

    def __init__(
        self,
        geometry: MemoryGeometry,
        attention: SemanticAttention,
        encoder_id: str = '',
        device: torch.device | str = 'cpu',
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self._captured = CapturedCall[None](_WRITE)
        self.encoder_id = encoder_id
        self._attention = (attention,)  # in a tuple: weights are no state of the memory
        g, width = geometry, geometry.feature_width
        coarse_width = g.temporal_side**2 * width
        self.temporal = TemporalMemory(
            g.temporal_slots, coarse_width, device, g.temporal_half_life
        )
        self.abstract = AbstractMemory(g.abstract_slots, width, g.update_ratio, device)
        detail_shape = (g.detail_side**2, width)
        self.buffer = FeatureBuffer(g.buffer_frames, detail_shape, coarse_width, device)
        # Frames written, first and newest stamp, stamp of the newest refused frame (0: none). On
        # the device, because only the device knows whether a frame was refused.
        for name in ('frames', 'oldest_ns', 'newest_ns', 'refused_ns'):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64, device=device))
        map_shape = (g.feature_side, g.feature_side, width)
        self.register_buffer('_feature', torch.zeros(map_shape, device=device), persistent=False)
        self.register_buffer('_stamp_ns', torch.zeros_like(self.frames), persistent=False)
        self._begin_stream()

    def reset(self) -> None:
        """Forget everything and begin a new stream under a new ``memory_id``."""
        for value in self.buffers():
            value.zero_()
        self.temporal.reset()
        self._begin_stream()

    def _begin_stream(self) -> None:
        self.memory_id = secrets.randbelow(2**64 - 1) + 1
        self.newest_stamp_ns = 0  # the newest stamp offered, known without asking the device

    def __deepcopy__(self, memo: dict) -> 'StarMemory':
        """Branch the stream: a copy goes its own way, so it has a ``memory_id`` of its own."""
        copy = StarMemory(self.geometry, self._attention[0], self.encoder_id, self.frames.device)
        copy.captures = self.captures
        copy.load_state_dict(self.state_dict())
        copy.newest_stamp_ns = self.newest_stamp_ns
        memo[id(self)] = copy
        return copy

    def _apply(self, *given: object, **options: object) -> 'StarMemory':
        """Move the state, as to another device: what was captured writes where it was."""
        self._captured = CapturedCall(_WRITE)
        return super()._apply(*given, **options)

    @property
    def frames_written(self) -> int:
        """Frames in the memory; asks the device."""
        return int(self.frames)

    @torch.no_grad()
    def write(self, feature: Tensor, stamp_ns: int) -> None:
        """Memorise one frame.

        A feature that is not finite or does not fit float16 has no effect. It is refused at once
        on the CPU; on a GPU, where finding out would mean waiting for it, at the next read.

        :param feature: (P, P, D) of any floating type, on any device.
        :param stamp_ns: stamp of the frame in nanoseconds, after all stamps before.
        :raises ValueError: wrong shape or type, a stamp that does not grow, a value out of range;
            the memory is as it was.
        :raises torch.OutOfMemoryError: the device is full, in the middle of a write: the memory
            is empty afterwards, under a new ``memory_id``.
        """
        if not feature.is_floating_point() or feature.shape != self._feature.shape:
            raise ValueError(
                f'feature: expected floats of shape {tuple(self._feature.shape)}, '
                f'got {feature.dtype} of shape {tuple(feature.shape)}'
            )
        self._check_stamp(stamp_ns)
        stamp_ns = int(stamp_ns)
        if self._may_capture and self._captured.is_due():
            self._capture()
        self._feature.copy_(feature)
        if self._feature.device.type == 'cpu' and not fits_float16(self._feature):
            raise ValueError(_refusal(stamp_ns))
        self._stamp_ns.fill_(stamp_ns)
        try:
            (self._captured.replay or self._commit)()
        except Exception:
            # Parts of the memory may know the frame and others not: no read of it would be true.
            self.reset()
            raise
        self.newest_stamp_ns = stamp_ns

    def _check_stamp(self, stamp_ns: int) -> None:
        if not isinstance(stamp_ns, Integral) or not 0 < stamp_ns < 2**63:
            raise ValueError(
                f'stamp_ns: expected an integer of 1 to 2**63 - 1 nanoseconds, got {stamp_ns!r}'
            )
        if stamp_ns <= self.newest_stamp_ns:
            raise ValueError(
                f'stamp_ns: expected a stamp after the newest one, {self.newest_stamp_ns}, got '
                f'{stamp_ns}; reset the memory to begin a new stream'
            )

    @property
    def _may_capture(self) -> bool:
        return self.captures and self.frames.is_cuda

    def _capture(self) -> None:
        """Capture the commit of a frame that is refused: it leaves the memory as it was."""
        refused_ns = self.refused_ns.clone()
        self._feature.fill_(torch.nan)
        self._captured.capture(self._commit, self.frames.device)
        self.refused_ns.copy_(refused_ns)

    def _commit(self) -> None:
        """Write ``_feature`` at ``_stamp_ns``: the whole algorithm, on the device alone."""
        feature, stamp_ns, frames = self._feature, self._stamp_ns, self.frames
        accepted = fits_float16(feature)
        oldest_ns = torch.where(frames == 0, stamp_ns, self.oldest_ns)
        detail = pool(feature, self.geometry.detail_side)  # (Q * Q, D)
        detail_map = detail.unflatten(0, (self.geometry.detail_side, -1))
        coarse = pool(detail_map, self.geometry.temporal_side).flatten()  # (P * P * D,)
        whole = detail.mean(0)  # (D,)
        # 1. feature buffer, of which the newest frames are the spatial memory
        self.buffer.write(detail, coarse, stamp_ns, frames, accepted)
        # 2. temporal memory: one exact merge of weighted k-means
        self.temporal.write(coarse, stamp_ns, (stamp_ns - oldest_ns).double(), accepted)
        # 3. abstract memory: semantic attention, a block at a time
        self.abstract.write(whole, frames, accepted, self._attention[0])
        # 4. the book of it
        self.oldest_ns.copy_(torch.where(accepted, oldest_ns, self.oldest_ns))
        self.newest_ns.copy_(torch.where(accepted, stamp_ns, self.newest_ns))
        self.refused_ns.copy_(torch.where(accepted, self.refused_ns, stamp_ns))
        self.frames.add_(accepted)

    @torch.no_grad()
    def snapshot(self) -> MemorySnapshot:
        """Read the memory: an immutable copy on the memory's device, float32.

        :raises ValueError: a frame was refused on the GPU since the last read; said once, the
            memory goes on without the frame.
        """
        book = torch.stack([self.frames, self.oldest_ns, self.newest_ns, self.refused_ns])
        frames, oldest_ns, newest_ns, refused_ns = book.tolist()
        if refused_ns:
            self.refused_ns.zero_()
            raise ValueError(_refusal(refused_ns))
        return MemorySnapshot(
            encoder_id=self.encoder_id,
            memory_id=self.memory_id,
            frames_written=frames,
            oldest_stamp_ns=oldest_ns,
            newest_stamp_ns=newest_ns,
            abstract=self.abstract.read(frames, self._attention[0])[:, None],
            **self._read_temporal(frames, oldest_ns),
            **self._read_buffer('spatial', self._spatial_slots(frames)),
            **self._read_buffer('retrieved', self._retrieved_slots(frames)),
        )

    def _read_temporal(self, frames: int, oldest_ns: int) -> dict[str, Tensor | np.ndarray]:
        temporal, g = self.temporal, self.geometry
        order = temporal.order(min(frames, g.temporal_slots))
        offsets = temporal.mean_offset_ns[order].round().long()
        maps = temporal.centroids[order]
        return {
            'temporal': maps.view(len(order), g.temporal_side**2, g.feature_width),
            'temporal_weights': temporal.weights[order].cpu().numpy(),
            'temporal_first_stamps_ns': temporal.first_ns[order].cpu().numpy(),
            'temporal_last_stamps_ns': temporal.last_ns[order].cpu().numpy(),
            'temporal_mean_stamps_ns': (offsets + oldest_ns).cpu().numpy(),
        }

    def _spatial_slots(self, frames: int) -> Tensor:
        return self.buffer.newest(self.geometry.spatial_slots, frames)

    def _retrieved_slots(self, frames: int) -> Tensor:
        """Buffer slots of the frames nearest to the heaviest clusters' centroids."""
        temporal, g = self.temporal, self.geometry
        clusters = min(frames, g.temporal_slots)
        if clusters == 0:
            return self.buffer.newest(0, 0)
        # By mass; of equal masses the cluster with the newest last stamp first.
        by_age = temporal.last_ns[: g.temporal_slots].argsort(descending=True, stable=True)
        heaviest = by_age[temporal.masses[by_age].argsort(descending=True, stable=True)]
        chosen = heaviest[: min(g.retrieved_slots, clusters)]
        return self.buffer.nearest(temporal.centroids[chosen], frames)

    def _read_buffer(self, part: str, slots: Tensor) -> dict[str, Tensor | np.ndarray]:
        stamps_ns = self.buffer.stamps_ns[slots].cpu().numpy()
        return {part: self.buffer.detail[slots], f'{part}_stamps_ns': stamps_ns}

    def save(
        self,
        path: str | os.PathLike,
        notes: Mapping[str, str] | None = None,
        attached: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write the memory to a file: all of it or nothing, also on a full disk.

        :param notes: what is said beside it; see
            :func:`~flash_vstream_ros.core.memory_file.read_notes`.
        :param attached: tensors saved with it; see
            :func:`~flash_vstream_ros.core.memory_file.read_attached`.
        :raises OSError: the file cannot be written; what was there before is unharmed.
        """
        about = {'encoder_id': self.encoder_id, 'geometry': json.dumps(asdict(self.geometry))}
        write_memory_file(Path(path), self.state_dict(), about, notes, attached)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        geometry: MemoryGeometry,
        attention: SemanticAttention,
        encoder_id: str = '',
        device: torch.device | str = 'cpu',
    ) -> 'StarMemory':
        """Read a saved memory, which goes on as if never stopped, under a new ``memory_id``.

        :raises OSError: the file cannot be read.
        :raises MemoryFileError: no memory file, a damaged one, one of another version, or one of
            another encoder or geometry; both are named.
        """
        memory = cls(geometry, attention, encoder_id, device)
        about = {'encoder_id': encoder_id, 'geometry': json.dumps(asdict(geometry))}
        expected = memory.state_dict()
        state = read_memory_file(Path(path), expected, about)
        fault = state_fault(state, geometry)
        if fault:
            raise MemoryFileError(f'{path}: damaged: {fault}')
        memory.load_state_dict(state)
        memory.newest_stamp_ns = int(memory.newest_ns)
        return memory


def pool(feature: Tensor, side: int) -> Tensor:
    """Average a map down to ``side`` x ``side`` patches.

    :param feature: (..., P, P, D); ``side`` divides P.
    :returns: (..., side * side, D), row by row.
    """
    *batch, height, width, depth = feature.shape
    # (B, P, P, D) -> (B, D, P, P), in memory still D last: channels_last, the quick way to pool
    images = feature.reshape(-1, height, width, depth).permute(0, 3, 1, 2)
    pooled = functional.avg_pool2d(images, height // side)
    return pooled.permute(0, 2, 3, 1).reshape(*batch, side * side, depth)


def _refusal(stamp_ns: int) -> str:
    return (
        f'feature of the frame stamped {stamp_ns}: expected finite values within float16 '
        f'(+-{FLOAT16_MAX:.0f}), got NaN, infinity or larger; the frame was left out'
    )
