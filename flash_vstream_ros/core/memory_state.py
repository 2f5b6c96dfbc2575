# SPDX-License-Identifier: Apache-2.0
"""Checks that a loaded state is one that a stream of frames could have left.

A digest says that a file is whole, not that it makes sense: a state from outside is looked at
before it is used, so that reading, publishing and writing on cannot fail over it later.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.snapshot import fits_float16

_FEATURES = (
    'abstract.memory',
    'abstract.pending',
    'buffer.detail',
    'buffer.coarse',
    'temporal.centroids',
)


def state_fault(state: Mapping[str, Tensor], geometry: MemoryGeometry) -> str:
    """Find what in a state no stream of frames could have left.

    :param state: the ``state_dict`` of a memory of this geometry, on the CPU.
    :returns: what is wrong; '' where nothing is.
    """
    # The newcomer's row may hold what was refused on a GPU; it is written before it is read.
    centroids = state['temporal.centroids'][: geometry.temporal_slots]
    known = {**state, 'temporal.centroids': centroids}
    unfit = [name for name in _FEATURES if not fits_float16(known[name])]
    if unfit:
        return f'{unfit[0]}: expected finite values within float16'
    frames, oldest, newest, refused = (
        int(state[name]) for name in ('frames', 'oldest_ns', 'newest_ns', 'refused_ns')
    )
    if not frames and not (oldest or newest):
        return _cluster_fault(state, 0, geometry)
    # Each frame has a later stamp than the one before.
    if not 0 < oldest <= newest or not 0 < frames <= newest - oldest + 1 or refused < 0:
        return f'{frames} frames do not go with stamps from {oldest} to {newest} ns'
    held = state['buffer.stamps_ns'][: min(frames, geometry.buffer_frames)]
    if held.min() < oldest or held.max() > newest:
        return f'buffer.stamps_ns: expected stamps from {oldest} to {newest} ns'
    return _cluster_fault(state, frames, geometry)


def _cluster_fault(state: Mapping[str, Tensor], frames: int, geometry: MemoryGeometry) -> str:
    slots = geometry.temporal_slots
    weights = state['temporal.weights'][:slots]
    filled = weights > 0
    # Python's numbers, because those of the file could overflow int64.
    if sum(weights.tolist()) != frames or int(filled.sum()) != min(frames, slots):
        return f'the weights of the clusters do not sum up to {frames} frames'
    masses = state['temporal.masses'][:slots]
    if (weights < 0).any() or not ((masses >= 0) & (masses <= weights)).all():
        return 'temporal.weights, temporal.masses: expected 0 <= mass <= weight'
    if not _is_cost_table(state['temporal.costs'][:slots, :slots], filled):
        return 'temporal.costs: expected a symmetric table, infinite where nothing can merge'
    first, last, offset = (
        state[f'temporal.{name}'][:slots][filled]
        for name in ('first_ns', 'last_ns', 'mean_offset_ns')
    )
    oldest, newest = state['oldest_ns'], state['newest_ns']
    span = (newest - oldest).double()
    is_within = (oldest <= first) & (first <= last) & (last <= newest)
    if not bool((is_within & (offset >= 0) & (offset <= span)).all()):
        return f'the stamps of the clusters do not lie from {int(oldest)} to {int(newest)} ns'
    return ''


def _is_cost_table(costs: Tensor, filled: Tensor) -> bool:
    """Whether costs are symmetric, and finite exactly between two different filled slots."""
    can_merge = filled[:, None] & filled & ~torch.eye(len(filled), dtype=torch.bool)
    is_cost = torch.where(can_merge, (costs >= 0) & costs.isfinite(), costs == torch.inf)
    return bool(is_cost.all()) and torch.equal(costs, costs.T)
