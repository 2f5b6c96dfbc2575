# SPDX-License-Identifier: Apache-2.0
"""Nodes that run as processes while a benchmark loads them: what they hold, use and publish."""

import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from flash_vstream_ros.nodes.conversions import time_to_ns

NS_PER_S = 1_000_000_000
START_LIMIT_S = 90.0
RELIABLE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE
)


def isolate() -> None:
    """Let this process and those that it starts see this machine alone, in a domain of theirs."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_DOMAIN_ID'] = str(random.randint(1, 100))


class Spinner:
    """A node of the benchmark's own, spun by whoever waits.

    :param name: of the node.
    """

    def __init__(self, name: str, namespace: str = '/flash_vstream') -> None:
        self.node = Node(name, namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def spin_until(self, condition: Callable[[], object], what: str, limit_s: float) -> None:
        """Spin until a condition holds.

        :param what: said where it never does.
        :raises TimeoutError: it did not within ``limit_s`` seconds.
        """
        ends = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > ends:
                raise TimeoutError(f'{limit_s:g} s passed without {what}')
            self._executor.spin_once(timeout_sec=0.1)

    def spin_for(self, seconds: float) -> None:
        """Spin for a time."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left, 0.1))


def resident_mb(process_id: int) -> float:
    """Memory of another process that is in RAM."""
    text = Path(f'/proc/{process_id}/status').read_text()
    return int(re.search(r'^VmRSS:\s+(\d+) kB', text, re.MULTILINE)[1]) * 1024 / 1e6


def processor_s(process_id: int) -> float:
    """Processor time that another process has used."""
    fields = Path(f'/proc/{process_id}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def newest_stamp_ns(memory: object) -> int:
    """Stamp of the newest frame in a ``MemorySnapshot``."""
    return time_to_ns(memory.header.stamp)
