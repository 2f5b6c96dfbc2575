# SPDX-License-Identifier: Apache-2.0
"""The two processes of the transport benchmark: `transport_ends.py publish|subscribe KIND ...`.

Stamps are of the monotonic clock, which all processes of a machine share. The subscriber runs
until its standard input ends, then prints what it saw as JSON.
"""

import argparse
import json
import sys
import threading
import time
from array import array
from dataclasses import dataclass, field
from typing import Any

from builtin_interfaces.msg import Time
from flash_vstream_ros.msg import MemorySnapshot
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.running import initialised

NS_PER_S = 1_000_000_000
BEST_EFFORT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
KINDS = {'memory': (MemorySnapshot, LATCHED), 'image': (Image, BEST_EFFORT)}
MATCH_LIMIT_S = 30.0


def memory_message() -> MemorySnapshot:
    """A message as large as that of a full memory of the published size."""
    message = MemorySnapshot(feature_width=1024, temporal_slots=25, temporal_side=4)
    message.features = array('H', bytes(2 * 681 * 1024))
    message.temporal_weights = array('Q', [1] * 25)
    for part in ('first', 'last', 'mean'):
        setattr(message, f'temporal_{part}_stamps', [Time() for _ in range(25)])
    return message


def image_message() -> Image:
    """A picture of 1280 x 720."""
    message = Image(width=1280, height=720, step=3 * 1280, encoding='rgb8')
    message.data = array('B', bytes(720 * 3 * 1280))
    return message


def publish(node: Node, kind: str, count: int, rate_hz: float) -> None:
    """Publish at a steady rate, beginning when somebody listens.

    :raises TimeoutError: nobody listens.
    """
    message = {'memory': memory_message, 'image': image_message}[kind]()
    message_type, qos = KINDS[kind]
    publisher = node.create_publisher(message_type, 'benchmark', qos)
    deadline = time.monotonic() + MATCH_LIMIT_S
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline:
            raise TimeoutError(f'no subscriber within {MATCH_LIMIT_S} s')
        time.sleep(0.05)
    time.sleep(0.5)  # the other side may not know of us yet
    started = time.monotonic()
    for index in range(count):
        time.sleep(max(0.0, started + index / rate_hz - time.monotonic()))
        seconds, rest = divmod(time.monotonic_ns(), NS_PER_S)
        message.header.stamp = Time(sec=seconds, nanosec=rest)
        publisher.publish(message)
    time.sleep(1.0)  # what is on its way must not die with us


@dataclass
class Arrivals:
    """What a subscriber saw of each message."""

    latencies_s: list[float] = field(default_factory=list)
    times_s: list[tuple[float, float]] = field(default_factory=list)  # steady, of the processor

    def add(self, message: Any) -> None:
        """Note one message."""
        now_ns = time.monotonic_ns()
        stamp = message.header.stamp
        self.latencies_s.append((now_ns - stamp.sec * NS_PER_S - stamp.nanosec) / NS_PER_S)
        self.times_s.append((now_ns / NS_PER_S, time.process_time()))

    def processor_share(self) -> float | None:
        """Share of one core between the first and the last message; None where too few came."""
        if len(self.times_s) < 10:
            return None
        (first, used_before), (last, used_after) = self.times_s[0], self.times_s[-1]
        return (used_after - used_before) / (last - first)


def subscribe(node: Node, kind: str) -> Arrivals:
    """Listen until standard input ends."""
    arrivals = Arrivals()
    message_type, qos = KINDS[kind]
    node.create_subscription(message_type, 'benchmark', arrivals.add, qos)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        executor.spin_once(timeout_sec=0.2)
    return arrivals


def main() -> int:
    """Be one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('end', choices=('publish', 'subscribe'))
    parser.add_argument('kind', choices=tuple(KINDS))
    parser.add_argument('--count', type=int, default=0)
    parser.add_argument('--rate', type=float, default=1.0)
    options = parser.parse_args()
    with initialised():
        node = Node(f'benchmark_{options.end}')
        if options.end == 'publish':
            publish(node, options.kind, options.count, options.rate)
            return 0
        arrivals = subscribe(node, options.kind)
    share = arrivals.processor_share()
    print(json.dumps({'latencies_s': arrivals.latencies_s, 'processor_share': share}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
