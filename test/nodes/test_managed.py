# SPDX-License-Identifier: Apache-2.0
"""Managed nodes: what each state holds and serves, and what a failed transition leaves behind."""

import gc
import threading
import weakref
from dataclasses import dataclass

import pytest
from flash_vstream_ros.action import Ask
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from robots import wait_until
from std_msgs.msg import String
from std_srvs.srv import Trigger

from flash_vstream_ros.core.tunables import tunable
from flash_vstream_ros.nodes.action_servers import make_action_server
from flash_vstream_ros.nodes.managed import ManagedNode
from flash_vstream_ros.nodes.running import Worker, initialised

SUCCESS = TransitionCallbackReturn.SUCCESS


@dataclass(frozen=True)
class Config:
    autostart: bool = tunable(True, 'by itself')


class Probe:
    """Work that notes what is done to it; ``fault`` is raised by what it names."""

    fault: dict[str, Exception] = {}  # noqa: RUF012
    made: list['Probe'] = []  # noqa: RUF012

    def __init__(self, node: ManagedNode, config: Config) -> None:
        self.node, self.calls = node, []
        self.worker, self.began, self.end = Worker(node), threading.Event(), threading.Event()
        node.create_publisher(String, 'words', 1)
        node.create_subscription(String, 'words', self.calls.append, 1)
        node.create_timer(1000.0, self.activate)
        make_action_server(node, Ask, 'act', self._serve, self._serve)
        group = ReentrantCallbackGroup()  # in the default one it would keep the manager waiting
        node.create_service(Trigger, '~/serve', self._serve, callback_group=group)
        node.create_service(Trigger, '~/tell', self._tell)
        Probe.made.append(self)
        self._note('configure')

    def _tell(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.message = self.calls[-1]
        return response

    async def _serve(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        await self.worker.run(self._work)
        response.message = 'served'
        return response

    def _work(self) -> None:
        self.began.set()
        self.end.wait()

    def _note(self, name: str) -> None:
        if name in Probe.fault:
            raise Probe.fault[name]
        self.calls.append(name)

    def activate(self) -> None:
        self._note('activate')

    def deactivate(self) -> None:
        self._note('deactivate')

    def stop(self) -> None:
        self.end.set()
        self.worker.stop()
        self._note('stop')


@pytest.fixture
def managed(monkeypatch):
    """An unconfigured node in the test's own process."""
    monkeypatch.setattr(Probe, 'fault', {})
    monkeypatch.setattr(Probe, 'made', [])
    monkeypatch.setattr('sys.argv', ['test'])
    with initialised():
        node = ManagedNode('managed', Config, Probe)
        yield node
        node.destroy_node()


def entities(node: ManagedNode) -> list[int]:
    kinds = ('publishers', 'subscriptions', 'services', 'clients', 'timers')
    return [len(list(getattr(node, kind))) for kind in kinds]


def test_a_round_through_all_states_leaves_nothing_behind(managed):
    before = entities(managed)
    for _ in range(2):
        for trigger in ('configure', 'activate', 'deactivate', 'activate', 'deactivate'):
            assert getattr(managed, f'trigger_{trigger}')() == SUCCESS
        assert entities(managed) > before
        work = weakref.ref(Probe.made.pop())
        assert work().calls == [
            'configure', 'activate', 'deactivate', 'activate', 'deactivate',
        ]  # fmt: skip
        assert managed.trigger_cleanup() == SUCCESS
        assert entities(managed) == before
        assert work() is None, 'the model goes with it'


@pytest.mark.parametrize('name', ['configure', 'activate'])
def test_what_prevents_a_transition_is_said_and_can_be_mended(managed, name, capfd):
    before = entities(managed)
    Probe.fault[name] = ValueError('model: expected a folder, got nothing')
    results = [managed.trigger_configure()]
    if name == 'activate':
        results.append(managed.trigger_activate())
    assert results[-1] == TransitionCallbackReturn.FAILURE
    assert f'cannot {name}: model: expected a folder, got nothing' in capfd.readouterr().err
    if name == 'configure':
        assert entities(managed) == before, 'nothing half made stays'
    Probe.fault.clear()
    if name == 'configure':
        assert managed.trigger_configure() == SUCCESS
    assert managed.trigger_activate() == SUCCESS


@pytest.mark.parametrize('fault', [ValueError('no room'), ZeroDivisionError('a bug')])
def test_what_failed_half_way_keeps_no_model(managed, fault):
    Probe.fault['configure'] = fault
    managed.trigger_configure()
    work = weakref.ref(Probe.made.pop())
    assert work() is None


def test_work_that_is_made_before_the_former_is_gone_stays(managed):
    executor = SingleThreadedExecutor()
    executor.add_node(managed)
    managed.start()
    before = entities(managed)
    for trigger in ('deactivate', 'cleanup', 'configure', 'activate'):
        assert getattr(managed, f'trigger_{trigger}')() == SUCCESS
    for _ in range(10):
        executor.spin_once(timeout_sec=0.1)
    assert entities(managed) == before
    executor.shutdown()


@pytest.mark.parametrize('is_configured', [False, True])
def test_a_node_that_is_destroyed_is_off_the_network(spun, is_configured):
    """Collected or not."""
    name, names = 'destroyed', spun.node.get_node_names
    gc.disable()
    try:
        with initialised():
            node = ManagedNode(name, Config, Probe)
            if is_configured:
                assert node.trigger_configure() == SUCCESS
            wait_until(lambda: name in names(), 'the node is seen')
            node.destroy_node()
            wait_until(lambda: name not in names(), 'the node is gone')
    finally:
        gc.enable()


def test_an_error_of_ours_is_said_with_its_traceback_and_the_node_can_be_configured_again(
    managed, capfd
):
    before = entities(managed)
    assert managed.trigger_configure() == SUCCESS
    Probe.fault['activate'] = ZeroDivisionError('a bug')
    managed.trigger_activate()
    said = capfd.readouterr().err
    assert 'cannot activate' in said
    assert 'ZeroDivisionError: a bug' in said
    assert entities(managed) == before
    Probe.fault.clear()
    assert managed.trigger_configure() == SUCCESS


def test_starting_by_itself_raises_what_prevented_it_and_says_nothing(managed, capfd):
    Probe.fault['configure'] = ValueError('no model')
    with pytest.raises(ValueError, match='no model'):
        managed.start()
    assert 'no model' not in capfd.readouterr().err


def test_a_manager_takes_a_node_through_its_states_while_services_are_in_use(managed, spun):
    """As `ros2 lifecycle set` does; a service whose answer is pending must not end the node."""
    executor = SingleThreadedExecutor()
    executor.add_node(managed)
    name = managed.get_fully_qualified_name()
    change = spun.call(spun.node.create_client, ChangeState, f'{name}/change_state')
    look = spun.call(spun.node.create_client, GetState, f'{name}/get_state')
    serve = spun.call(spun.node.create_client, Trigger, f'{name}/serve')

    def spin_until(condition, what):
        wait_until(lambda: executor.spin_once(timeout_sec=0.05) or condition(), what)

    def go(transition: int, state: int) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        future = spun.call(change.call_async, request)
        spin_until(future.done, 'a transition')
        assert future.result().success
        future = spun.call(look.call_async, GetState.Request())
        spin_until(future.done, 'a state')
        assert future.result().current_state.id == state

    spin_until(lambda: change.service_is_ready() and look.service_is_ready(), 'lifecycle services')
    go(Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE)
    spin_until(serve.service_is_ready, 'our service')
    go(Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE)
    pending = spun.call(serve.call_async, Trigger.Request())
    spin_until(Probe.made[0].began.is_set, 'the service is at work')
    go(Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE)
    go(Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED)
    spin_until(pending.done, 'the answer that was pending')
    assert pending.result().message == 'served'
    spin_until(lambda: not serve.service_is_ready(), 'our service is gone')
    go(Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE)
    spin_until(serve.service_is_ready, 'our service again')
    executor.remove_node(managed)


def test_every_request_that_arrived_before_a_cleanup_gets_its_response(managed, spun):
    """Without one, a raw client would wait for ever."""
    executor = SingleThreadedExecutor()
    executor.add_node(managed)
    managed.start()
    tell = spun.call(
        spun.node.create_client, Trigger, f'{managed.get_fully_qualified_name()}/tell'
    )

    def spin_until(condition, what):
        wait_until(lambda: executor.spin_once(timeout_sec=0.05) or condition(), what)

    spin_until(tell.service_is_ready, 'our service')
    first = spun.call(tell.call_async, Trigger.Request())
    spin_until(first.done, 'the first response: each has found the other')
    sent = [spun.call(tell.call_async, Trigger.Request()) for _ in range(9)]
    for trigger in ('deactivate', 'cleanup'):
        assert getattr(managed, f'trigger_{trigger}')() == SUCCESS
    spin_until(lambda: all(future.done() for future in sent), 'all responses')
    assert {future.result().message for future in sent} == {'stop'}
    spin_until(lambda: not tell.service_is_ready(), 'our service is gone')
    executor.shutdown()
