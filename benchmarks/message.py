# SPDX-License-Identifier: Apache-2.0
"""Snapshot -> message -> snapshot, in one process. Needs the built package."""

from benchmarks.measure import Figure, interleave, milliseconds
from benchmarks.memory import PUBLISHED, Stream
from flash_vstream_ros.core.snapshot import MemorySnapshot

TARGET_MS = 2.0


def published_snapshot() -> MemorySnapshot:
    """A full memory of the published size."""
    stream = Stream(PUBLISHED)
    stream.write_until(2 * PUBLISHED.temporal_slots)
    return stream.memory.snapshot()


def measure(quick: bool) -> list[Figure]:
    """Measure both directions."""
    # Here, because what needs no ROS must run without it.
    from flash_vstream_ros.msg import MemorySnapshot as Message

    from flash_vstream_ros.nodes.conversions import message_to_snapshot, snapshot_to_message

    snapshot = published_snapshot()
    message = snapshot_to_message(snapshot, Message())
    contenders = {
        'snapshot to message': lambda: snapshot_to_message(snapshot, Message()),
        'message to snapshot': lambda: message_to_snapshot(message),
        'there and back': lambda: message_to_snapshot(snapshot_to_message(snapshot, Message())),
    }
    seconds = interleave(contenders, rounds=20 if quick else 300)
    size = Figure('features in the message', 2 * len(message.features) / 1e6, 'MB')
    there_and_back = milliseconds(*seconds.popitem(), at_most=TARGET_MS)
    return [*(milliseconds(*item) for item in seconds.items()), there_and_back, size]
