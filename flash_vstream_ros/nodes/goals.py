# SPDX-License-Identifier: Apache-2.0
"""Questions as goals of the action, on the side of who asks."""

import uuid
from concurrent.futures import Future as Answered

from action_msgs.msg import GoalStatus
from rclpy._rclpy_pybind11 import RCLError
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from unique_identifier_msgs.msg import UUID

from flash_vstream_ros.action import Ask
from flash_vstream_ros.nodes.ask_errors import AskError, ServerGone
from flash_vstream_ros.nodes.exchange import Exchange


class Goals:
    """Sends questions as goals, and leaves nothing of those that have ended.

    All of it is done by the thread that spins the node.

    :param responses: quality of service: as many may arrive at once as questions were asked.
    """

    def __init__(self, node: Node, name: str, responses: QoSProfile) -> None:
        self._action = ActionClient(
            node,
            Ask,
            name,
            goal_service_qos_profile=responses,
            result_service_qos_profile=responses,
            cancel_service_qos_profile=responses,
        )

    def are_served(self) -> bool:
        """Whether an action server is there."""
        return self._action.server_is_ready()

    def send(self, exchange: Exchange) -> None:
        """Send a question.

        :raises RCLError: it cannot be sent.
        """
        goal_id = UUID(uuid=list(uuid.uuid4().bytes))
        kept = len(self._action._futures)
        sent = self._action.send_goal_async(
            exchange.fill(Ask.Goal()),
            feedback_callback=lambda said: exchange.say(said.feedback.text),
            goal_uuid=goal_id,
        )
        # rclpy (pull request 1532) adds a second future that nothing completes: each question
        # would make all later ones slower.
        for future in self._action._futures[kept:]:
            if future is not sent:
                self._action.remove_future(future)
        sent.add_done_callback(lambda done: self._on_goal(exchange, done))
        exchange.answered.add_done_callback(lambda end: self._forget(end, goal_id, sent))

    def _on_goal(self, exchange: Exchange, sent: Future) -> None:
        goal = sent.result()
        if not exchange.accept(goal):
            return
        try:
            result = goal.get_result_async()
        except RCLError as error:
            exchange.fail(AskError(f'the answer cannot be asked for: {error}'))
            return
        result.add_done_callback(lambda done: _finish(exchange, done))
        exchange.answered.add_done_callback(lambda end: self._forget(end, goal.goal_id, result))

    def _forget(self, end: Answered, goal_id: UUID, pending: Future) -> None:
        """Do not wait for a question handler that has gone; rclpy would, for ever."""
        if end.cancelled() or not isinstance(end.exception(), ServerGone) or pending.done():
            return
        self._action._remove_pending_goal_request(pending)
        self._action._remove_pending_result_request(pending)
        for table in (self._action._feedback_callbacks, self._action._goal_handles):
            table.pop(bytes(goal_id.uuid), None)


def _finish(exchange: Exchange, done: Future) -> None:
    response = done.result()
    if response.status == GoalStatus.STATUS_UNKNOWN:  # and an empty answer
        exchange.fail(ServerGone('the question handler was started anew; ask again'))
    else:
        exchange.finish(response.result.answer)
