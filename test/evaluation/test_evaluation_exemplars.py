# SPDX-License-Identifier: Apache-2.0
"""Retrieval of one kept frame per cluster, followed by hand."""

import numpy as np
import pytest
import torch
from evaluation_samples import SMALL, S, make_source, scenes

from flash_vstream_ros.core.star_memory import pool
from flash_vstream_ros.evaluation.inputs import make_input


def naive_exemplars(points: np.ndarray, slots: int) -> list[tuple[list[int], int]]:
    """(frames, exemplar) by slot: of two clusters that merge the exemplar nearer to the centre."""
    clusters: list[tuple[list[int], int]] = []
    for frame in range(len(points)):
        clusters.append(([frame], frame))
        if len(clusters) <= slots:
            continue
        centre = [points[frames].mean(0) for frames, _ in clusters]
        sizes = [len(frames) for frames, _ in clusters]
        pairs = [(a, b) for a in range(slots + 1) for b in range(a + 1, slots + 1)]
        costs = [
            sizes[a] * sizes[b] / (sizes[a] + sizes[b]) * ((centre[a] - centre[b]) ** 2).sum()
            for a, b in pairs
        ]
        a, b = pairs[int(np.argmin(costs))]
        frames = clusters[a][0] + clusters[b][0]
        merged = points[frames].mean(0)
        nearer = min(
            (clusters[a][1], clusters[b][1]), key=lambda f: ((points[f] - merged) ** 2).sum()
        )
        clusters[a] = (frames, nearer)
        newest = clusters.pop()
        if b < slots:
            clusters[b] = newest
    return clusters


@pytest.mark.parametrize('seed', range(3))
def test_retrieved_frames_are_the_exemplars_of_the_heaviest_clusters(seed):
    features = scenes(80, seed=seed)
    shown = make_input('exemplars', make_source())
    details = pool(features, SMALL.detail_side)  # (T, Q * Q, D)
    maps = details.unflatten(1, (4, 4))
    points = pool(maps, SMALL.temporal_side).flatten(1).double().numpy()
    for number, feature in enumerate(features):
        shown.write(feature, (number + 1) * S)
        if number % 9 == 0:
            clusters = naive_exemplars(points[: number + 1], SMALL.temporal_slots)
            ranked = sorted(clusters, key=lambda c: (-len(c[0]), -max(c[0])))
            chosen = [exemplar for _, exemplar in ranked[: SMALL.retrieved_slots]]
            retrieved = shown.read().parts['retrieved'].unflatten(0, (-1, 16))
            torch.testing.assert_close(retrieved, details[chosen])


def test_an_exemplar_outlives_the_buffer():
    """What the comparison is about: the buffer of 16 frames has forgotten the first place."""
    here, there = torch.zeros(8, 8, 6), torch.ones(8, 8, 6)
    noise = 0.01 * torch.randn(70, 8, 8, 6, generator=torch.Generator().manual_seed(0))
    buffered, kept = (make_input(name, make_source()) for name in ('star', 'exemplars'))
    for number in range(70):
        feature = (here if number < 40 else there) + noise[number]
        for shown in (buffered, kept):
            shown.write(feature, (number + 1) * S)
    nearest = [
        float(shown.read().parts['retrieved'].unflatten(0, (3, 16)).abs().mean((1, 2)).min())
        for shown in (buffered, kept)
    ]
    assert nearest[0] > 0.9
    assert nearest[1] < 0.1


def test_the_other_parts_are_those_of_star():
    star, exemplars = (make_input(name, make_source()) for name in ('star', 'exemplars'))
    for number, feature in enumerate(scenes(50)):
        star.write(feature, (number + 1) * S)
        exemplars.write(feature, (number + 1) * S)
    parts, others = star.read().parts, exemplars.read().parts
    assert list(parts) == list(others)
    for name in ('abstract', 'temporal', 'spatial'):
        assert torch.equal(parts[name], others[name])
