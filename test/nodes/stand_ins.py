# SPDX-License-Identifier: Apache-2.0
"""A question handler of the test's own, for answers that the real one does not give."""

import threading
from functools import partial

from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.srv import Ask
from rclpy.action import ActionServer
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from spun_nodes import SpunNode


class StandIn:
    """A question handler that answers what it is told to, or never.

    :param lost: how many answers to an empty question do not arrive.
    :param late_s: seconds that those take which arrive.
    """

    def __init__(self, namespace, lost=0, late_s=0.0):
        self.lost, self._late_s = lost, late_s
        self.spun = SpunNode(namespace, 'stand_in')
        node, group = self.spun.node, ReentrantCallbackGroup()
        self.answer = Future(executor=self.spun.executor)
        self.answer.add_done_callback(lambda _: None)
        self.requests = []
        node.create_service(Ask, 'ask', self._on_service, callback_group=group)
        making = partial(ActionServer, callback_group=group)
        self._actions = self.spun.call(making, node, AskAction, 'ask', self._on_goal)

    async def _on_service(self, request, response):
        if not request.question:  # the handshake of a client
            self.lost -= 1
            if self.lost >= 0:
                await Future()
            if self._late_s:
                await self._later()
            response.answer.status = Answer.BAD_REQUEST
            return response
        self.requests.append(request)
        response.answer = await self.answer
        return response

    def _later(self):
        later = Future(executor=self.spun.executor)
        later.add_done_callback(lambda _: None)
        threading.Timer(self._late_s, later.set_result, [None]).start()
        return later

    async def _on_goal(self, goal):
        self.requests.append(goal.request)
        answer = await self.answer
        goal.succeed()
        return AskAction.Result(answer=answer)

    def close(self):
        self._actions.destroy()
        self.spun.close()
