# SPDX-License-Identifier: Apache-2.0
"""Feature buffer: the newest frames in detail, for spatial and retrieved memory."""

import torch
from torch import Tensor, nn


class FeatureBuffer(nn.Module):
    """A ring of the newest frames, preallocated (paper section 3.2, feature buffer).

    Beside each detailed map lies its coarse one: pooling all frames at each read would cost more
    than everything else in it.

    :param frames: capacity.
    :param detail_shape: (P * P, D) of a detailed map.
    :param coarse_width: P * P * D of a flattened coarse map.
    """

    def __init__(
        self,
        frames: int,
        detail_shape: tuple[int, int],
        coarse_width: int,
        device: torch.device | str = 'cpu',
    ) -> None:
        super().__init__()
        self.capacity = frames
        self.register_buffer('detail', torch.zeros(frames, *detail_shape, device=device))
        self.register_buffer('coarse', torch.zeros(frames, coarse_width, device=device))
        self.register_buffer('stamps_ns', torch.zeros(frames, dtype=torch.int64, device=device))

    @torch.no_grad()
    def write(
        self, detail: Tensor, coarse: Tensor, stamp_ns: Tensor, frames: Tensor, accepted: Tensor
    ) -> None:
        """Overwrite the oldest frame.

        :param detail: (P * P, D) float32; ``coarse``: (P * P * D,) float32.
        :param stamp_ns: int64 scalar.
        :param frames: int64 scalar, the frames written before this one.
        :param accepted: bool scalar; False leaves the state as it was.
        """
        slot = (frames % self.capacity).view(1)
        new = ((self.detail, detail), (self.coarse, coarse), (self.stamps_ns, stamp_ns))
        for buffer, value in new:
            buffer.index_copy_(0, slot, torch.where(accepted, value[None], buffer[slot]))

    def newest(self, count: int, frames: int) -> Tensor:
        """Slots of the newest ``count`` frames, oldest first, given the frames written so far."""
        held = min(count, frames, self.capacity)
        slots = torch.arange(frames - held, frames, device=self.stamps_ns.device)
        return slots % self.capacity

    def nearest(self, points: Tensor, frames: int) -> Tensor:
        """For each point the slot whose coarse map is nearest; of equal ones the oldest.

        :param points: (R, P * P * D) float32.
        :param frames: frames written so far, at least 1.
        :returns: (R,) int64.
        """
        in_time = self.newest(self.capacity, frames)
        # Direct differences, fused: no copy of the buffer, and no cancellation of the Gram form.
        distances = torch.cdist(
            points, self.coarse, compute_mode='donot_use_mm_for_euclid_dist'
        )  # (R, capacity)
        return in_time[distances[:, in_time].argmin(1)]
