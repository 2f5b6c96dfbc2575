# SPDX-License-Identifier: Apache-2.0
"""Other temporal memories: by their definition, against naive ones."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from flash_vstream_ros.core.temporal_memory import TemporalMemory
from flash_vstream_ros.evaluation.temporal_baselines import (
    AlgorithmOneMemory,
    NeighbourMemory,
)

SLOTS = 5


def write(memory: TemporalMemory, point: Tensor, number: int, accepted: bool = True) -> None:
    stamp = torch.tensor(10 * number + 5)
    offset = torch.tensor(10.0 * number, dtype=torch.float64)
    memory.write(point, stamp, offset, torch.tensor(accepted))


def walk(count: int, seed: int = 0) -> Tensor:
    """Points that stay at a few places for a while."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randn(4, 3, generator=generator)
    order = torch.randint(4, (count // 3 + 1,), generator=generator).repeat_interleave(3)
    return places[order[:count]] + 0.1 * torch.randn(count, 3, generator=generator)


def slots_of(memory: TemporalMemory) -> list[tuple[int, int, int, np.ndarray]]:
    """(first, last, weight, centroid) of the filled slots in order of time."""
    rows = memory.order(int((memory.weights[: memory.slots] > 0).sum())).tolist()
    return [
        (
            int(memory.first_ns[r]),
            int(memory.last_ns[r]),
            int(memory.weights[r]),
            memory.centroids[r].numpy(),
        )
        for r in rows
    ]


def cost(points: np.ndarray, one: list[int], other: list[int]) -> float:
    distance = ((points[one].mean(0) - points[other].mean(0)) ** 2).sum()
    return len(one) * len(other) / (len(one) + len(other)) * distance


@pytest.mark.parametrize('seed', range(5))
def test_neighbours_merges_the_cheapest_pair_that_is_adjacent_in_time(seed):
    points = walk(60, seed)
    exact = points.double().numpy()
    memory, clusters = NeighbourMemory(SLOTS, 3), []
    for number, point in enumerate(points):
        write(memory, point, number)
        clusters.append([number])
        if len(clusters) > SLOTS:
            costs = [cost(exact, a, b) for a, b in pairwise(clusters)]
            best = int(np.argmin(costs))
            clusters[best : best + 2] = [clusters[best] + clusters[best + 1]]
        for (first, last, weight, centroid), cluster in zip(
            slots_of(memory), clusters, strict=True
        ):
            assert (first, last) == (10 * cluster[0] + 5, 10 * cluster[-1] + 5)
            assert weight == len(cluster)
            np.testing.assert_allclose(centroid, exact[cluster].mean(0), atol=1e-5)


@pytest.mark.parametrize('half_life', [1.0, 4.0, 20.0])
def test_neighbours_fades_as_the_temporal_memory_does(half_life):
    """The one difference left is which pairs may merge."""
    points = walk(60)
    exact = points.double().numpy()
    memory, clusters = NeighbourMemory(SLOTS, 3, half_life=half_life), []
    for number, point in enumerate(points):
        write(memory, point, number)
        clusters.append([number])
        masses = 0.5 ** ((number - np.arange(number + 1)) / half_life)
        if len(clusters) > SLOTS:
            costs = [faded_cost(exact, masses, a, b) for a, b in pairwise(clusters)]
            best = int(np.argmin(costs))
            clusters[best : best + 2] = [clusters[best] + clusters[best + 1]]
    slots = slots_of(memory)
    assert [weight for _, _, weight, _ in slots] == [len(cluster) for cluster in clusters]
    for (*_, centroid), cluster in zip(slots, clusters, strict=True):
        expected = np.average(exact[cluster], 0, masses[cluster])
        np.testing.assert_allclose(centroid, expected, atol=1e-5)


def faded_cost(points: np.ndarray, masses: np.ndarray, one: list[int], other: list[int]) -> float:
    a, b = masses[one].sum(), masses[other].sum()
    means = [np.average(points[part], 0, masses[part]) for part in (one, other)]
    return a * b / (a + b) * ((means[0] - means[1]) ** 2).sum()


def test_neighbours_goes_on_when_all_has_faded_to_nothing():
    memory = NeighbourMemory(SLOTS, 3, half_life=1.0)
    for number in range(1200):
        write(memory, torch.ones(3), number)
    assert [weight for _, _, weight, _ in slots_of(memory)][-1] == 1
    assert memory.centroids.isfinite().all()


def test_neighbours_keeps_a_place_seen_twice_apart_where_star_merges_it():
    """The difference that the comparison is about."""
    here, there = torch.zeros(3), torch.ones(3)
    route = [here] * 5 + [there] * 5 + [here + 0.01] * 5
    star, neighbours = TemporalMemory(2, 3), NeighbourMemory(2, 3)
    for memory in (star, neighbours):
        for number, point in enumerate(route):
            write(memory, point, number)
    assert [weight for _, _, weight, _ in slots_of(star)] == [10, 5]
    assert [weight for _, _, weight, _ in slots_of(neighbours)] == [5, 10]


def test_a_refused_frame_is_ignored():
    memory, clean = NeighbourMemory(SLOTS, 3), NeighbourMemory(SLOTS, 3)
    for number, point in enumerate(walk(30)):
        write(memory, point, number)
        write(clean, point, number)
        write(memory, point + 9.0, number, accepted=False)
    for one, other in zip(slots_of(memory), slots_of(clean), strict=True):
        assert one[:3] == other[:3]
        np.testing.assert_array_equal(one[3], other[3])


def lloyd(points: np.ndarray, weights: np.ndarray, start: list[int]) -> list[int]:
    """Algorithm 1 as the paper has it; the cluster of each point."""
    centroids = points[start]
    labels: list[int] = []
    for _ in range(10):
        distances = ((points[:, None] - centroids[None]) ** 2).sum(-1)
        now = distances.argmin(1).tolist()
        if now == labels:
            break
        labels = now
        for cluster in set(labels):
            chosen = np.array(labels) == cluster
            centroids[cluster] = np.average(points[chosen], 0, weights[chosen])
    return labels


@pytest.mark.parametrize('seed', range(3))
def test_algorithm_1_iterates_from_its_random_start(seed):
    points = walk(40, seed)
    memory = AlgorithmOneMemory(SLOTS, 3, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    exact, weights = np.zeros((0, 3)), np.zeros(0)
    for number, point in enumerate(points):
        write(memory, point, number)
        exact = np.vstack([exact, point.double().numpy()])
        weights = np.append(weights, 1.0)
        if len(exact) > SLOTS:
            start = torch.randperm(len(exact), generator=generator)[:SLOTS].tolist()
            labels = np.array(lloyd(exact, weights, start))
            groups = [labels == cluster for cluster in sorted(set(labels.tolist()))]
            exact = np.stack([np.average(exact[g], 0, weights[g]) for g in groups])
            weights = np.array([weights[g].sum() for g in groups])
        np.testing.assert_allclose(memory.centroids[: len(exact)].numpy(), exact, atol=1e-5)
        np.testing.assert_array_equal(memory.weights[: len(exact)].numpy(), weights)


def test_algorithm_1_keeps_the_books_of_weights_and_stamps():
    memory = AlgorithmOneMemory(SLOTS, 3)
    for number, point in enumerate(walk(50)):
        write(memory, point, number)
    slots = slots_of(memory)
    assert sum(weight for _, _, weight, _ in slots) == 50
    assert min(first for first, _, _, _ in slots) == 5
    assert max(last for _, last, _, _ in slots) == 495
    offsets = memory.mean_offset_ns[:SLOTS] @ memory.weights[:SLOTS].double() / 50
    assert float(offsets) == pytest.approx(10 * 49 / 2)


def test_algorithm_1_is_the_same_from_the_same_seed_only():
    def centroids(seed: int) -> Tensor:
        memory = AlgorithmOneMemory(SLOTS, 3, seed=seed)
        for number, point in enumerate(walk(40)):
            write(memory, point, number)
        return memory.centroids[:SLOTS].clone()

    assert torch.equal(centroids(1), centroids(1))
    assert not torch.equal(centroids(1), centroids(2))


@pytest.mark.parametrize('kind', [NeighbourMemory, AlgorithmOneMemory])
def test_a_static_camera_leaves_no_slot_empty(kind):
    memory = kind(SLOTS, 3)
    for number in range(20):
        write(memory, torch.ones(3), number)
        filled = min(number + 1, SLOTS)
        assert int((memory.weights[:SLOTS] > 0).sum()) == filled
        assert int(memory.weights[:SLOTS].sum()) == number + 1
        assert torch.equal(memory.centroids[:filled], torch.ones(filled, 3))
