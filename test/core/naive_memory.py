# SPDX-License-Identifier: Apache-2.0
"""STAR memory the naive way: it keeps every frame and computes each read from scratch.

Written from the description of the memory alone, in float64 and loops; shares nothing with the
package but the geometry.
"""

from fractions import Fraction

import numpy as np

from flash_vstream_ros.core.config import MemoryGeometry


def naive_pool(feature: np.ndarray, side: int) -> np.ndarray:
    """(P, P, D) -> (side * side, D), row by row."""
    step = feature.shape[0] // side
    return np.stack(
        [
            feature[i * step : (i + 1) * step, j * step : (j + 1) * step].mean((0, 1))
            for i in range(side)
            for j in range(side)
        ]
    )


class NaiveStarMemory:
    """The whole history of a stream.

    :param weights: ``q_proj.weight``, ``q_proj.bias``, ``k_proj.weight``, ``k_proj.bias``.
    """

    def __init__(self, geometry: MemoryGeometry, weights: dict[str, np.ndarray]) -> None:
        self.geometry = geometry
        self._weights = {name: np.asarray(value, np.float64) for name, value in weights.items()}
        self.features: list[np.ndarray] = []
        self.coarse: list[np.ndarray] = []  # the same frames, pooled to the temporal side
        self.whole: list[np.ndarray] = []  # and to one patch
        self.stamps: list[int] = []
        self.clusters: list[list[int]] = []  # per slot the frames in it

    def write(self, feature: np.ndarray, stamp_ns: int) -> None:
        self.features.append(np.asarray(feature, np.float64))
        self.coarse.append(naive_pool(self.features[-1], self.geometry.temporal_side))
        self.whole.append(self.features[-1].mean((0, 1)))
        self.stamps.append(stamp_ns)
        self.clusters.append([len(self.stamps) - 1])
        if len(self.clusters) <= self.geometry.temporal_slots:
            return
        a, b = self._cheapest_pair()
        self.clusters[a] = self.clusters[a] + self.clusters[b]
        newcomer = self.clusters.pop()
        if b < len(self.clusters):
            self.clusters[b] = newcomer

    def _cheapest_pair(self) -> tuple[int, int]:
        centroids = [self.centroid(cluster) for cluster in self.clusters]
        masses = [self.weights_of(cluster).sum() for cluster in self.clusters]
        best, pair = np.inf, (0, 0)
        for a in range(len(centroids)):
            for b in range(a + 1, len(centroids)):
                weight_a, weight_b = masses[a], masses[b]
                distance = ((centroids[a] - centroids[b]) ** 2).sum()
                cost = weight_a * weight_b / (weight_a + weight_b) * distance
                if cost < best:
                    best, pair = cost, (a, b)
        return pair

    def centroid(self, cluster: list[int]) -> np.ndarray:
        frames = [self.coarse[frame] for frame in cluster]
        return np.average(frames, 0, self.weights_of(cluster))

    def weights_of(self, cluster: list[int]) -> np.ndarray:
        """What frames weigh in temporal memory: the newest 1, half of it so many frames before."""
        ages = len(self.stamps) - 1.0 - np.array(cluster)
        half_life = self.geometry.temporal_half_life
        return 0.5 ** (ages / half_life) if half_life else np.ones(len(cluster))

    def mean_stamp(self, cluster: list[int]) -> Fraction:
        return Fraction(sum(self.stamps[frame] for frame in cluster), len(cluster))

    def in_time(self) -> list[list[int]]:
        return sorted(self.clusters, key=self.mean_stamp)

    def temporal(self) -> np.ndarray:
        return np.stack([self.centroid(cluster) for cluster in self.in_time()])

    def spatial(self) -> np.ndarray:
        newest = self.features[-self.geometry.spatial_slots :]
        return np.stack([naive_pool(feature, self.geometry.detail_side) for feature in newest])

    def heaviest(self) -> list[list[int]]:
        """The clusters to retrieve a frame for; of equal masses the newest last stamp first."""
        last = {id(cluster): max(self.stamps[f] for f in cluster) for cluster in self.clusters}
        ranked = sorted(self.clusters, key=lambda c: (-self.weights_of(c).sum(), -last[id(c)]))
        return ranked[: self.geometry.retrieved_slots]

    def distances(self, cluster: list[int]) -> dict[int, float]:
        """Squared distance to a centroid, of each frame that the buffer still holds."""
        centroid = self.centroid(cluster)
        newest = range(len(self.stamps))[-self.geometry.buffer_frames :]
        return {frame: ((self.coarse[frame] - centroid) ** 2).sum() for frame in newest}

    def abstract(self) -> np.ndarray:
        """Semantic attention over the whole video, in blocks."""
        slots, ratio = self.geometry.abstract_slots, self.geometry.update_ratio
        frames = np.stack(self.whole)
        memory = frames[:slots]
        for start in range(slots, len(frames), slots):
            memory = self._attend(memory, frames[start : start + slots], ratio)
        return memory

    def _attend(self, memory: np.ndarray, block: np.ndarray, ratio: float) -> np.ndarray:
        w = self._weights
        query = memory @ w['q_proj.weight'].T + w['q_proj.bias']
        key = block @ w['k_proj.weight'].T + w['k_proj.bias']
        updated = []
        for slot, row in zip(memory, query, strict=True):
            scores = np.array([row @ k for k in key]) / np.sqrt(len(row))
            share = np.exp(scores - scores.max())
            share *= ratio / share.sum()
            updated.append(slot * (1.0 - share.sum()) + share @ block)
        return np.stack(updated)
