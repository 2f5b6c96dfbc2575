# SPDX-License-Identifier: Apache-2.0
"""``/diagnostics`` at 1 Hz, and a latched ``~/status`` that changes with the node's health."""

import resource
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy._rclpy_pybind11 import RCLError
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from flash_vstream_ros.nodes.qos import LATCHED

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
PERIOD_S = 1.0
WINDOW_S = 10.0  # over which rates are told
RECENT_S = 30.0  # a fault that has not happened again for so long is over
_MIB = 2**20


class Durations:
    """The newest durations of one kind, in seconds."""

    def __init__(self, kept: int = 1000) -> None:
        self._kept: deque[float] = deque(maxlen=kept)

    def add(self, seconds: float) -> None:
        """Take one in. Any thread."""
        self._kept.append(seconds)

    def values(self, name: str) -> dict[str, str]:
        """Median and 99th percentile in milliseconds, as diagnostics show them."""
        ordered = sorted(self._kept.copy())  # the worker may add to it meanwhile
        if not ordered:
            return {f'{name} median (ms)': '', f'{name} 99th (ms)': ''}
        picked = {'median': 0.5, '99th': 0.99}
        return {
            f'{name} {label} (ms)': f'{1000 * ordered[int(share * (len(ordered) - 1))]:.1f}'
            for label, share in picked.items()
        }


class Rate:
    """How often something that is counted happens: the mean of the newest seconds.

    What happens seldom is told as well: from the first time, by the time since the beginning, and
    then by the time between the newest two.

    :param count: of what happened before.
    """

    def __init__(self, count: int = 0) -> None:
        self._looked = (time.monotonic(), count)
        self._grew = deque([self._looked])  # the looks at which there was more than before

    def of(self, count: int) -> float:
        """Events per second, told from time to time.

        :param count: of all that happened so far.
        """
        now = time.monotonic()
        looked, self._looked = self._looked, (now, count)
        if count < looked[1]:  # the counter began again
            self._grew = deque([self._looked])
        elif count > looked[1]:
            if count > looked[1] + 1 and now - self._grew[-1][0] > WINDOW_S:
                self._grew = deque([looked])  # the silence before is none of the rate
            self._grew.append(self._looked)
        while len(self._grew) > 2 and now - self._grew[0][0] > WINDOW_S:
            self._grew.popleft()
        (began, first), (ended, last) = self._grew[0], self._grew[-1]
        if last == first:
            return 0.0
        interval_s = max(ended - began, 1e-9) / (last - first)
        silent_s = now - ended
        if silent_s <= 2.0 * interval_s:
            return 1.0 / interval_s
        is_over = silent_s >= max(WINDOW_S, 3.0 * interval_s)
        return 0.0 if is_over else (last - first) / (now - began)


def say_error(text: str, since: float) -> str:
    """Show the newest error with its age; nothing where there is none.

    :param since: when it was, by ``time.monotonic()``.
    """
    return f'{text} ({time.monotonic() - since:.0f} s ago)' if text else ''


class Diagnostics:
    """Publishes what a node says of itself, as long as it is configured.

    :param statuses: returns one status for each part of the node; called on the executor.
    """

    def __init__(self, node: Node, statuses: Callable[[], Sequence[DiagnosticStatus]]) -> None:
        self._node = node
        self._statuses = statuses
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._latched = node.create_publisher(DiagnosticStatus, '~/status', LATCHED)
        self._said: tuple[bytes, str] | None = None
        node.create_timer(PERIOD_S, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        """Publish at once: the array, and the status where it has changed."""
        array = DiagnosticArray(status=[*self._statuses(), name_status(self._node)])
        array.header.stamp = self._node.get_clock().now().to_msg()
        worst = max(array.status, key=lambda status: status.level)
        try:
            self._publisher.publish(array)
            if self._said != (worst.level, worst.message):
                self._latched.publish(worst)
                self._said = (worst.level, worst.message)
        except RCLError as error:  # a reader too slow; the next second brings the next one
            self._node.get_logger().debug(f'diagnostics not published: {error}')


def status(
    node: Node, part: str, faults: Sequence[tuple[bytes, str]], values: Mapping[str, object]
) -> DiagnosticStatus:
    """Make a status: the worst fault is its level and comes first in its message.

    :param faults: level and what is wrong, in words that stay while it does: numbers that go on
        belong into ``values``, or the latched status would change with each of them. None: all
        is well.
    :param values: what is shown beside it.
    """
    ordered = sorted(faults, key=lambda fault: fault[0], reverse=True)
    return DiagnosticStatus(
        level=ordered[0][0] if ordered else OK,
        name=f'{node.get_fully_qualified_name()[1:]}: {part}',
        message='; '.join(text for _, text in ordered) or 'all is well',
        hardware_id=node.get_fully_qualified_name(),
        values=[KeyValue(key=name, value=str(value)) for name, value in values.items()],
    )


def name_status(node: Node) -> DiagnosticStatus:
    """Say whether another node has this node's name: both would answer and publish as one."""
    name = node.get_fully_qualified_name()
    own_and_others = node.get_node_names_and_namespaces()
    count = sum(f'{space.rstrip("/")}/{other}' == name for other, space in own_and_others)
    text = (
        f'{count} nodes are named {name}, and nobody can tell which of them answers or publishes; '
        f'stop all but one (one that was killed is counted for some 20 s more)'
    )
    faults = [(WARN, text)] if count > 1 else []
    return status(node, 'name', faults, {'nodes of this name': count})


def machine_values(device: torch.device) -> dict[str, str]:
    """Memory that the process and its part of the device take."""
    # Pages are of 16 or 64 KiB on some arm64.
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    resident = pages * resource.getpagesize()
    values = {'resident memory (MiB)': f'{resident / _MIB:.0f}'}
    if device.type == 'cuda':
        allocated = torch.cuda.memory_allocated(device)
        peak = torch.cuda.max_memory_allocated(device)
        values |= {
            'VRAM allocated (MiB)': f'{allocated / _MIB:.0f}',
            'VRAM peak (MiB)': f'{peak / _MIB:.0f}',
        }
    return values
