# SPDX-License-Identifier: Apache-2.0
"""Baselines of the temporal memory: weighted k-means from a random start, ten iterations a frame.

Written from the description of the published streaming code: N centroids with their weights and
the new frame are clustered into N anew. Once with broadcast distances, as published, once with
matrix products. The published code also stops once the centroids have settled; both ways are
measured.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Arithmetic:
    """How the two halves of an iteration are computed.

    :param nearest: (points (T, W), centroids (N, W)) -> index of the nearest centroid, (T,).
    :param means: (points, weights (T,), labels (T,), N) -> weighted means (N, W) and the sums of
        weights (N,); the mean of an empty cluster is NaN.
    """

    nearest: Callable[[Tensor, Tensor], Tensor]
    means: Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]


def _nearest_by_broadcast(points: Tensor, centroids: Tensor) -> Tensor:
    differences = points[:, None] - centroids[None]  # (T, N, W)
    return (differences**2).sum(2).sqrt().argmin(1)


def _means_by_masks(
    points: Tensor, weights: Tensor, labels: Tensor, slots: int
) -> tuple[Tensor, Tensor]:
    masks = [labels == slot for slot in range(slots)]
    totals = torch.stack([weights[mask].sum() for mask in masks])
    sums = torch.stack([(weights[mask, None] * points[mask]).sum(0) for mask in masks])
    return sums / totals[:, None], totals


def _nearest_by_products(points: Tensor, centroids: Tensor) -> Tensor:
    # |p - c|^2 without |p|^2, which is the same for all centroids of one point
    return torch.addmm(centroids.square().sum(1), points, centroids.T, alpha=-2).argmin(1)


def _means_by_products(
    points: Tensor, weights: Tensor, labels: Tensor, slots: int
) -> tuple[Tensor, Tensor]:
    members = (labels == torch.arange(slots, device=labels.device)[:, None]) * weights  # (N, T)
    totals = members.sum(1)
    return members / totals[:, None] @ points, totals


BROADCAST = Arithmetic(_nearest_by_broadcast, _means_by_masks)
PRODUCTS = Arithmetic(_nearest_by_products, _means_by_products)


def lloyd(
    points: Tensor,
    weights: Tensor,
    slots: int,
    arithmetic: Arithmetic,
    generator: torch.Generator,
    iterations: int = 10,
    tolerance: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Weighted k-means from a random start.

    :param points: (T, W), with ``weights`` (T,).
    :param iterations: at most.
    :param tolerance: stop when the centroids together move less; None never stops early.
    :returns: centroids (N, W) and the sums of weights (N,).
    """
    centroids = points[torch.randperm(len(points), generator=generator)[:slots]]
    for _ in range(iterations):
        labels = arithmetic.nearest(points, centroids)
        means, totals = arithmetic.means(points, weights, labels, slots)
        empty = totals == 0
        if empty.any():
            chosen = torch.randint(len(points), (int(empty.sum()),), generator=generator)
            means[empty] = points[chosen]
        settled = tolerance is not None and (means - centroids).norm(dim=1).sum() < tolerance
        centroids = means
        if settled:
            break
    return centroids, totals


class KMeansMemory:
    """Temporal memory that clusters its centroids and each new frame anew.

    :param slots: N.
    :param tolerance: of :func:`lloyd`.
    """

    def __init__(
        self, slots: int, arithmetic: Arithmetic, tolerance: float | None = None, seed: int = 0
    ) -> None:
        self._slots = slots
        self._arithmetic = arithmetic
        self._tolerance = tolerance
        self._generator = torch.Generator().manual_seed(seed)
        self.centroids = torch.empty(0)
        self.weights = torch.empty(0)

    def write(self, point: Tensor) -> None:
        """Memorise one flattened map, (W,)."""
        points = torch.cat([self.centroids.view(-1, len(point)), point[None]])
        weights = torch.cat([self.weights, torch.ones(1)])
        if len(points) > self._slots:
            points, weights = lloyd(
                points,
                weights,
                self._slots,
                self._arithmetic,
                self._generator,
                tolerance=self._tolerance,
            )
        self.centroids, self.weights = points, weights
