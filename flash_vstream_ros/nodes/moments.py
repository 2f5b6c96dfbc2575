# SPDX-License-Identifier: Apache-2.0
"""What a memory holds of its stream, for people and planners: stretches of time, and places."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped

from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.core.time_range import LimitedSnapshot
from flash_vstream_ros.msg import MemoryMoment
from flash_vstream_ros.msg import MemorySnapshot as MemorySnapshotMessage
from flash_vstream_ros.nodes.times import ns_to_time

NEVER = Time()


@dataclass(frozen=True)
class Places:
    """Key frames and poses that came with a memory: one for each slot, or none.

    :param key_stamps: of the temporal clusters.
    """

    key_stamps: Sequence[Time] = ()
    temporal_poses: Sequence[PoseStamped] = ()
    retrieved_poses: Sequence[PoseStamped] = ()

    @classmethod
    def from_message(cls, message: MemorySnapshotMessage) -> 'Places':
        """Read them out of a message whose sizes have been checked.

        :raises ValueError: there are more or fewer than slots.
        """
        expected = {
            'temporal_key_stamps': message.temporal_slots,
            'temporal_poses': message.temporal_slots,
            'retrieved_poses': message.retrieved_slots,
        }
        for name, slots in expected.items():
            if len(getattr(message, name)) not in (0, slots):
                raise ValueError(
                    f'{name}: expected {slots} or none, got {len(getattr(message, name))}'
                )
        return cls(*(getattr(message, name) for name in expected))

    def fill(self, message: MemorySnapshotMessage) -> None:
        """Write them into a message."""
        message.temporal_key_stamps = self.key_stamps
        message.temporal_poses = self.temporal_poses
        message.retrieved_poses = self.retrieved_poses


NO_PLACES = Places()


def moments_of(
    snapshot: MemorySnapshot, places: Places, from_ns: int = 0, to_ns: int = 0
) -> list[MemoryMoment]:
    """List what a memory holds of a stretch of time: clusters by mean stamp, then frames.

    :param from_ns: first stamp of the stretch, nanoseconds; clusters that reach into it count.
    :param to_ns: last stamp of the stretch, nanoseconds; 0: no end.
    """
    kept = LimitedSnapshot.between(snapshot, from_ns, to_ns)
    found = [
        MemoryMoment(
            part=MemoryMoment.TEMPORAL,
            frames=int(snapshot.temporal_weights[i]),
            first_stamp=ns_to_time(int(snapshot.temporal_first_stamps_ns[i])),
            last_stamp=ns_to_time(int(snapshot.temporal_last_stamps_ns[i])),
            key_stamp=places.key_stamps[i] if places.key_stamps else NEVER,
            pose=places.temporal_poses[i] if places.temporal_poses else PoseStamped(),
        )
        for i in np.flatnonzero(kept.clusters).tolist()
    ]
    for i in np.flatnonzero(kept.inside('retrieved')).tolist():
        pose = places.retrieved_poses[i] if places.retrieved_poses else PoseStamped()
        found.append(_frame(int(snapshot.retrieved_stamps_ns[i]), pose))
    return found


def _frame(stamp_ns: int, pose: PoseStamped) -> MemoryMoment:
    stamp = ns_to_time(stamp_ns)
    return MemoryMoment(
        part=MemoryMoment.RETRIEVED,
        frames=1,
        first_stamp=stamp,
        last_stamp=stamp,
        key_stamp=stamp,
        pose=pose,
    )
