# SPDX-License-Identifier: Apache-2.0
"""The STAR memory of a whole video at once, as a model is trained on it: no streaming state.

Written apart from the streaming memory, so that equal answers of the two say something.
"""

import secrets

import numpy as np
import torch
from torch import Tensor

from flash_vstream_ros.core.abstract_memory import attend_video
from flash_vstream_ros.core.snapshot import PARTS
from flash_vstream_ros.core.star_memory import pool
from flash_vstream_ros.evaluation.frame_inputs import InputSource
from flash_vstream_ros.evaluation.input_snapshot import InputSnapshot

WHOLE_VIDEO_INPUTS = ('star', *(f'no_{part}' for part in PARTS))


class WholeVideoInput:
    """Keeps every frame and computes the memory anew from all of them at each read.

    :param name: one of :data:`WHOLE_VIDEO_INPUTS`.
    :raises ValueError: the input is another one, which only streams.
    """

    def __init__(self, name: str, source: InputSource) -> None:
        if name not in WHOLE_VIDEO_INPUTS:
            raise ValueError(
                f'input: expected one of {", ".join(WHOLE_VIDEO_INPUTS)} on the path of the whole '
                f'video, got {name!r}'
            )
        self.name = name
        self.geometry = source.geometry
        self.description = 'the STAR memory of the whole video'
        self._source = source
        self._memory_id = secrets.randbelow(2**64 - 1) + 1
        self._maps: list[Tensor] = []
        self._stamps_ns: list[int] = []

    def write(self, feature: Tensor, stamp_ns: int) -> None:
        """Keep a frame, (P, P, D) floats."""
        self._maps.append(pool(feature.float(), self.geometry.detail_side).cpu())
        self._stamps_ns.append(stamp_ns)

    @torch.no_grad()
    def read(self) -> InputSnapshot:
        """Compute the memory of all frames so far."""
        parts = {part: t for part, t in self._parts().items() if self.name != f'no_{part}'}
        return InputSnapshot(
            self.name,
            self._source.encoder_id,
            self._memory_id,
            len(self._maps),
            max(self._stamps_ns, default=0),
            {name: part.to(self._source.device) for name, part in parts.items()},
        )

    def _parts(self) -> dict[str, Tensor]:
        g = self.geometry
        if not self._maps:
            return {part: torch.zeros(0, g.feature_width) for part in PARTS}
        detail = torch.stack(self._maps)  # (T, Q * Q, D)
        coarse = pool(detail.unflatten(1, (g.detail_side, -1)), g.temporal_side)  # (T, P * P, D)
        clusters = cluster_video(coarse.flatten(1).numpy(), g.temporal_slots, g.temporal_half_life)
        weights = self._weights()
        stamps = np.array(self._stamps_ns)
        in_time = sorted(clusters, key=lambda c: (stamps[c] - stamps[0]).mean())
        whole = detail.mean(1).to(self._source.device)
        return {
            'abstract': attend_video(
                whole, self._source.attention, g.abstract_slots, g.update_ratio
            ),
            'temporal': torch.cat([_centroid(coarse, weights, c) for c in in_time]),
            'retrieved': detail[self._nearest(clusters, coarse, weights)].flatten(0, 1),
            'spatial': detail[-g.spatial_slots :].flatten(0, 1),
        }

    def _nearest(
        self, clusters: list[np.ndarray], coarse: Tensor, weights: np.ndarray
    ) -> list[int]:
        """Of the newest frames the one nearest to each of the heaviest clusters."""
        g = self.geometry
        ranked = sorted(clusters, key=lambda c: (-weights[c].sum(), -self._stamps_ns[c.max()]))
        begin = max(len(coarse) - g.buffer_frames, 0)
        held = coarse[begin:].flatten(1)
        centroids = [_centroid(coarse, weights, c).flatten() for c in ranked[: g.retrieved_slots]]
        return [begin + int((held - c).square().sum(1).argmin()) for c in centroids]

    def _weights(self) -> np.ndarray:
        """What each frame weighs now, (T,) float64."""
        frames, half_life = len(self._maps), self.geometry.temporal_half_life
        ages = np.arange(frames)[::-1]
        return 0.5 ** (ages / half_life) if half_life else np.ones(frames)


def cluster_video(points: np.ndarray, slots: int, half_life: float = 0.0) -> list[np.ndarray]:
    """Cluster all frames of a video: one exact merge a frame, over the frames' own means.

    :param points: (T, width) float32, oldest first.
    :param slots: N.
    :param half_life: of a frame's weight, in frames; 0: it does not fade.
    :returns: frames of each cluster, at most N of them, in order of their slots.
    """
    members: list[list[int]] = []
    sums, masses = np.zeros((slots + 1, points.shape[1])), np.zeros(slots + 1)
    costs = np.full((slots + 1, slots + 1), np.inf)  # above the diagonal
    fade = 0.5 ** (1.0 / half_life) if half_life else 1.0
    for frame, point in enumerate(points):
        for faded in (sums, masses, costs):
            faded *= fade
        row = len(members)
        members.append([frame])
        sums[row], masses[row] = point, 1.0
        _renew(costs, sums, masses, row)
        if row < slots:
            continue
        a, b = divmod(int(costs.argmin()), slots + 1)
        sums[a] += sums[b]
        masses[a] += masses[b]
        members[a] += members[b]
        members[b] = members[slots]  # the newcomer takes the free slot; nothing where it is b
        sums[b], masses[b] = sums[slots], masses[slots]
        members.pop()
        _renew(costs, sums, masses, a)
        if b < slots:
            _renew(costs, sums, masses, b)
    return [np.array(sorted(cluster)) for cluster in members]


def _centroid(coarse: Tensor, weights: np.ndarray, cluster: np.ndarray) -> Tensor:
    """Average the frames of a cluster by what they weigh: (P * P, D) float32."""
    shares = torch.from_numpy(weights[cluster])
    shares = shares / shares.sum().clamp(min=torch.finfo(torch.float64).tiny)
    return torch.tensordot(shares, coarse[cluster].double(), 1).float()


def _renew(costs: np.ndarray, sums: np.ndarray, masses: np.ndarray, row: int) -> None:
    """Compute the costs of merging one slot with each other."""
    least = np.finfo(float).tiny  # what has faded to nothing costs nothing
    means = sums / np.maximum(masses, least)[:, None]
    distances = np.square(means - means[row]).sum(1)
    merging = masses * masses[row] / np.maximum(masses + masses[row], least) * distances
    costs[row, row + 1 :] = merging[row + 1 :]
    costs[:row, row] = merging[:row]
