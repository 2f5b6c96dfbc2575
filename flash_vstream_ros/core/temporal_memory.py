# SPDX-License-Identifier: Apache-2.0
"""Temporal memory: weighted k-means over the whole stream, one exact merge a frame."""

import torch
from torch import Tensor, nn

_INT64 = torch.iinfo(torch.int64)
_SMALLEST = torch.finfo(torch.float64).tiny


class TemporalMemory(nn.Module):
    """N clusters of all frames written so far (paper section 3.2, equation 3, Algorithm 1).

    With N clusters and one new frame exactly one pair of the N + 1 points shares a cluster, so the
    exact minimum of this write's weighted k-means objective is the one merge with the smallest
    ``w_a w_b / (w_a + w_b) * |c_a - c_b|^2``; ties go to the lowest (a, b). Paper and published
    code iterate from a random start instead.

    With a half-life (ours) w is a mass that fades: that of a frame halves every so many frames,
    the newest one's is 1. Without it, as in the paper, the clusters of a long stream are heavy, so
    that two of them are dear to merge, and what is new is merged away at once. What has faded to
    nothing, after some hundred half-lives, costs nothing to merge; of such clusters those in the
    lowest slots merge. Counts and stamps are those of all frames in any case.

    An empty slot has weight 0. Merging it with the newcomer has a cost below every other, so
    filling and steady state are one computation without a branch, and a write is a fixed series of
    kernels without a host synchronisation. Row N of every buffer is scratch for the newcomer.

    :param slots: N.
    :param width: P * P * D, the width of a flattened map.
    :param half_life: in frames; 0: all frames of the stream weigh the same.
    """

    def __init__(
        self,
        slots: int,
        width: int,
        device: torch.device | str = 'cpu',
        half_life: float = 0.0,
    ) -> None:
        super().__init__()
        rows = slots + 1
        self.slots = slots
        self._fading = 0.5 ** (1.0 / half_life) - 1.0 if half_life else 0.0
        self.register_buffer('centroids', torch.zeros(rows, width, device=device))
        self.register_buffer('weights', torch.zeros(rows, dtype=torch.int64, device=device))
        # What the frames of a cluster weigh now: as many as they are, where nothing fades.
        self.register_buffer('masses', torch.zeros(rows, dtype=torch.float64, device=device))
        self.register_buffer('first_ns', torch.zeros(rows, dtype=torch.int64, device=device))
        self.register_buffer('last_ns', torch.zeros(rows, dtype=torch.int64, device=device))
        # Offset of the mean stamp from the memory's first one: sums of stamps overflow int64.
        offsets = torch.zeros(rows, dtype=torch.float64, device=device)
        self.register_buffer('mean_offset_ns', offsets)
        self.register_buffer('costs', torch.zeros(rows, rows, device=device))
        # No state but room to compute in, whose pages would cost more than the arithmetic if they
        # were allocated anew each time.
        room = torch.empty_like(self.centroids)
        self.register_buffer('_differences', room, persistent=False)
        self.reset()

    def reset(self) -> None:
        """Empty all slots."""
        self.centroids.zero_()
        self.weights.zero_()
        self.masses.zero_()
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
        if self._fading:
            fade = accepted.double() * self._fading + 1.0
            self.masses.mul_(fade)
            self.costs.mul_(fade)
        self.centroids[newcomer] = point
        # Numbers of the host are filled in: to assign one to an element copies it to the device.
        self.weights[newcomer:].fill_(1)
        self.masses[newcomer:].fill_(1.0)
        self.first_ns[newcomer] = stamp_ns
        self.last_ns[newcomer] = stamp_ns
        self.mean_offset_ns[newcomer] = offset_ns
        costs = self._merge_costs(self.centroids[newcomer], self.masses[newcomer])
        costs = costs.where(self.weights > 0, -1.0)
        costs[newcomer:].fill_(torch.inf)
        self.costs[newcomer] = costs
        self.costs[:, newcomer] = costs
        place = self.costs.argmin()  # the first minimum is the lowest (a, b)
        pair = torch.stack([place // (newcomer + 1), place % (newcomer + 1)])
        # All that a refused frame would change goes to its own scratch row.
        target = torch.where(accepted, pair, newcomer)
        self._merge(pair, target)
        self._renew_costs(target[:1], target[1:])

    def _merge(self, pair: Tensor, target: Tensor) -> None:
        """Put the merge of the pair into the first target row and the newcomer into the second."""
        buffers = (
            self.weights,
            self.masses,
            self.first_ns,
            self.last_ns,
            self.mean_offset_ns,
            self.centroids,
        )
        rows = [buffer.index_select(0, pair) for buffer in buffers]
        weights, masses, first_ns, last_ns, offsets_ns, centroids = rows
        total, mass = weights.sum(0, keepdim=True), masses.sum(0, keepdim=True)
        merged = (
            total,
            mass,
            first_ns.amin(0, keepdim=True),
            last_ns.amax(0, keepdim=True),
            torch.lerp(offsets_ns[:1], offsets_ns[1:], weights[1:].double() / total),
            torch.lerp(centroids[:1], centroids[1:], _share(masses[1:], mass).float()[:, None]),
        )
        for buffer, row in zip(buffers, merged, strict=True):
            # Where b is the newcomer's own scratch row the second row changes nothing.
            buffer.index_copy_(0, target, torch.cat([row, buffer[self.slots :]]))

    def _renew_costs(self, a: Tensor, b: Tensor) -> None:
        """Renew rows and columns a and b of the cost table; the others have not changed."""
        filled = self.weights > 0
        row_a = self._merge_costs(self.centroids.index_select(0, a), self.masses[a])
        # Row b is now what the newcomer's was, whose empty slots were marked.
        for index, row in ((b, self.costs[self.slots]), (a, row_a)):
            renewed = row.where(filled, torch.inf).index_fill_(0, index, torch.inf)
            self.costs.index_copy_(0, index, renewed[None])
            self.costs.index_copy_(1, index, renewed[:, None])

    def _merge_costs(self, point: Tensor, mass: Tensor) -> Tensor:
        """Cost of merging a point with each row, (N + 1,); means nothing for empty rows.

        Distances are direct differences: the Gram form cancels, float16 squares overflow.
        """
        differences = torch.sub(self.centroids, point, out=self._differences)
        reduced = mass * _share(self.masses, self.masses + mass)
        return reduced.float() * differences.square_().sum(1)

    def order(self, clusters: int) -> Tensor:
        """Rows of the filled slots in order of their mean stamp.

        :param clusters: how many slots are filled.
        :returns: (clusters,) int64.
        """
        filled = self.weights[: self.slots] > 0
        offsets = self.mean_offset_ns[: self.slots].where(filled, torch.inf)
        return offsets.argsort(stable=True)[:clusters]


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Divide masses, float64; where both have faded to nothing, nothing."""
    return part / whole.clamp(min=_SMALLEST)
