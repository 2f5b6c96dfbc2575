# SPDX-License-Identifier: Apache-2.0
"""Temporal memory whose weights halve: against clusters that keep all of their frames."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch import Tensor

from flash_vstream_ros.core.temporal_memory import TemporalMemory

SLOTS = 5


def write(memory: TemporalMemory, point: Tensor, stamp_ns: int, accepted: bool = True) -> None:
    device = memory.weights.device
    stamp = torch.tensor(stamp_ns, device=device)
    memory.write(point.to(device), stamp, stamp.double(), torch.tensor(accepted, device=device))


def walk(count: int, seed: int = 0) -> Tensor:
    """Points that stay at a few places for a while."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randn(4, 3, generator=generator)
    order = torch.randint(4, (count // 3 + 1,), generator=generator).repeat_interleave(3)
    return places[order[:count]] + 0.1 * torch.randn(count, 3, generator=generator)


def state(memory: TemporalMemory) -> dict[str, Tensor]:
    """All state but the scratch row of the newcomer."""
    rows = memory.slots
    kept = {name: value[:rows].clone() for name, value in memory.state_dict().items()}
    return kept | {'costs': kept['costs'][:, :rows]}


@pytest.mark.parametrize('seed', range(5))
def test_the_cheapest_pair_is_merged_by_weights_that_halve(seed, device):
    points = walk(60, seed)
    exact = points.double().numpy()
    memory, clusters = TemporalMemory(SLOTS, 3, device, half_life=7), []
    for number, point in enumerate(points):
        write(memory, point, number)
        clusters.append([number])
        weights = 0.5 ** ((number - np.arange(60.0)) / 7)
        centroids = [np.average(exact[c], axis=0, weights=weights[c]) for c in clusters]
        masses = [weights[c].sum() for c in clusters]
        if len(clusters) > SLOTS:
            costs = {
                (a, b): masses[a] * masses[b] / (masses[a] + masses[b])
                * ((centroids[a] - centroids[b]) ** 2).sum()
                for a, b in combinations(range(len(clusters)), 2)
            }  # fmt: skip
            a, b = min(costs, key=costs.get)
            clusters[a] = sorted(clusters[a] + clusters.pop(b))
        found = {
            (int(memory.first_ns[row]), int(memory.last_ns[row]), int(memory.weights[row])): row
            for row in memory.order(len(clusters)).tolist()
        }
        assert found.keys() == {(c[0], c[-1], len(c)) for c in clusters}
        for c in clusters:
            row = found[c[0], c[-1], len(c)]
            centroid = np.average(exact[c], axis=0, weights=weights[c])
            np.testing.assert_allclose(memory.centroids[row].cpu(), centroid, atol=1e-4)
            assert float(memory.masses[row]) == pytest.approx(weights[c].sum(), rel=1e-9)
            assert float(memory.mean_offset_ns[row]) == pytest.approx(np.mean(c))


def test_what_is_new_in_a_long_stream_is_kept_where_equal_weights_merge_it_at_once():
    """The fault that it is for, as a robot sees it after hours: few new frames, heavy clusters."""
    places = [torch.tensor([x]) for x in (0.0, 1.0, 2.0, 3.0)]
    equal, fading = TemporalMemory(4, 1), TemporalMemory(4, 1, half_life=10)
    for memory in (equal, fading):
        for number in range(400):
            write(memory, places[number // 100], number)
        write(memory, torch.tensor([2.5]), 400)
    assert equal.weights[:4].tolist() == [100, 100, 101, 100]
    assert fading.weights[:4][fading.last_ns[:4] == 400].tolist() == [1]
    assert fading.weights[:4].sum() == 401


def test_without_a_half_life_masses_are_the_counts():
    memory = TemporalMemory(SLOTS, 3)
    for number, point in enumerate(walk(60)):
        write(memory, point, number)
        assert memory.masses[:SLOTS].tolist() == memory.weights[:SLOTS].tolist()


def test_the_kept_cost_table_fades_with_the_masses():
    memory = TemporalMemory(SLOTS, 3, half_life=7)
    for number, point in enumerate(walk(80)):
        write(memory, point, number)
    centroids, masses = memory.centroids.double(), memory.masses
    for a, b in product(range(SLOTS), repeat=2):
        if a != b:
            distance = (centroids[a] - centroids[b]).square().sum()
            fresh = masses[a] * masses[b] / (masses[a] + masses[b]) * distance
            assert memory.costs[a, b].item() == pytest.approx(float(fresh), rel=1e-4)


@pytest.mark.parametrize('count', [0, 1, SLOTS, 30])
def test_a_refused_frame_lets_nothing_fade(count, device):
    memory = TemporalMemory(SLOTS, 3, device, half_life=7)
    points = walk(31)
    for number, point in enumerate(points[:count]):
        write(memory, point, number)
    before = state(memory)
    write(memory, torch.full((3,), torch.nan), 50, accepted=False)
    for name, value in state(memory).items():
        assert torch.equal(value, before[name]), name


def test_what_has_faded_to_nothing_is_kept_finite_and_merged_first():
    """Beyond the range of floating-point numbers: 3,000 half-lives."""
    memory = TemporalMemory(SLOTS, 3, half_life=1)
    for number, point in enumerate(walk(3000)):
        write(memory, point, number)
        assert memory.centroids[:SLOTS].isfinite().all()
    assert not memory.costs.isnan().any()
    assert memory.weights[:SLOTS].sum() == 3000
    assert int(memory.last_ns[:SLOTS].max()) == 2999
    still = TemporalMemory(SLOTS, 3, half_life=1)
    for number in range(3000):
        write(still, torch.ones(3), number)
    assert torch.equal(still.centroids[:SLOTS], torch.ones(SLOTS, 3))
    assert still.weights[:SLOTS].sum() == 3000
