# SPDX-License-Identifier: Apache-2.0
"""A client for planners: asks the question handler and waits for the answer, in every way."""

import atexit
import sys
import threading
import time
from collections.abc import Callable, Sequence

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile

from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.ask_errors import Cancelled, ServerNotFound
from flash_vstream_ros.nodes.asked import Asked
from flash_vstream_ros.nodes.exchange import Exchange
from flash_vstream_ros.nodes.goals import Goals
from flash_vstream_ros.nodes.handshake import Handshake
from flash_vstream_ros.nodes.pending_answer import PendingAnswer
from flash_vstream_ros.nodes.private_node import PrivateNode
from flash_vstream_ros.srv import Ask as AskService

TIMEOUT_S = 30.0
FIND_TIMEOUT_S = 10.0
CHECK_PERIOD_S = 0.05
CLOSE_TIMEOUT_S = 1.0
# As many answers may arrive at once as questions were asked.
RESPONSES = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000)


class VStreamClient:
    """Asks one question handler. Any thread may use it, and nobody has to spin for it.

    A thread of its own sends, receives and keeps the timeouts, on the steady clock.

    :param node: whose names and context it uses; None: a script without a node.
    :param namespace: of the question handler, relative to the node's.
    :param find_timeout_s: seconds of a question's timeout to look for the question handler.
    """

    def __init__(
        self,
        node: Node | None = None,
        namespace: str = 'flash_vstream',
        *,
        find_timeout_s: float = FIND_TIMEOUT_S,
    ) -> None:
        self._node = node
        self._find_timeout_s = find_timeout_s
        self._lock = threading.Condition()
        self._exchanges: set[Exchange] = set()  # asked and not answered
        self._servers: frozenset[bytes] = frozenset()
        self._servers_seen = float('-inf')  # time.monotonic()
        self._private = PrivateNode('vstream_client', node, self._on_end)
        try:
            self._make_entities(node or self._private.node, namespace)
        except BaseException:
            self._private.close()
            raise
        self._private.start()
        atexit.register(self.close)

    def _make_entities(self, named: Node, namespace: str) -> None:
        name = f'{namespace.rstrip("/")}/ask' if namespace else 'ask'
        self.name = named.resolve_service_name(name)
        node = self._private.node
        self._goals = Goals(node, self.name, RESPONSES)
        self._service = node.create_client(AskService, self.name, qos_profile=RESPONSES)
        self._handshake = Handshake(self._service, self.is_served, self._look)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(CHECK_PERIOD_S, self._look, clock=steady)
        self._timer.cancel()  # runs only while a question is pending

    def __enter__(self) -> 'VStreamClient':
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what is pending, and end the thread; more than once does no harm."""
        atexit.unregister(self.close)
        if self._private.post(self._cancel_all):
            with self._lock:  # a goal can be cancelled only once it has been accepted
                self._lock.wait_for(lambda: not self._exchanges, CLOSE_TIMEOUT_S)
        self._private.close()

    def _cancel_all(self) -> None:
        for exchange in self._pending():
            exchange.cancel()

    def _find_servers(self, age_s: float) -> frozenset[bytes]:
        """Identities of those who serve the action, as they were at most so many seconds ago."""
        now = time.monotonic()
        if now - self._servers_seen >= age_s:
            topic = f'{self.name}/_action/status'
            found = self._private.node.get_publishers_info_by_topic(topic)
            self._servers = frozenset(bytes(info.endpoint_gid) for info in found)
            self._servers_seen = now
        return self._servers

    def is_served(self) -> bool:
        """Whether a question handler is there."""
        return self._service.service_is_ready() and self._goals.are_served()

    def ask(
        self,
        question: str,
        choices: Sequence[str] = (),
        camera: str = '',
        min_stamp_ns: int = 0,
        timeout_s: float | None = TIMEOUT_S,
        max_new_tokens: int = 0,
        from_stamp_ns: int = 0,
        to_stamp_ns: int = 0,
    ) -> Answer:
        """Ask, through the service, and wait for the answer.

        :param question: in plain language.
        :param choices: where given, the answer is one of them, and each gets a probability.
        :param camera: which memory, by the frame_id of its camera; '': the only or first one.
        :param min_stamp_ns: wait until the memory has seen this stamp; 0: as it is.
        :param timeout_s: for everything, from now; None: the default of the question handler,
            and as long as it lives.
        :param max_new_tokens: 0: the default of the question handler.
        :param from_stamp_ns: answer from what the memory holds since then; 0: from the beginning.
        :param to_stamp_ns: and until then; 0: to the newest frame.
        :raises AskError: there is no answer, in the exception that says why.
        :raises ValueError: an argument that cannot be sent, by name.
        :raises RuntimeError: called in a callback of the node, where it would stop the node.
        """
        self._check_may_block()
        asked = Asked(
            question,
            choices,
            camera,
            min_stamp_ns,
            timeout_s,
            max_new_tokens,
            from_stamp_ns,
            to_stamp_ns,
        )
        return self._begin(asked, self._send_request).result()

    def ask_async(
        self,
        question: str,
        choices: Sequence[str] = (),
        camera: str = '',
        min_stamp_ns: int = 0,
        timeout_s: float | None = TIMEOUT_S,
        max_new_tokens: int = 0,
        from_stamp_ns: int = 0,
        to_stamp_ns: int = 0,
    ) -> PendingAnswer:
        """Ask, through the action, and go on: the answer can be awaited, streamed, cancelled.

        Parameters as those of ``ask``.
        """
        asked = Asked(
            question,
            choices,
            camera,
            min_stamp_ns,
            timeout_s,
            max_new_tokens,
            from_stamp_ns,
            to_stamp_ns,
        )
        return self._begin(asked, self._goals.send)

    def _begin(self, asked: Asked, send: Callable[[Exchange], None]) -> PendingAnswer:
        exchange = Exchange(
            asked, self._handshake, send, self._find_timeout_s, self._nobody, self._find_servers
        )
        with self._lock:
            self._exchanges.add(exchange)
        exchange.answered.add_done_callback(lambda done: self._on_done(exchange, done.cancelled()))
        if not self._private.post(self._start, exchange):
            self._on_end()
        return PendingAnswer(
            exchange,
            lambda: self._private.post(exchange.cancel),
            self._check_may_block,
            lambda: self._node and self._node.executor,
        )

    def _start(self, exchange: Exchange) -> None:
        self._timer.reset()
        exchange.look()

    def _look(self) -> None:
        exchanges = self._pending()
        for exchange in exchanges:
            exchange.look()
        if not exchanges:
            self._timer.cancel()

    def _pending(self) -> tuple[Exchange, ...]:
        with self._lock:
            return tuple(self._exchanges)

    def _on_done(self, exchange: Exchange, is_cancelled: bool) -> None:
        with self._lock:
            self._exchanges.discard(exchange)
            self._lock.notify_all()
        if is_cancelled:  # by asyncio
            self._private.post(exchange.cancel)

    def _on_end(self) -> None:
        for exchange in self._pending():
            exchange.fail(Cancelled('the client was closed, or its thread has ended'))

    def _send_request(self, exchange: Exchange) -> None:
        sent = self._service.call_async(exchange.fill(AskService.Request()))
        sent.add_done_callback(lambda done: exchange.finish(done.result().answer))
        exchange.answered.add_done_callback(lambda _: self._service.remove_pending_request(sent))

    def _check_may_block(self) -> None:
        """Refuse to wait in a callback of the thread that spins the node.

        We would not wait for ever, for our thread goes on; but all of the node would stop.
        """
        executor = self._node and self._node.executor
        frame = sys._getframe()
        while executor is not None and frame is not None:
            if frame.f_locals.get('self') is executor:
                raise RuntimeError(
                    f'a callback of node {self._node.get_name()!r} waits for an answer, and none '
                    f'of its other callbacks could run meanwhile; await ask_async() in an async '
                    f'callback, or ask on another thread'
                )
            frame = frame.f_back

    def _nobody(self) -> ServerNotFound:
        """Say that there is no question handler here, and where there is one."""
        if self.is_served():
            return ServerNotFound(f'whoever serves {self.name} does not answer; does it hang?')
        node, kind = self._private.node, 'flash_vstream_ros/srv/Ask'
        services = node.get_service_names_and_types()
        # Our own client is listed too: what counts is who serves.
        served = [name for name, kinds in services if kind in kinds and node.count_services(name)]
        elsewhere = [name.removesuffix('/ask') or '/' for name in served]
        hint = f'namespace {elsewhere[0]} has one' if elsewhere else 'is the launch file running?'
        return ServerNotFound(f'nobody answers {self.name}; {hint}', elsewhere)
