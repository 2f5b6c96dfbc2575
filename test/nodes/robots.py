# SPDX-License-Identifier: Apache-2.0
"""A robot for the tests: both nodes as processes, its camera and its planner in this process."""

from array import array
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.msg import Answer, MemorySnapshot
from flash_vstream_ros.srv import Ask
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from spun_nodes import TIMEOUT_S, SpunNode, result_of, wait_until
from std_srvs.srv import Trigger
from unique_identifier_msgs.msg import UUID

from flash_vstream_ros.nodes.conversions import ns_to_time, time_to_ns
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.nodes.qos import LATCHED

S = 1_000_000_000
DEEP = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=4000)  # nothing is lost on our side
PROGRAMS = ('frame_handler', 'question_handler')


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A frame unlike all others: (H, W, 3) uint8 RGB."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def image_message(
    pixels: np.ndarray, stamp_ns: int, encoding: str = 'rgb8', frame_id: str = 'camera'
) -> Image:
    """Image of bytes as they are: (H, W) or (H, W, C) uint8 in the order of the encoding."""
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    message.step = pixels[0].nbytes
    message.data = array('B', pixels.tobytes())
    message.header.frame_id = frame_id
    message.header.stamp = ns_to_time(stamp_ns)
    return message


def fill(
    request: Ask.Request | AskAction.Goal,
    question: str,
    *,
    min_stamp_ns: int = 0,
    timeout_s: float = TIMEOUT_S,
    **fields: Any,
) -> Any:
    """Fill a request of the service or a goal of the action."""
    request.question = question
    request.min_stamp = ns_to_time(min_stamp_ns)
    timeout = ns_to_time(round(timeout_s * S))
    request.timeout.sec, request.timeout.nanosec = timeout.sec, timeout.nanosec
    for name, value in fields.items():
        setattr(request, name, value)
    return request


class Said(defaultdict[bytes, list[AskAction.Feedback]]):
    """All feedback by its goal. rclpy's client drops what comes after the goal has ended."""

    def __init__(self, node: Node) -> None:
        super().__init__(list)
        kind = AskAction.Impl.FeedbackMessage
        node.create_subscription(kind, 'ask/_action/feedback', self._add, DEEP)

    def _add(self, message: AskAction.Impl.FeedbackMessage) -> None:
        self[bytes(message.goal_id.uuid)].append(message.feedback)


class Goal:
    """A goal of the action on its way."""

    def __init__(self, client: ActionClient, goal: AskAction.Goal, said: 'Said') -> None:
        goal_id = UUID(uuid=list(uuid4().bytes))
        self.feedback = said[bytes(goal_id.uuid)]
        self.handle = result_of(client.send_goal_async(goal, goal_uuid=goal_id))
        self._result = self.handle.get_result_async()

    def cancel(self) -> Any:
        """Ask for the goal to be cancelled; returns the response."""
        return result_of(self.handle.cancel_goal_async())

    def result(self) -> tuple[int, Answer]:
        """Wait for the end: status of the goal, answer."""
        result = result_of(self._result)
        return result.status, result.result.answer


