# SPDX-License-Identifier: Apache-2.0
"""Which cluster each retrieved frame of a memory belongs to."""

from typing import TYPE_CHECKING

import numpy as np

from flash_vstream_ros.core.config import MemoryGeometry

if TYPE_CHECKING:
    from flash_vstream_ros.core.snapshot import MemorySnapshot


def retrieved_clusters(snapshot: 'MemorySnapshot', geometry: MemoryGeometry) -> list[int]:
    """The cluster that each retrieved frame was retrieved for.

    The heaviest ones, of equal weights the newest first. Where weights fade, a snapshot does not
    say how heavy a cluster was: of those whose time a frame lies in it is the one most like it.
    """
    if not geometry.temporal_half_life:
        order = np.lexsort((-snapshot.temporal_last_stamps_ns, -snapshot.temporal_weights))
        return order[: len(snapshot.retrieved)].tolist()
    # A centroid is a mean of maps, so its mean over the patches is that of whole frames.
    centroids, frames = (
        part.float().mean(1).cpu().numpy() for part in (snapshot.temporal, snapshot.retrieved)
    )
    stamps_ns = snapshot.retrieved_stamps_ns[:, None]
    is_inside = (snapshot.temporal_first_stamps_ns <= stamps_ns) & (
        stamps_ns <= snapshot.temporal_last_stamps_ns
    )
    distances = np.square(frames[:, None] - centroids).sum(-1)
    return (distances + np.where(is_inside, 0.0, distances.max() + 1.0)).argmin(1).tolist()
