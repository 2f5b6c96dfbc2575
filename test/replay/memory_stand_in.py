# SPDX-License-Identifier: Apache-2.0
"""Snapshots of any shape, for tests of the picture."""

import numpy as np
import torch

from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.snapshot import MemorySnapshot

NS = 1_000_000_000
GEOMETRY = MemoryGeometry(feature_width=8)


def snapshot(
    clusters: list[tuple[int, int, int, int]],
    retrieved: list[int] = (),
    oldest_ns: int = NS,
    newest_ns: int | None = None,
    centroids: list[list[float]] | None = None,
) -> MemorySnapshot:
    """A snapshot of temporal clusters.

    :param clusters: weight, first, last and mean stamp of each.
    :param retrieved: stamps of the retrieved frames; the newest one, if none are given.
    :param centroids: (K, D), the same in all patches.
    """
    table = np.array(clusters, np.int64).reshape(-1, 4)
    width = GEOMETRY.feature_width
    maps = torch.zeros(len(table), width)
    if centroids is not None:
        maps[:, : len(centroids[0])] = torch.tensor(centroids)
    newest = newest_ns if newest_ns is not None else int(table[:, 2].max(initial=0))
    slots = min(len(table), 1)
    retrieved = retrieved or [newest] * slots
    return MemorySnapshot(
        encoder_id='e',
        memory_id=1,
        frames_written=int(table[:, 0].sum()),
        oldest_stamp_ns=oldest_ns if len(table) else 0,
        newest_stamp_ns=newest,
        abstract=torch.zeros(len(table), 1, width),
        temporal=maps[:, None].repeat(1, 16, 1),
        retrieved=torch.zeros(len(retrieved), 64, width),
        spatial=torch.zeros(slots, 64, width),
        temporal_weights=table[:, 0].copy(),
        temporal_first_stamps_ns=table[:, 1].copy(),
        temporal_last_stamps_ns=table[:, 2].copy(),
        temporal_mean_stamps_ns=table[:, 3].copy(),
        retrieved_stamps_ns=np.array(retrieved, np.int64).reshape(-1),
        spatial_stamps_ns=np.array([newest] * slots, np.int64),
    )