class Robot:
    """Both nodes in a namespace of their own, and all that talks to them.

    :param folder: for the logs.
    :param parameters: of each program.
    """

    def __init__(
        self, folder: Path, namespace: str, parameters: dict[str, dict[str, object]]
    ) -> None:
        self._folder = folder
        self._parameters = parameters
        self.namespace = namespace
        self.processes: dict[str, NodeProcess] = {}
        self._dead: set[tuple[int, ...]] = set()
        self.station = SpunNode(namespace)
        node = self.station.node
        transport = parameters['frame_handler'].get('image_transport', 'raw')
        # Reliable, so that nothing depends on how this process was started.
        self.camera = node.create_publisher(
            *{'raw': (Image, 'image'), 'compressed': (CompressedImage, 'image/compressed')}[
                transport
            ],
            QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE),
        )
        self.memories: list[MemorySnapshot] = []
        node.create_subscription(MemorySnapshot, 'memory', self.memories.append, LATCHED)
        self.asking = node.create_client(Ask, 'ask', qos_profile=DEEP)
        self.resetting = node.create_client(Trigger, 'frame_handler/reset_memory')
        self._reading = AsyncParameterClient(node, 'frame_handler')
        # By the thread that spins, which would else meet it half made and end.
        self.acting = self.station.call(ActionClient, node, AskAction, 'ask')
        self.said = Said(node)

    def start(self, *programs: str) -> None:
        """Start programs and wait until they serve.

        Now and then Fast DDS never lets a node's responses through to a participant that has found
        it, as seen once in two runs of all tests: the one that was asked begins anew then, as
        another participant. The frame handler keeps its memory.
        """
        for _ in range(3):
            for program in programs:
                self._launch(program)
            wait_until(self._serves, f'both nodes serve: {self.log("frame_handler")}', 90.0)
            missed = self._missed_responses()
            if not missed:
                return
            programs = ('question_handler',)
            logs = '\n'.join(self.log(program) for program in self.processes)
            self.processes['question_handler'].stop()
        raise AssertionError(f'no response to {missed}\n{logs}')

    def _launch(self, program: str) -> None:
        process = NodeProcess(
            program,
            self._parameters[program],
            namespace=self.namespace,
            environment={'OMP_NUM_THREADS': '1'},
            log=self._folder / f'{program}.log',
        )
        self.processes[program] = process.__enter__()

    def _readers(self) -> dict[tuple[int, ...], ReliabilityPolicy]:
        """Who reads the camera, by identity."""
        readers = self.station.node.get_subscriptions_info_by_topic(self.camera.topic_name)
        return {tuple(r.endpoint_gid): r.qos_profile.reliability for r in readers}

    def kill(self, program: str) -> None:
        """End a program without its knowing; for others it looks alive for a while."""
        if program == 'frame_handler':
            self._dead.update(self._readers())
        self.processes[program].process.kill()
        self.processes[program].process.wait()

    def _serves(self) -> bool:
        for process in self.processes.values():
            assert not process.has_ended, process.output()
        readers = self._readers()
        alive = [reliability for gid, reliability in readers.items() if gid not in self._dead]
        return (
            alive == [ReliabilityPolicy.RELIABLE]
            and self.camera.get_subscription_count() == len(readers)
            and self.asking.service_is_ready()
            and self.resetting.service_is_ready()
            and self._reading.services_are_ready()
            and self.acting.server_is_ready()
        )

    def _missed_responses(self) -> list[str]:
        """Ask until responses arrive: a node that has not yet found who asks loses its first.

        Each round waits longer, so that a slow machine is told from a lost response.

        :returns: the requests without a response in each round; none where all is well.
        """
        missed = []
        for timeout_s in (1.0, 2.0, 5.0, 10.0):
            missed.append(self._missed(timeout_s))
            if not missed[-1]:
                return []
        return missed

    def _missed(self, timeout_s: float) -> str:
        """Send every kind of request once; returns the one that got no response, or ''."""
        request = 'ask'
        try:
            result_of(self.send(''), timeout_s)
            request = 'goal'
            goal = result_of(self.acting.send_goal_async(fill(AskAction.Goal(), '')), timeout_s)
            for request in ('get_result_async', 'cancel_goal_async'):
                result_of(getattr(goal, request)(), timeout_s)
        except AssertionError:
            return request
        return ''

    def refresh(self) -> None:
        """For the next test: all alive, memory empty, nothing pending."""
        ended = [p for p in PROGRAMS if p not in self.processes or self.processes[p].has_ended]
        self.start(*ended)
        self.reset()

    def close(self) -> None:
        try:
            for process in self.processes.values():
                process.stop()
        finally:
            self.station.close()

    def log(self, program: str) -> str:
        """All that a program has printed."""
        return self.processes[program].output() if program in self.processes else ''

    def follow(self, program: str) -> Callable[[], str]:
        """What a program prints from now on."""
        start = len(self.log(program))
        return lambda: self.log(program)[start:]

    def reset(self) -> int:
        """Empty the memory and return its new ``memory_id``."""
        response = result_of(self.resetting.call_async(Trigger.Request()))
        assert response.success
        memory_id = int(response.message.split()[1])
        wait_until(lambda: self.memory and self.memory.memory_id == memory_id, 'an empty memory')
        wait_until(
            lambda: self.ask('Is it empty?', max_new_tokens=1).status == Answer.MEMORY_EMPTY,
            'the question handler has the empty memory',
        )
        return memory_id

    @property
    def memory(self) -> MemorySnapshot | None:
        """The newest memory published."""
        return self.memories[-1] if self.memories else None

    def has_seen(self, stamp_ns: int) -> bool:
        return self.memory is not None and time_to_ns(self.memory.header.stamp) == stamp_ns

    def show(self, message: Image | CompressedImage) -> MemorySnapshot:
        """Publish an image and wait until the memory has it as its newest."""
        self.camera.publish(message)
        stamp_ns = time_to_ns(message.header.stamp)
        wait_until(lambda: self.has_seen(stamp_ns), f'a memory of the frame at {stamp_ns} ns')
        return self.memory

    def show_in_vain(self, message: Image | CompressedImage) -> None:
        """Publish an image that will not be memorised, and wait until it has been looked at.

        A newer one would take its place while it waits. The frame handler's callbacks have one
        thread: it has come to the image when it has answered something else, twice to be sure.
        """
        self.camera.publish(message)
        for _ in range(2):
            result_of(self._reading.get_parameters(['model']))

    def see(self, count: int, start_s: int = 1) -> list[np.ndarray]:
        """Show frames, one a second; returns them."""
        frames = [picture(start_s + i) for i in range(count)]
        for i, frame in enumerate(frames):
            self.show(image_message(frame, (start_s + i) * S))
        return frames

    def ask(self, question: str, **fields: Any) -> Answer:
        """Ask through the service and wait for the answer."""
        return result_of(self.send(question, **fields)).answer

    def send(self, question: str, **fields: Any) -> Future:
        """Ask through the service; completed with the response."""
        return self.asking.call_async(fill(Ask.Request(), question, **self._seen(fields)))

    def begin(self, question: str, **fields: Any) -> Goal:
        """Ask through the action."""
        goal = fill(AskAction.Goal(), question, **self._seen(fields))
        return Goal(self.acting, goal, self.said)

    def _seen(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The memory that we have got is on its way to the question handler as well."""
        stamp_ns = time_to_ns(self.memory.header.stamp) if self.memory else 0
        return {'min_stamp_ns': stamp_ns} | fields
