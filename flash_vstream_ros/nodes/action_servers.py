# SPDX-License-Identifier: Apache-2.0
"""Action servers whose results are let go in time, also where the clock of a simulation stands."""

from collections.abc import Awaitable, Callable
from typing import Any

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from flash_vstream_ros.nodes.qos import REQUESTS

KEPT_S = 10  # a result, for whoever asks for it late


class _OnSystemTime:
    """A node, but for its clock, which is the system's.

    An action server counts on the clock of its node how long it keeps a result. Without a /clock
    that goes on it would keep all of them, and each goal would take longer than the one before.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._clock = Clock(clock_type=ClockType.SYSTEM_TIME)

    def get_clock(self) -> Clock:
        return self._clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)


def make_action_server(
    node: Node,
    kind: type,
    name: str,
    on_goal: Callable[[ServerGoalHandle], Awaitable],
    on_cancel: Callable[[ServerGoalHandle], CancelResponse],
    kept_s: int = KEPT_S,
) -> ActionServer:
    """Make an action server that takes as many requests at once as the services of a node.

    :param kind: of the action.
    :param on_goal: returns the result; awaits it among the node's other callbacks.
    :param kept_s: seconds of the system's clock that a result is kept.
    """
    return ActionServer(
        _OnSystemTime(node),
        kind,
        name,
        on_goal,
        cancel_callback=on_cancel,
        callback_group=ReentrantCallbackGroup(),
        goal_service_qos_profile=REQUESTS,
        result_service_qos_profile=REQUESTS,
        cancel_service_qos_profile=REQUESTS,
        result_timeout=kept_s,
    )
