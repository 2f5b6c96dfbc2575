# SPDX-License-Identifier: Apache-2.0
"""What the memory benchmark compares with computes the right thing."""

import pytest
import torch
from benchmark_modules import kmeans, memory

from flash_vstream_ros.core.temporal_memory import TemporalMemory


def random_points(count, seed, width=5):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def squared_error(points, weights, centroids):
    """Weighted k-means objective, each point with its nearest centroid."""
    distances = (points[:, None] - centroids[None]).square().sum(2)
    return float((weights * distances.amin(1)).sum())


def cluster(points, weights, slots, arithmetic, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return kmeans.lloyd(points, weights, slots, arithmetic, generator, **options)


def merged(frames, slots):
    """Temporal memory of some frames, and the points and weights of its last write."""
    temporal = TemporalMemory(slots, frames.shape[1])
    write = memory._merge_writer(temporal)
    for frame in frames[:-1]:
        write(frame)
    points = torch.cat([temporal.centroids[:slots], frames[-1:]])
    weights = torch.cat([temporal.weights[:slots].float(), torch.ones(1)])
    write(frames[-1])
    return temporal, points, weights


@pytest.mark.parametrize('seed', range(5))
def test_both_kmeans_baselines_compute_the_same(seed):
    points, weights = random_points(12, seed), torch.arange(1.0, 13.0)
    broadcast = cluster(points, weights, 4, kmeans.BROADCAST, seed)
    products = cluster(points, weights, 4, kmeans.PRODUCTS, seed)
    for one, other in zip(broadcast, products, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('arithmetic', [kmeans.BROADCAST, kmeans.PRODUCTS])
def test_a_kmeans_baseline_finds_clusters_that_are_plain_to_see(arithmetic):
    centres = 100 * torch.eye(3, 5)
    points = centres.repeat(4, 1) + random_points(12, seed=1)
    found = [cluster(points, torch.ones(12), 3, arithmetic, seed)[0] for seed in range(20)]
    best = min(found, key=lambda centroids: squared_error(points, torch.ones(12), centroids))
    expected = points.view(4, 3, 5).mean(0)
    torch.testing.assert_close(best[best.argmax(1).argsort()], expected)


@pytest.mark.parametrize('arithmetic', [kmeans.BROADCAST, kmeans.PRODUCTS])
def test_a_kmeans_baseline_keeps_weights_and_their_mean(arithmetic):
    points, weights = random_points(9, seed=3), torch.arange(1.0, 10.0)
    centroids, totals = cluster(points, weights, 4, arithmetic)
    assert totals.sum() == weights.sum()
    torch.testing.assert_close(totals @ centroids, weights @ points)


def test_a_settled_kmeans_baseline_stops_early():
    iterations = []

    def nearest(points, centroids):
        iterations.append(1)
        return kmeans.PRODUCTS.nearest(points, centroids)

    counting = kmeans.Arithmetic(nearest, kmeans.PRODUCTS.means)
    cluster(random_points(5, seed=4), torch.ones(5), 4, counting)
    assert len(iterations) == 10
    iterations.clear()
    cluster(random_points(5, seed=4), torch.ones(5), 4, counting, tolerance=1e-4)
    assert 1 < len(iterations) < 10


@pytest.mark.parametrize('arithmetic', [kmeans.BROADCAST, kmeans.PRODUCTS])
@pytest.mark.parametrize('frames', [5, 30])
def test_a_kmeans_baseline_is_never_better_than_one_merge(arithmetic, frames):
    temporal, points, weights = merged(random_points(frames, seed=frames), slots=4)
    ours = squared_error(points, weights, temporal.centroids[:4])
    for seed in range(20):
        theirs = squared_error(points, weights, cluster(points, weights, 4, arithmetic, seed)[0])
        assert ours <= theirs * (1 + 1e-5)


def test_a_kmeans_memory_keeps_its_size_and_counts_its_frames():
    baseline = kmeans.KMeansMemory(4, kmeans.PRODUCTS)
    for frame in random_points(11, seed=6):
        baseline.write(frame)
    assert baseline.centroids.shape == (4, 5)
    assert baseline.weights.sum() == 11
