# SPDX-License-Identifier: Apache-2.0
"""Small pictures of memorised frames, so that a person can see what a memory holds."""

from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from flash_vstream_ros.core.snapshot import MemorySnapshot

WIDTH_PX = 400
JPEG_QUALITY = 90


class ThumbnailStore:
    """Thumbnails by stamp, of a bounded number however long the stream: 10 MB by default.

    What always stays: the newest frames, as many as the memory's feature buffer holds, because the
    retrieved frames come from there; and of each cluster the key frame. Clusters merge but never
    split, so each one keeps a key frame for ever. When the store is full, half of the older frames
    go, first those that lie closest between their neighbours in time, so that the ones that stay
    cover the past evenly.

    :param newest: the newest frames that always stay.
    :param older: frames besides, at most; at least four times the clusters.
    """

    def __init__(self, newest: int = 300, older: int = 212) -> None:
        if newest < 1 or older < 2:
            raise ValueError(f'expected newest >= 1 and older >= 2, got {newest} and {older}')
        self._newest = newest
        self._older = older
        self.clear()

    def clear(self) -> None:
        """Forget all: the memory has begun a new stream."""
        self._stamps_ns: list[int] = []
        self._jpegs: list[np.ndarray] = []
        self._features: list[np.ndarray] = []  # (D,) float32, of the whole frame

    def __len__(self) -> int:
        return len(self._stamps_ns)

    def add(
        self,
        stamp_ns: int,
        frame: np.ndarray,
        feature: 'Tensor',
        read_memory: 'Callable[[], MemorySnapshot]',
    ) -> None:
        """Keep a thumbnail of a memorised frame.

        :param stamp_ns: after all stamps before.
        :param frame: (H, W, 3) uint8 RGB.
        :param feature: (..., D), its feature map, pooled or not.
        :param read_memory: gives the newest snapshot; only called when it is time to thin out.
        :raises ValueError: the stamp does not grow.
        """
        if self._stamps_ns and stamp_ns <= self._stamps_ns[-1]:
            raise ValueError(
                f'stamp_ns: expected a stamp after {self._stamps_ns[-1]}, got {stamp_ns}; '
                f'clear() begins a new stream'
            )
        if len(self) == self._newest + self._older:
            self._thin_out(read_memory())
        self._stamps_ns.append(stamp_ns)
        self._jpegs.append(_encode(frame))
        self._features.append(_whole(feature.flatten(0, -2)))

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """The thumbnail of just this frame, (h, w, 3) uint8 RGB, or None."""
        index = bisect_left(self._stamps_ns, stamp_ns)
        if index == len(self) or self._stamps_ns[index] != stamp_ns:
            return None
        return _decode(self._jpegs[index])

    def key_frames(self, snapshot: 'MemorySnapshot') -> list[np.ndarray | None]:
        """The key frame of each temporal cluster: of the frames of its time the one most like it.

        :returns: (h, w, 3) uint8 RGB each; None where no frame of a cluster's time is kept.
        """
        indices = self._key_indices(snapshot)
        return [None if index is None else _decode(self._jpegs[index]) for index in indices]

    def _key_indices(self, snapshot: 'MemorySnapshot') -> list[int | None]:
        firsts = snapshot.temporal_first_stamps_ns.tolist()
        lasts = snapshot.temporal_last_stamps_ns.tolist()
        indices: list[int | None] = []
        for centroid, first_ns, last_ns in zip(snapshot.temporal, firsts, lasts, strict=True):
            start = bisect_left(self._stamps_ns, first_ns)
            end = bisect_left(self._stamps_ns, last_ns + 1)
            # A centroid is a mean of maps, so its mean over the patches is that of whole frames.
            features = np.array(self._features[start:end])
            distances = np.square(features - _whole(centroid)).sum(-1) if end > start else None
            indices.append(None if distances is None else start + int(distances.argmin()))
        return indices

    def _thin_out(self, snapshot: 'MemorySnapshot') -> None:
        kept = list(range(len(self)))
        stays = list(range(len(self) - self._newest, len(self)))
        stays += [index for index in self._key_indices(snapshot) if index is not None]
        stamps_ns = np.array(self._stamps_ns)
        while len(kept) > self._newest + self._older // 2:
            times_ns = stamps_ns[kept]
            gaps_ns = np.full(len(kept), np.inf)
            gaps_ns[1:-1] = times_ns[2:] - times_ns[:-2]
            gaps_ns[np.isin(kept, stays)] = np.inf
            # Where all are to stay, the oldest goes.
            del kept[int(gaps_ns.argmin())]
        self._stamps_ns = [self._stamps_ns[i] for i in kept]
        self._jpegs = [self._jpegs[i] for i in kept]
        self._features = [self._features[i] for i in kept]


def _whole(patches: 'Tensor') -> np.ndarray:
    """(N, D) of any type, anywhere -> (D,) float32, the mean over the patches."""
    return patches.float().mean(0).cpu().numpy()


def _encode(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    if width > WIDTH_PX:
        size = (WIDTH_PX, max(round(height * WIDTH_PX / width), 1))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    return cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]


def _decode(jpeg: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
