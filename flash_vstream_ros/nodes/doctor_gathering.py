# SPDX-License-Identifier: Apache-2.0
"""Looks at a running system for a few seconds and gathers what the checks need."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import rclpy
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from flash_vstream_ros.nodes.doctor_facts import AskFacts, Facts, ImageFacts, NodeFacts
from flash_vstream_ros.nodes.doctor_graph import MEMORY, Graph
from flash_vstream_ros.nodes.doctor_machine import memory_folders, see_machine, see_models
from flash_vstream_ros.nodes.doctor_watching import AskWatch, ClockWatch, ImageWatch, MemoryWatch
from flash_vstream_ros.nodes.topic_advice import COMPRESSED, IMAGE
from flash_vstream_ros.srv import Ask

FIND_TIMEOUT_S = 5.0  # discovery takes 3 s where a machine has two networks
SETTLE_S = 0.5
SERVE_TIMEOUT_S = 3.0  # for parameters and states
REPEAT_S = 1.0
SPIN_S = 0.05
FRAME_HANDLER, QUESTION_HANDLER = 'frame_handler', 'question_handler'
PARAMETERS = (
    'model',
    'device',
    'sample_rate',
    'publish_rate',
    'use_sim_time',
    'memories',
    'memory_folder',
)


@dataclass(frozen=True)
class Options:
    """What the doctor is asked to look at."""

    image: str | None = None  # topic; None: what the frame handlers read
    model: str | None = None  # checkpoint; None: what the nodes name
    seconds: float = 4.0  # to watch
    timeout: float = 10.0  # seconds for an answer


class Gathering:
    """One look at the system around a node.

    :param node: the doctor's own, in the namespace to look at.
    :param executor: that the node belongs to; spun here.
    """

    def __init__(self, node: Node, executor: Executor, options: Options) -> None:
        self._node = node
        self._executor = executor
        self._options = options
        self._graph = Graph(node)
        self._clock = ClockWatch(node)
        self._is_simulated = False

    def facts(self) -> Facts:
        """Look, for some seconds."""
        graph, options = self._graph, self._options
        answering = graph.full_name(QUESTION_HANDLER)
        self._find()
        handler = self._see_node(answering, QUESTION_HANDLER)
        memories = self._memory_topics(handler)
        writers = self._frame_handlers(memories)
        nodes = (*(self._see_node(name, FRAME_HANDLER) for name in writers), handler)
        self._is_simulated = any(node.parameters.get('use_sim_time') for node in nodes)
        images = self._watch_images(writers)
        watches = {topic: MemoryWatch(self._node, topic) for topic in memories}
        began = time.monotonic()
        asked = self._ask(memories) if handler.count else None
        self._spin(lambda: False, began + options.seconds - time.monotonic())
        return Facts(
            namespace=self._node.get_namespace(),
            seconds=time.monotonic() - began,
            nodes=nodes,
            other_namespaces={p: graph.namespaces(p) for p in (FRAME_HANDLER, QUESTION_HANDLER)},
            is_asked=asked is not None,
            images=tuple(see() for see in images),
            memories=tuple(
                watch.facts(graph.publishers(topic, [answering]), graph.type_hashes(topic))
                for topic, watch in watches.items()
            ),
            asked=asked or (),
            answerers=graph.servers(graph.full_name('ask')),
            clock=self._clock.facts(graph.count_clocks()),
            models=see_models(nodes, options.model),
            machine=see_machine(
                rclpy.get_rmw_implementation_identifier(),
                self._node.context.get_domain_id(),
                memory_folders(nodes),
            ),
        )

    def _spin(self, condition: Callable[[], bool], seconds: float) -> None:
        """Let callbacks run until a condition holds, or for some seconds."""
        ends = time.monotonic() + seconds
        while not condition() and time.monotonic() < ends:
            self._executor.spin_once(timeout_sec=SPIN_S)

    def _find(self) -> None:
        """Wait until the nodes are found, and nothing new for a while."""
        self._spin(self._is_found, FIND_TIMEOUT_S)
        known, since = None, time.monotonic()

        def is_settled() -> bool:
            nonlocal known, since
            content = self._graph.content()
            if content != known:
                known, since = content, time.monotonic()
            return time.monotonic() - since > SETTLE_S

        self._spin(is_settled, FIND_TIMEOUT_S)

    def _is_found(self) -> bool:
        """Whether both nodes are there, with all that they are asked for."""
        names = [self._graph.full_name(name) for name in (FRAME_HANDLER, QUESTION_HANDLER)]
        there = self._graph.nodes()
        return all(name in there and self._graph.serves(name, 'get_parameters') for name in names)

    def _see_node(self, name: str, program: str) -> NodeFacts:
        count = self._graph.nodes()[name]
        if not count:
            return NodeFacts(name, program, count=0)
        state = None
        if self._graph.serves(name, 'get_state'):
            response = self._request(GetState, f'{name}/get_state', [GetState.Request()])[0]
            state = response.current_state.label if response is not None else ''
        requests = [GetParameters.Request(names=[parameter]) for parameter in PARAMETERS]
        responses = self._request(GetParameters, f'{name}/get_parameters', requests)
        parameters = {
            parameter: parameter_value_to_python(response.values[0])
            for parameter, response in zip(PARAMETERS, responses, strict=True)
            if response is not None and response.values
        }
        return NodeFacts(
            name=name,
            program=program,
            count=count,
            state=state,
            parameters=parameters,
            processes=self._graph.processes(name),
        )

    def _request(self, kind: type, service: str, requests: list[Any]) -> list[Any]:
        """Send requests and wait a while for the responses; None where there is none."""
        client = self._node.create_client(kind, service)
        responses = [self._call(client, request, SERVE_TIMEOUT_S) for request in requests]
        self._node.destroy_client(client)
        return responses

    def _call(self, client: Client, request: Any, timeout_s: float) -> Any:
        """Send a request until there is a response; None where there is none in time.

        A server that has not found the client yet loses its response.
        """
        ends = time.monotonic() + timeout_s
        futures = []
        while time.monotonic() < ends:
            if client.service_is_ready():
                futures.append(client.call_async(request))
            self._spin(lambda: any(future.done() for future in futures), REPEAT_S)
            for future in futures:
                if future.done():
                    return future.result()
        return None

    def _memory_topics(self, handler: NodeFacts) -> dict[str, str]:
        """Topics that the question handler reads -> how a question names them."""
        published = [] if handler.count else self._graph.memories()
        if published:
            return dict.fromkeys(published, '')
        declared = handler.parameters.get('memories') or ['memory']
        if len(declared) > 1:
            return {self._graph.full_name(name): name for name in declared}
        read = list(self._graph.subscribed(handler.name, MEMORY))  # it may be remapped
        return {(read[0] if len(read) == 1 else self._graph.full_name(declared[0])): ''}

    def _frame_handlers(self, memories: Iterable[str]) -> list[str]:
        """Nodes that write the memories, and where nobody does those that ought to."""
        names = []
        for topic in memories:
            expected = f'{topic.rpartition("/")[0]}/{FRAME_HANDLER}'
            names += self._graph.writers(topic) or [expected]
        return list(dict.fromkeys(names))

    def _watch_images(self, writers: list[str]) -> list[Callable[[], ImageFacts]]:
        """Begin to watch the images; what is returned tells of each topic what was seen."""
        readers: dict[str, tuple[str, str]] = {}
        seen: list[Callable[[], ImageFacts]] = []
        there = self._graph.nodes()
        for name in writers:
            topics = self._graph.subscribed(name, IMAGE, COMPRESSED)
            readers |= {topic: (kind, name) for topic, kind in topics.items()}
            if not topics and name in there and name.endswith(FRAME_HANDLER):
                seen.append(lambda name=name: ImageFacts('', IMAGE, name))
        if self._options.image is not None:
            topic = self._graph.full_name(self._options.image)
            readers.setdefault(topic, (self._graph.image_kind(topic), ''))
        for topic, (kind, reader) in readers.items():
            seen.append(self._watch_image(topic, kind, reader))
        return seen

    def _watch_image(self, topic: str, kind: str, reader: str) -> Callable[[], ImageFacts]:
        graph = self._graph
        offered = [p.is_reliable for p in graph.publishers(topic, []) if p.kind == kind]
        is_reliable = bool(offered) and all(offered)
        watch = ImageWatch(self._node, topic, kind, is_reliable, self._now_ns)
        return lambda: watch.facts(
            reader, graph.publishers(topic, [reader]), graph.nearest(topic, kind)
        )

    def _now_ns(self) -> int | None:
        return self._clock.newest_ns if self._is_simulated else time.time_ns()

    def _ask(self, memories: Mapping[str, str]) -> tuple[AskFacts, ...] | None:
        """Ask about each memory; None where nobody serves that."""
        options = self._options
        client = self._node.create_client(Ask, self._graph.full_name('ask'))
        self._spin(client.service_is_ready, SERVE_TIMEOUT_S)
        if not client.service_is_ready():
            return None
        # Without a question it answers at once that it wants one.
        if self._call(client, Ask.Request(), options.timeout) is None:
            return tuple(AskFacts(topic, seconds=options.timeout) for topic in memories)
        asking = AskWatch(client, memories, options.timeout)
        # It answers TIMEOUT itself, unless it hangs.
        self._spin(lambda: asking.is_done, options.timeout + SERVE_TIMEOUT_S)
        return asking.facts()
