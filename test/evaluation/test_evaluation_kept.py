# SPDX-License-Identifier: Apache-2.0
"""Which frames ended in which cluster: exact, against clusters that are followed by hand."""

import numpy as np
import pytest
import torch
from evaluation_samples import SMALL, S, make_source, scenes

from flash_vstream_ros.core.star_memory import pool
from flash_vstream_ros.evaluation.inputs import make_input
from flash_vstream_ros.evaluation.kept import ClusterTracker, Kept, Move


def naive_clusters(points: np.ndarray, slots: int) -> list[list[int]]:
    """Frames by slot, after one exact merge a frame, each cost from the frames themselves."""
    clusters: list[list[int]] = []
    for frame in range(len(points)):
        clusters.append([frame])
        if len(clusters) <= slots:
            continue
        best, pair = np.inf, (0, 0)
        for a in range(slots + 1):
            for b in range(a + 1, slots + 1):
                n, m = len(clusters[a]), len(clusters[b])
                gap = points[clusters[a]].mean(0) - points[clusters[b]].mean(0)
                cost = n * m / (n + m) * (gap @ gap)
                if cost < best:
                    best, pair = cost, (a, b)
        a, b = pair
        clusters[a] = clusters[a] + clusters[b]
        newest = clusters.pop()
        if b < slots:
            clusters[b] = newest
    return clusters


def followed(name: str, features: torch.Tensor) -> tuple[ClusterTracker, list[Move]]:
    shown = make_input(name, make_source())
    tracker = ClusterTracker(shown.memory.temporal)
    moves = []
    for number, feature in enumerate(features):
        shown.write(feature, (number + 1) * S)
        moves.append(tracker.observe((number + 1) * S))
    return tracker, moves


def coarse(features: torch.Tensor) -> np.ndarray:
    details = pool(features, SMALL.detail_side).unflatten(1, (4, 4))
    return pool(details, SMALL.temporal_side).flatten(1).double().numpy()


@pytest.mark.parametrize('seed', range(4))
def test_every_frame_is_found_in_its_cluster(seed):
    features = scenes(90, seed=seed)
    tracker, moves = followed('star', features)
    clusters = naive_clusters(coarse(features), SMALL.temporal_slots)
    expected = np.empty(90, int)
    for slot, frames in enumerate(clusters):
        expected[frames] = slot
    np.testing.assert_array_equal(tracker.slots, expected)
    # All three kinds of write have happened.
    assert moves[:5] == [Move(slot, None) for slot in range(5)]
    assert any(move.emptied_into is not None for move in moves)
    assert any(move.emptied_into is None for move in moves[5:])


def test_clusters_of_neighbours_are_stretches():
    tracker, _ = followed('neighbours', scenes(90))
    changes = int((np.diff(tracker.slots) != 0).sum())
    assert changes == len(set(tracker.slots.tolist())) - 1


def test_weights_of_the_memory_are_the_counts_of_the_tracker():
    features = scenes(150, seed=2)
    shown = make_input('star', make_source())
    tracker = ClusterTracker(shown.memory.temporal)
    for number, feature in enumerate(features):
        shown.write(feature, (number + 1) * S)
        tracker.observe((number + 1) * S)
        weights = shown.memory.temporal.weights[: SMALL.temporal_slots].numpy()
        np.testing.assert_array_equal(np.bincount(tracker.slots, minlength=5), weights)


def test_kept_tells_share_and_purity():
    tracker, _ = followed('star', scenes(40))
    tracker._slots[:40] = [0] * 20 + [1, 1, 1, 0, 2, 2, 2, 2, 2, 2] + [3] * 10
    tracker._weights = np.bincount(tracker._slots[:40], minlength=5)
    # Frames 20 to 24 are stamped 21 to 25 s: three in slot 1, one in slot 0, one in slot 2.
    kept = tracker.kept(21 * S, 25 * S)
    assert kept == Kept(5, 3 / 5, 1.0, 3 / 5)
    assert tracker.kept(20 * S + 1, 24 * S) == Kept(4, 3 / 4, 1.0, 3 / 4)
    assert tracker.kept(1 * S, 20 * S) == Kept(20, 1.0, 20 / 21, 1.0)
    assert tracker.kept(25 * S, 26 * S) == Kept(2, 1.0, 2 / 6, 0.0)
    assert tracker.kept(25 * S, 27 * S) == Kept(3, 1.0, 3 / 6, 1.0)  # half of it is enough
    assert tracker.kept(41 * S, 50 * S) is None
    assert tracker.kept(30 * S + 1, 31 * S - 1) is None


def test_of_equal_shares_the_purer_cluster_counts():
    tracker, _ = followed('star', scenes(12))
    tracker._slots[:12] = [0] * 8 + [0, 1, 0, 1]
    tracker._weights = np.bincount(tracker._slots[:12], minlength=5)
    assert tracker.kept(9 * S, 12 * S) == Kept(4, 0.5, 1.0, 0.5)


def test_a_missed_write_is_noticed():
    shown = make_input('star', make_source())
    tracker = ClusterTracker(shown.memory.temporal)
    features = scenes(3)
    shown.write(features[0], S)
    tracker.observe(S)
    with pytest.raises(ValueError, match='expected that of the one frame'):
        tracker.observe(S)
    shown.write(features[1], 2 * S)
    shown.write(features[2], 3 * S)
    with pytest.raises(ValueError, match='holds 3 frames, of which 1 were observed'):
        tracker.observe(3 * S)
