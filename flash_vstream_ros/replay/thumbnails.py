# SPDX-License-Identifier: Apache-2.0
"""Small pictures of memorised frames, so that a person can see what a memory holds."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from flash_vstream_ros.core.snapshot import MemorySnapshot

WIDTH_PX = 400
JPEG_QUALITY = 90
_STATE = {
    'stamps_ns': (np.int64, 1),
    'sizes': (np.int64, 1),
    'jpegs': (np.uint8, 1),
    'features': (np.float32, 2),
}  # types and dimensions


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

    def state(self) -> dict[str, np.ndarray]:
        """All of it, as arrays to save."""
        width = len(self._features[0]) if self._features else 0
        return {
            'stamps_ns': np.array(self._stamps_ns, np.int64),
            'sizes': np.array([len(jpeg) for jpeg in self._jpegs], np.int64),
            'jpegs': np.concatenate([np.zeros(0, np.uint8), *self._jpegs]),
            'features': np.array(self._features, np.float32).reshape(len(self), width),
        }

    def restore(self, state: Mapping[str, np.ndarray], width: int) -> None:
        """Put back what :meth:`state` gave, from a file that may hold anything.

        :param width: D of the features.
        :raises ValueError: it is not what a store of this size gives.
        """
        for name, (dtype, ndim) in _STATE.items():
            array = state.get(name)
            if array is None or array.dtype != dtype or array.ndim != ndim:
                raise ValueError(f'thumbnails: {name}: expected {ndim} dimensions of {dtype}')
        stamps_ns, sizes, jpegs, features = (state[name] for name in _STATE)
        count = len(stamps_ns)
        if count > self._newest + self._older or len(sizes) != count or len(features) != count:
            raise ValueError(
                f'thumbnails: expected at most {self._newest + self._older}, as many stamps as '
                f'sizes and features, got {count}, {len(sizes)} and {len(features)}'
            )
        if (count and features.shape[1] != width) or not np.isfinite(features).all():
            raise ValueError(f'features: expected {width} finite values for each thumbnail')
        if (np.diff(stamps_ns) <= 0).any() or (sizes < 0).any() or sizes.sum() != len(jpegs):
            raise ValueError('thumbnails: stamps that do not grow, or sizes that do not add up')
        self._stamps_ns = stamps_ns.tolist()
        self._jpegs = np.split(jpegs, np.cumsum(sizes)[:-1]) if count else []
        self._features = list(features)

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

    @property
    def stamps_ns(self) -> list[int]:
        """Stamps of all frames that have a thumbnail, in order."""
        return list(self._stamps_ns)

    def copy(self) -> 'ThumbnailStore':
        """A store of its own with the same thumbnails, for another thread."""
        other = ThumbnailStore(self._newest, self._older)
        other._stamps_ns = list(self._stamps_ns)
        other._jpegs = list(self._jpegs)
        other._features = list(self._features)
        return other

    def jpeg(self, stamp_ns: int) -> bytes | None:
        """The thumbnail of just this frame as a JPEG file, or None."""
        index = bisect_left(self._stamps_ns, stamp_ns)
        if index == len(self) or self._stamps_ns[index] != stamp_ns:
            return None
        return self._jpegs[index].tobytes()

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """The thumbnail of just this frame, (h, w, 3) uint8 RGB, or None."""
        jpeg = self.jpeg(stamp_ns)
        return None if jpeg is None else _decode(np.frombuffer(jpeg, np.uint8))

    def key_frames(self, snapshot: 'MemorySnapshot') -> list[np.ndarray | None]:
        """The key frame of each temporal cluster: of the frames of its time the one most like it.

        :returns: (h, w, 3) uint8 RGB each; None where no frame of a cluster's time is kept.
        """
        stamps_ns = self.key_stamps_ns(snapshot)
        return [None if stamp_ns is None else self.at(stamp_ns) for stamp_ns in stamps_ns]

    def key_stamps_ns(self, snapshot: 'MemorySnapshot') -> list[int | None]:
        """The stamp of the key frame of each temporal cluster; None where none is kept."""
        indices = self._key_indices(snapshot)
        return [None if index is None else self._stamps_ns[index] for index in indices]

    def _key_indices(self, snapshot: 'MemorySnapshot') -> list[int | None]:
        if not len(self) or snapshot.is_empty:
            return [None] * len(snapshot.temporal)
        # A centroid is a mean of maps, so its mean over the patches is that of whole frames.
        centroids = snapshot.temporal.float().mean(1).cpu().numpy()
        features = np.array(self._features)
        # Squared distances but for the norm of the centroid, which all frames have in common.
        distances = np.square(features).sum(-1) - 2.0 * centroids @ features.T
        starts = np.searchsorted(self._stamps_ns, snapshot.temporal_first_stamps_ns, 'left')
        ends = np.searchsorted(self._stamps_ns, snapshot.temporal_last_stamps_ns, 'right')
        return [
            start + int(row[start:end].argmin()) if end > start else None
            for row, start, end in zip(distances, starts.tolist(), ends.tolist(), strict=True)
        ]

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


def _decode(jpeg: np.ndarray) -> np.ndarray | None:
    """None: no picture; one of a damaged file, say."""
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    return None if picture is None else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
