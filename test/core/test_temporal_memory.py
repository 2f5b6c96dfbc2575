# SPDX-License-Identifier: Apache-2.0
"""Temporal memory: each write is the exact minimum of its weighted k-means objective."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch import Tensor

from flash_vstream_ros.core.temporal_memory import TemporalMemory


def write(
    memory: TemporalMemory, point: list[float] | Tensor, stamp_ns: int, accepted: bool = True
) -> None:
    device = memory.weights.device
    memory.write(
        torch.as_tensor(point, dtype=torch.float32).to(device),
        torch.tensor(stamp_ns, device=device),
        torch.tensor(float(stamp_ns), dtype=torch.float64, device=device),
        torch.tensor(accepted, device=device),
    )


def filled(points: list, device: torch.device | str = 'cpu', slots: int | None = None):
    memory = TemporalMemory(slots or len(points), len(points[0]), device)
    for index, point in enumerate(points):
        write(memory, point, 1 + index)
    return memory


def rows(memory: TemporalMemory) -> tuple[np.ndarray, np.ndarray]:
    """Centroids (N, width) and weights (N,) in float64, in order of the slots."""
    return (
        memory.centroids[: memory.slots].double().cpu().numpy(),
        memory.weights[: memory.slots].double().cpu().numpy(),
    )


def objective(points: np.ndarray, weights: np.ndarray, centroids: np.ndarray) -> float:
    distances = ((points[:, None] - centroids[None]) ** 2).sum(-1)
    return float((weights * distances.min(1)).sum())


def lloyd(points: np.ndarray, weights: np.ndarray, centroids: np.ndarray) -> float:
    """Weighted Lloyd iterations until nothing moves; an empty cluster stays where it is."""
    centroids, last = centroids.copy(), np.inf
    while (now := objective(points, weights, centroids)) < last:
        last = now
        nearest = ((points[:, None] - centroids[None]) ** 2).sum(-1).argmin(1)
        for cluster in set(nearest.tolist()):
            chosen = nearest == cluster
            centroids[cluster] = np.average(points[chosen], 0, weights[chosen])
    return last


def written_against(memory: TemporalMemory, newcomer: Tensor, stamp_ns: int):
    """The weighted points of one write, and the objective that the write reached on them."""
    centroids, weights = rows(memory)
    points = np.vstack([centroids, newcomer.double().numpy()])
    weights = np.append(weights, 1.0)
    write(memory, newcomer, stamp_ns)
    return points, weights, objective(points, weights, rows(memory)[0])


@pytest.mark.parametrize('seed', range(4))
def test_one_merge_is_the_best_of_all_partitions_and_of_lloyd_from_every_start(seed):
    generator = torch.Generator().manual_seed(seed)
    slots = 3 + seed % 2
    memory = filled(list(torch.randn(slots, 3, generator=generator)))
    for frame in range(6):
        newcomer = torch.randn(3, generator=generator)
        points, weights, reached = written_against(memory, newcomer, 100 + frame)
        best = np.inf
        # Every assignment is a start of Lloyd's algorithm, and a partition itself.
        for labels in product(range(slots), repeat=slots + 1):
            groups = [np.array(labels) == g for g in sorted(set(labels))]
            start = np.stack([np.average(points[g], 0, weights[g]) for g in groups])
            best = min(best, lloyd(points, weights, start))
        assert reached <= best + 1e-5 * best
        assert reached == pytest.approx(best, rel=1e-4), 'and the best start finds the same'


def test_one_merge_beats_lloyd_from_random_starts_at_the_published_number_of_slots():
    generator = torch.Generator().manual_seed(3)
    scenes = torch.randn(40, 12, generator=generator)
    draw = torch.randint(40, (60,), generator=generator)
    frames = scenes[draw] + 0.1 * torch.randn(60, 12, generator=generator)
    memory = filled(list(frames[:25]))
    random = np.random.default_rng(3)
    for frame, newcomer in enumerate(frames[25:]):
        points, weights, reached = written_against(memory, newcomer, 100 + frame)
        for _ in range(5):
            start = points[random.choice(26, 25, replace=False)]
            assert reached <= lloyd(points, weights, start) * (1 + 1e-5) + 1e-9


def test_the_cheapest_pair_is_merged_whatever_its_age_and_weights_grow(device):
    memory = filled([[0.0], [10.0], [13.0]], device)
    write(memory, [30.0], 9)  # 10 and 13 are nearest: 1 * 1 / 2 * 9
    assert memory.centroids[:3, 0].tolist() == [0.0, 11.5, 30.0]
    assert memory.weights[:3].tolist() == [1, 2, 1]
    write(memory, [13.5], 10)  # 2 * 1 / 3 * 4 against 0.5 * 100 and more
    assert memory.centroids[1, 0].item() == pytest.approx((10 + 13 + 13.5) / 3)
    assert memory.weights[:3].tolist() == [1, 3, 1]


def test_a_heavy_pair_costs_more_than_a_light_one_of_the_same_distance():
    memory = filled([[0.0], [8.0], [100.0]])
    for stamp in range(10, 16):
        write(memory, [0.0], stamp)  # 0 grows heavy
    assert memory.weights[:3].tolist() == [7, 1, 1]
    write(memory, [16.0], 20)  # 8 is as far from 0 as from 16: 7/8 against 1/2
    assert memory.centroids[:3, 0].tolist() == [0.0, 12.0, 100.0]


@pytest.mark.parametrize(
    ('points', 'newcomer', 'merged_into', 'newcomer_at'),
    [
        ([0.0, 2.0, 4.0], 6.0, 0, 1),  # (0, 1), (1, 2), (2, 3): all the same cost
        ([0.0, 8.0, 10.0], 12.0, 1, 2),  # (1, 2), (2, 3)
        ([4.0, 20.0, 6.0], 2.0, 0, 2),  # (0, 2), (0, 3)
        ([20.0, 4.0, 30.0], 2.0, 1, 3),  # (1, 3) alone
        ([1.0, 5.0, 5.0], 1.0, 0, 3),  # (0, 3), (1, 2), both cost nothing
        ([7.0, 7.0, 7.0], 7.0, 0, 1),
    ],
)
def test_ties_go_to_the_lowest_pair(points, newcomer, merged_into, newcomer_at, device):
    memory = filled([[p] for p in points], device)
    write(memory, [newcomer], 9)
    weights = [2 if slot == merged_into else 1 for slot in range(3)]
    assert memory.weights[:3].tolist() == weights
    if newcomer_at < 3:
        assert memory.centroids[newcomer_at, 0].item() == newcomer


def test_ties_among_many_integer_points_follow_an_enumeration_of_all_pairs():
    """Distances between small integers are exact, so equal costs are equal bit by bit."""
    random = np.random.default_rng(0)
    ties = 0
    for _ in range(200):
        points = random.integers(0, 4, (7, 2)).astype(float)
        memory = filled([list(point) for point in points], slots=6)
        costs = {
            (a, b): ((points[a] - points[b]) ** 2).sum() / 2 for a, b in combinations(range(7), 2)
        }
        a, b = min(costs, key=lambda pair: (costs[pair], pair))
        ties += sorted(costs.values())[1] == costs[a, b]
        expected = [*points[:6], points[6]]
        expected[a], expected[b] = (points[a] + points[b]) / 2, points[6]
        np.testing.assert_array_equal(rows(memory)[0], expected[:6])
    assert ties > 100, 'the sample must hold ties to prove anything'


def test_the_kept_cost_table_equals_one_computed_from_scratch():
    generator = torch.Generator().manual_seed(1)
    memory = TemporalMemory(5, 4)
    for frame in range(80):
        write(memory, torch.randn(4, generator=generator), 1 + frame)
        filled_rows = min(frame + 1, 5)
        centroids, weights = rows(memory)
        for a, b in product(range(5), repeat=2):
            kept = memory.costs[a, b].item()
            if a == b or max(a, b) >= filled_rows:
                assert kept == np.inf, (frame, a, b)
                continue
            distance = ((centroids[a] - centroids[b]) ** 2).sum()
            fresh = weights[a] * weights[b] / (weights[a] + weights[b]) * distance
            assert kept == pytest.approx(fresh, rel=1e-5, abs=1e-6), (frame, a, b)
            assert kept == memory.costs[b, a].item(), 'the table is symmetric'


def test_stamps_of_a_cluster_are_first_last_and_mean_of_its_frames():
    memory = filled([[0.0], [100.0]])
    for stamp, point in ((10, 0.0), (20, 100.0), (40, 0.0)):
        write(memory, [point], stamp)
    assert memory.first_ns[:2].tolist() == [1, 2]
    assert memory.last_ns[:2].tolist() == [40, 20]
    assert memory.mean_offset_ns[:2].tolist() == pytest.approx([(1 + 10 + 40) / 3, 11.0])


def test_a_place_seen_twice_keeps_one_cluster_over_the_frames_between():
    """Merging only neighbours in time would split it."""
    memory = filled([[0.0], [50.0], [90.0]])
    for stamp in range(10, 20):
        write(memory, [90.0], stamp)
    write(memory, [0.0], 30)
    assert memory.weights[:3].tolist() == [2, 1, 11]
    assert (memory.first_ns[0].item(), memory.last_ns[0].item()) == (1, 30)


def test_order_is_by_mean_stamp_and_leaves_empty_slots_out():
    memory = filled([[0.0], [100.0], [200.0]])
    write(memory, [0.0], 50)  # slot 0 now has a mean of 25.5
    assert memory.order(3).tolist() == [1, 2, 0]
    half = filled([[5.0], [1.0]], slots=4)
    assert half.order(2).tolist() == [0, 1]


def test_distances_are_direct_differences():
    """The Gram form |a|^2 - 2ab + |b|^2 cancels here: it finds zero or negative distances."""
    far = 20_000.0
    memory = filled([[far, 0.0], [far + 1.0, 0.0], [far + 3.0, 0.0]])
    write(memory, [far + 7.0, 0.0], 9)
    assert memory.centroids[:3, 0].tolist() == [far + 0.5, far + 7.0, far + 3.0]


def test_the_largest_features_overflow_nothing():
    memory = TemporalMemory(3, 16)
    for frame in range(40):
        sign = 1.0 if frame % 2 else -1.0
        write(memory, torch.full((16,), sign * (65504.0 - 800.0 * frame)), 1 + frame)
    centroids, weights = rows(memory)
    assert np.isfinite(centroids).all()
    assert weights.sum() == 40
    assert memory.costs[:3, :3].fill_diagonal_(0.0).isfinite().all()


def test_identical_points_leave_no_empty_cluster():
    memory = TemporalMemory(4, 2)
    for frame in range(100):
        write(memory, [0.3, -0.7], 1 + frame)
        weights = memory.weights[: min(frame + 1, 4)]
        assert (weights > 0).all()
        assert weights.sum().item() == frame + 1
    np.testing.assert_allclose(rows(memory)[0], [[0.3, -0.7]] * 4, rtol=1e-6)


def test_weighted_mean_stays_exact_over_thousands_of_frames():
    memory = filled([[0.0], [1000.0]])
    for frame in range(2000):
        write(memory, [float(frame % 2)], 10 + frame)
    assert memory.weights[:2].tolist() == [2001, 1]
    assert memory.centroids[0, 0].item() == pytest.approx(1000 / 2001, rel=1e-4)


@pytest.mark.parametrize('count', [0, 1, 2, 3, 7])
def test_a_refused_point_changes_no_cluster_while_filling_and_when_full(count):
    memory = TemporalMemory(3, 1)
    for frame in range(count):
        write(memory, [float(frame)], 1 + frame)
    before = clusters(memory)
    write(memory, [float('nan')], 50, accepted=False)
    assert clusters(memory) == before
    write(memory, [5.0], 51)
    assert memory.centroids.isfinite().all()
    assert memory.weights[:3].sum().item() == count + 1


def clusters(memory: TemporalMemory) -> dict[str, list]:
    """All state but the scratch row of the newcomer."""
    kept = {name: value[: memory.slots] for name, value in memory.state_dict().items()}
    return {n: (v[:, : memory.slots] if n == 'costs' else v).tolist() for n, v in kept.items()}


def test_one_slot_is_the_mean_of_everything():
    memory = TemporalMemory(1, 1)
    for frame in range(9):
        write(memory, [float(frame)], 1 + frame)
    assert memory.centroids[0, 0].item() == pytest.approx(4.0)
    assert memory.weights[0].item() == 9
    assert (memory.first_ns[0].item(), memory.last_ns[0].item()) == (1, 9)
