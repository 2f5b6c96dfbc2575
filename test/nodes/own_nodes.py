# SPDX-License-Identifier: Apache-2.0
"""A planner, a camera and started programs, for tests that need nodes of their own."""

import contextlib
import itertools
from pathlib import Path

from flash_vstream_ros.msg import Answer, MemorySnapshot
from flash_vstream_ros.srv import Ask
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robots import DEEP, S, fill, image_message, picture, result_of, wait_until
from sensor_msgs.msg import Image
from spun_nodes import SpunNode

from flash_vstream_ros.nodes.conversions import time_to_ns
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.nodes.qos import LATCHED

RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


class Planner(SpunNode):
    """Who drives cameras, asks and manages."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace, 'planner')
        self.namespace = namespace
        self.asking = self.node.create_client(Ask, 'ask', qos_profile=DEEP)

    def request(self, kind: type, service: str, /, **fields: object) -> object:
        """Call a service and wait for its response; found first, however long that takes."""
        client = self.call(self.node.create_client, kind, service)
        wait_until(client.service_is_ready, f'the service {service}', 90.0)
        try:
            return result_of(client.call_async(kind.Request(**fields)), 60.0)
        finally:
            self.call(self.node.destroy_client, client)

    def state(self, node: str) -> int:
        return self.request(GetState, f'{node}/get_state').current_state.id

    def change(self, node: str, transition: int) -> bool:
        request = {'transition': Transition(id=transition)}
        return self.request(ChangeState, f'{node}/change_state', **request).success

    def ask(self, **fields: object) -> Answer:
        wait_until(self.asking.service_is_ready, 'the service ask', 90.0)
        request = fill(Ask.Request(), 'What is there?', **{'max_new_tokens': 2} | fields)
        return result_of(self.asking.call_async(request), 60.0).answer

    def exists(self, service: str) -> bool:
        return self.node.count_services(f'{self.namespace}/{service}') > 0


class FilmedBy:
    """A camera, and the memories of its frame handler."""

    def __init__(self, planner: Planner, prefix: str = '', frame_id: str = 'camera') -> None:
        self.frame_id = frame_id
        node = planner.node
        self.publisher = planner.call(node.create_publisher, Image, f'{prefix}image', RELIABLE)
        self.memories: list[MemorySnapshot] = []
        topic = f'{prefix}memory'
        planner.call(
            node.create_subscription, MemorySnapshot, topic, self.memories.append, LATCHED
        )

    def show(self, second: int) -> None:
        """Show a frame until the memory has it: a new reader may miss the first ones."""
        message = self.message(second)
        wait_until(self.publisher.get_subscription_count, 'someone looks', 90.0)
        shown = itertools.count()

        def is_seen() -> bool:
            if next(shown) % 100 == 0:
                self.publisher.publish(message)
            return self.has(second)

        wait_until(is_seen, f'a memory of second {second}')

    def jump_back(self) -> int:
        """Show the first seconds, until they have begun a new memory; returns the next second."""
        former = self.memories[-1].memory_id
        stamps = itertools.count(1)

        def is_new() -> bool:
            self.publisher.publish(self.message(next(stamps)))
            return self.memories[-1].memory_id != former

        wait_until(is_new, 'a new stream')
        return next(stamps)

    def message(self, second: int) -> Image:
        return image_message(picture(second), second * S, frame_id=self.frame_id)

    def has(self, second: int) -> bool:
        return any(time_to_ns(memory.header.stamp) == second * S for memory in self.memories)


class Starter:
    """Starts programs in a namespace and ends them all."""

    def __init__(self, namespace: str, checkpoint: Path, folder: Path) -> None:
        self._namespace, self._checkpoint, self._folder = namespace, checkpoint, folder
        self._stack = contextlib.ExitStack()

    def __call__(self, program: str, under: str = '', **parameters: object) -> NodeProcess:
        """Start a program with parameters, in a namespace under the test's own."""
        process = NodeProcess(
            program,
            {'model': self._checkpoint, 'device': 'cpu'} | parameters,
            namespace=f'{self._namespace}{under}',
            environment={'OMP_NUM_THREADS': '1'},
            log=self._folder / f'{program}{under.replace("/", "_")}.log',
        )
        return self._stack.enter_context(process)

    def close(self) -> None:
        self._stack.close()
