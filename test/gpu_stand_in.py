# SPDX-License-Identifier: Apache-2.0
"""What a GPU does differently, on a machine without one."""

import torch

from flash_vstream_ros.core.star_memory import StarMemory


def write_as_a_gpu(memory: StarMemory, feature: torch.Tensor, stamp_ns: int) -> None:
    """Write a frame without waiting to learn whether its feature is good."""
    memory._feature.copy_(feature)
    memory._stamp_ns.fill_(stamp_ns)
    with torch.no_grad():
        memory._commit()
    memory.newest_stamp_ns = stamp_ns
