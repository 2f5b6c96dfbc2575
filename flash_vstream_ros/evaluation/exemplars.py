# SPDX-License-Identifier: Apache-2.0
"""Retrieval from one kept frame per cluster, to compare the buffer of 300 frames with."""

import torch
from torch import Tensor

from flash_vstream_ros.core.star_memory import StarMemory, pool
from flash_vstream_ros.evaluation.kept import ClusterTracker


class ExemplarStore:
    """For each temporal cluster the frame that was nearest to its centroid, in detail.

    Reaches back as far as the stream, where the buffer holds 300 frames, with a tenth of its
    bytes. When two clusters merge, that one of their two exemplars stays that is nearer to the
    merged centroid; so the nearest frame of all may have been given up before.

    :param memory: an empty STAR memory; call :meth:`write` after each of its writes.
    """

    def __init__(self, memory: StarMemory) -> None:
        g = memory.geometry
        self._memory = memory
        self._tracker = ClusterTracker(memory.temporal)
        detail = memory.buffer.detail
        self._detail = torch.zeros(g.temporal_slots, *detail.shape[1:], device=detail.device)
        width = memory.buffer.coarse.shape[1]
        self._coarse = torch.zeros(g.temporal_slots, width, device=detail.device)

    @torch.no_grad()
    def write(self, feature: Tensor, stamp_ns: int) -> None:
        """Take in the frame that the memory has just memorised.

        :param feature: (P, P, D).
        """
        g = self._memory.geometry
        detail = pool(feature.to(self._detail), g.detail_side)  # (Q * Q, D)
        coarse = pool(detail.unflatten(0, (g.detail_side, -1)), g.temporal_side).flatten()
        move = self._tracker.observe(stamp_ns)
        if move.emptied_into is not None:
            rival = (self._detail[move.newcomer], self._coarse[move.newcomer])
            self._contend(move.emptied_into, *rival)
        if self._weight(move.newcomer) > 1:
            self._contend(move.newcomer, detail, coarse)
        else:
            self._detail[move.newcomer] = detail
            self._coarse[move.newcomer] = coarse

    def _weight(self, slot: int) -> int:
        return int(self._memory.temporal.weights[slot])

    def _contend(self, slot: int, detail: Tensor, coarse: Tensor) -> None:
        """Replace a slot's exemplar by another frame of the cluster if that is nearer."""
        centroid = self._memory.temporal.centroids[slot]
        if (coarse - centroid).square().sum() < (self._coarse[slot] - centroid).square().sum():
            self._detail[slot] = detail
            self._coarse[slot] = coarse

    def heaviest(self) -> Tensor:
        """Exemplars of the heaviest clusters, ranked as the memory ranks them, (R, Q * Q, D)."""
        temporal = self._memory.temporal
        masses, last_ns = temporal.masses.tolist(), temporal.last_ns.tolist()
        filled = temporal.weights[: len(self._detail)].nonzero()[:, 0].tolist()
        ranked = sorted(filled, key=lambda slot: (-masses[slot], -last_ns[slot]))
        return self._detail[ranked[: self._memory.geometry.retrieved_slots]]
