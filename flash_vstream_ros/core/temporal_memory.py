# SPDX-License-Identifier: Apache-2.0
"""Temporal memory: weighted k-means over the whole stream, one exact merge a frame."""

import torch
from torch import Tensor, nn

_INT64 = torch.iinfo(torch.int64)


class TemporalMemory(nn.Module):
    """N clusters of all frames written so far (paper section 3.2, equation 3, Algorithm 1).

    With N clusters and one new frame exactly one pair of the N + 1 points shares a cluster, so the
    exact minimum of this write's weighted k-means objective is the one merge with the smallest
    ``w_a w_b / (w_a + w_b) * |c_a - c_b|^2``; ties go to the lowest (a, b). Paper and published
    code iterate from a random start instead.

    An empty slot has weight 0. Merging it with the newcomer has a cost below every other, so
    filling and steady state are one computation without a branch, and a write is a fixed series of
    kernels without a host synchronisation. Row N of every buffer is scratch for the newcomer.

    :param slots: N.
    :param width: P * P * D, the width of a flattened map.
    """

    def __init__(self, slots: int, width: int, device: torch.device | str = 'cpu') -> None:
        super().__init__()
        rows = slots + 1
        self.slots = slots
        self.register_buffer('centroids', torch.zeros(rows, width, device=device))
        self.register_buffer('weights', torch.zeros(rows, dtype=torch.int64, device=device))
        self.register_buffer('first_ns', torch.zeros(rows, dtype=torch.int64, device=device))
        self.register_buffer('last_ns', torch.zeros(rows, dtype=torch.int64, device=device))
        # Offset of the mean stamp from the memory's first one: sums of stamps overflow int64.
        offsets = torch.zeros(rows, dtype=torch.float64, device=device)
        self.register_buffer('mean_offset_ns', offsets)
        self.register_buffer('costs', torch.zeros(rows, rows, device=device))
        self.reset()

    def reset(self) -> None:
        """Empty all slots."""
        self.centroids.zero_()
        self.weights.zero_()
        self.first_ns.fill_(_INT64.max)
        self.last_ns.fill_(_INT64.min)
        self.mean_offset_ns.zero_()
        self.costs.fill_(torch.inf)

    @torch.no_grad()
    def write(self, point: Tensor, stamp_ns: Tensor, offset_ns: Tensor, accepted: Tensor) -> None:
        """Merge one frame in.

        :param point: (P * P * D,) float32.
        :param stamp_ns: int64 scalar.
        :param offset_ns: float64 scalar, nanoseconds since the memory's first stamp.
        :param accepted: bool scalar; False leaves the state as it was.
        """
        newcomer = self.slots
        self.centroids[newcomer] = torch.where(accepted, point, 0.0)
        self.weights[newcomer] = 1
        self.first_ns[newcomer] = stamp_ns
        self.last_ns[newcomer] = stamp_ns
        self.mean_offset_ns[newcomer] = offset_ns
        newcomer_costs = self._merge_costs(torch.full_like(stamp_ns, newcomer).view(1))
        self.costs[newcomer] = newcomer_costs.where(self.weights > 0, -1.0)
        self.costs[:, newcomer] = self.costs[newcomer]
        pair = self.costs.argmin().view(1)  # the first minimum is the lowest (a, b)
        a, b = pair // (newcomer + 1), pair % (newcomer + 1)
        self._merge(a, b, accepted)
        self._renew_costs(a, b, newcomer_costs, accepted)

    def _merge(self, a: Tensor, b: Tensor, accepted: Tensor) -> None:
        """Put the merge of rows a and b into row a and the newcomer into row b."""
        weight_a, weight_b = self.weights[a], self.weights[b]
        share = weight_b.double() / (weight_a + weight_b)
        merged = {
            'weights': weight_a + weight_b,
            'first_ns': torch.minimum(self.first_ns[a], self.first_ns[b]),
            'last_ns': torch.maximum(self.last_ns[a], self.last_ns[b]),
            'mean_offset_ns': torch.lerp(self.mean_offset_ns[a], self.mean_offset_ns[b], share),
            'centroids': torch.lerp(self.centroids[a], self.centroids[b], share.float()[:, None]),
        }
        for name, row in merged.items():
            buffer = self.get_buffer(name)
            # Where b is the newcomer's own scratch row the second copy changes nothing.
            newcomer = torch.where(accepted, buffer[self.slots :], buffer[b])
            buffer.index_copy_(0, a, torch.where(accepted, row, buffer[a]))
            buffer.index_copy_(0, b, newcomer)

    def _renew_costs(self, a: Tensor, b: Tensor, row_b: Tensor, accepted: Tensor) -> None:
        """Renew rows and columns a and b of the cost table; the others have not changed."""
        row_a = self._merge_costs(a)
        renewed = self.costs.clone()
        row_b = row_b.where(self.weights > 0, torch.inf).index_fill(0, b, torch.inf)
        for index, row in ((b, row_b), (a, row_a)):
            renewed.index_copy_(0, index, row[None])
            renewed.index_copy_(1, index, row[:, None])
        self.costs.copy_(torch.where(accepted, renewed, self.costs))

    def _merge_costs(self, index: Tensor) -> Tensor:
        """Cost of merging row ``index`` (1,) with each row (N + 1,); infinite with itself.

        Distances are direct differences: the Gram form cancels, float16 squares overflow.
        """
        distances = (self.centroids - self.centroids[index]).square_().sum(1)
        weights = self.weights.float()
        weight = weights[index]
        costs = weights * weight / (weights + weight) * distances
        return costs.where(self.weights > 0, torch.inf).index_fill_(0, index, torch.inf)

    def order(self, clusters: int) -> Tensor:
        """Rows of the filled slots in order of their mean stamp.

        :param clusters: how many slots are filled.
        :returns: (clusters,) int64.
        """
        filled = self.weights[: self.slots] > 0
        offsets = self.mean_offset_ns[: self.slots].where(filled, torch.inf)
        return offsets.argsort(stable=True)[:clusters]
