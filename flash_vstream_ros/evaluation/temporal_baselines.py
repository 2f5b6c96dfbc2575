# SPDX-License-Identifier: Apache-2.0
"""Other temporal memories, to compare ours with, and drop-in for it."""

import torch
from torch import Tensor

from flash_vstream_ros.core.temporal_memory import TemporalMemory


class NeighbourMemory(TemporalMemory):
    """Merges only clusters that follow each other in time, by the same cost.

    Its clusters are stretches of the stream; a place seen twice takes two of them. Parameters as
    of :class:`TemporalMemory`: with a half-life the masses of frames fade as they do there.
    """

    @torch.no_grad()
    def write(self, point: Tensor, stamp_ns: Tensor, offset_ns: Tensor, accepted: Tensor) -> None:
        """Merge one frame in; parameters as :meth:`TemporalMemory.write`."""
        if not accepted:
            return
        self.masses.mul_(1.0 + self._fading)
        _set_newcomer(self, point, stamp_ns, offset_ns)
        is_full = bool(self.weights[: self.slots].all())
        pair = self._cheapest() if is_full else _first_empty(self)
        self._merge(pair, pair)

    def _cheapest(self) -> Tensor:
        """Of the pairs that follow each other, the one with the cheapest merge."""
        order = self.last_ns.argsort()  # the newcomer comes last
        distances = self.centroids[order].diff(dim=0).square().sum(1)  # (slots,)
        masses = self.masses[order]
        # What has faded to nothing costs nothing to merge.
        totals = (masses[:-1] + masses[1:]).clamp(min=torch.finfo(masses.dtype).tiny)
        costs = (masses[:-1] * (masses[1:] / totals)).float() * distances
        place = costs.argmin()  # of equal ones the oldest
        return order[place : place + 2].sort().values


class AlgorithmOneMemory(TemporalMemory):
    """The paper's Algorithm 1: Lloyd's iterations from a random start, at every frame.

    The N centroids with their weights and the new frame with weight 1 are the points; N of them,
    drawn at random, are the first centroids. A cluster's weight is the sum of its points':
    nothing fades, as in the paper.

    :param seed: of the starts; equal seeds and streams give equal memories.
    """

    ITERATIONS = 10

    def __init__(
        self, slots: int, width: int, device: torch.device | str = 'cpu', seed: int = 0
    ) -> None:
        super().__init__(slots, width, device)
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def write(self, point: Tensor, stamp_ns: Tensor, offset_ns: Tensor, accepted: Tensor) -> None:
        """Cluster one frame in; parameters as :meth:`TemporalMemory.write`."""
        if not accepted:
            return
        _set_newcomer(self, point, stamp_ns, offset_ns)
        rows = self.weights.nonzero()[:, 0]  # the newcomer's is the last
        if len(rows) <= self.slots:
            labels = torch.arange(len(rows), device=rows.device)
        else:
            labels = self._assign(self.centroids[rows], self.weights[rows].float())
        self._gather(rows, labels)

    def _assign(self, points: Tensor, weights: Tensor) -> Tensor:
        """Lloyd's iterations.

        :param points: (n, width) with their ``weights`` (n,).
        :returns: (n,) int64, the cluster of each.
        """
        drawn = torch.randperm(len(points), generator=self._generator)[: self.slots]
        centroids = points[drawn.to(points.device)]
        labels = torch.full((len(points),), -1, device=points.device)
        for _ in range(self.ITERATIONS):
            distances = torch.cdist(points, centroids, compute_mode='donot_use_mm_for_euclid_dist')
            nearest = distances.argmin(1)
            if torch.equal(nearest, labels):
                break
            labels = nearest
            members = torch.nn.functional.one_hot(labels, self.slots).T * weights  # (N, n)
            totals = members.sum(1, keepdim=True)
            # A cluster that no point is nearest to (equal points) stays where it was.
            means = members @ points / totals.clamp(min=1.0)
            centroids = torch.where(totals > 0, means, centroids)
        return _without_gaps(labels, self.slots)

    def _gather(self, rows: Tensor, labels: Tensor) -> None:
        """Make the clusters of points the new slots."""
        old = (self.centroids, self.weights, self.first_ns, self.last_ns, self.mean_offset_ns)
        centroids, weights, first_ns, last_ns, offsets_ns = (buffer[rows] for buffer in old)
        self.reset()
        for slot, label in enumerate(labels.unique().tolist()):
            members = labels == label
            shares = weights[members].double() / weights[members].sum()
            self.centroids[slot] = shares.float() @ centroids[members]
            self.weights[slot] = weights[members].sum()
            self.masses[slot] = self.weights[slot]
            self.first_ns[slot] = first_ns[members].min()
            self.last_ns[slot] = last_ns[members].max()
            self.mean_offset_ns[slot] = shares @ offsets_ns[members]


def _first_empty(memory: TemporalMemory) -> Tensor:
    """An empty slot and the newcomer, whose merge is the newcomer."""
    empty = (memory.weights[: memory.slots] == 0).int().argmax()
    return torch.stack([empty, empty.new_tensor(memory.slots)])


def _without_gaps(labels: Tensor, clusters: int) -> Tensor:
    """Give a cluster that equal points left empty one of the points of the largest."""
    while len(labels.unique()) < clusters:
        counts = labels.bincount(minlength=clusters)
        labels[(labels == counts.argmax()).nonzero()[-1]] = counts.argmin()
    return labels


def _set_newcomer(
    memory: TemporalMemory, point: Tensor, stamp_ns: Tensor, offset_ns: Tensor
) -> None:
    """Put the new frame into the scratch row behind the slots."""
    memory.centroids[memory.slots] = point
    memory.weights[memory.slots] = 1
    memory.masses[memory.slots] = 1.0
    memory.first_ns[memory.slots] = stamp_ns
    memory.last_ns[memory.slots] = stamp_ns
    memory.mean_offset_ns[memory.slots] = offset_ns
