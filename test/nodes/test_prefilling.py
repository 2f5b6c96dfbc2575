# SPDX-License-Identifier: Apache-2.0
"""Memories are read before anybody asks: in idle time, within its share, never in the way."""

from concurrent.futures import Future as Job
from types import SimpleNamespace

import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray
from robots import S, image_message, picture, wait_until
from spun_nodes import SpunNode

from flash_vstream_ros.nodes import prefilling
from flash_vstream_ros.nodes.prefilling import PAUSE_S, Prefilling

COST_S = 1.0


class Idle:
    """A queue that runs work at once, and a clock that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.is_open, self.pending = True, 0

    def monotonic(self) -> float:
        return self.now

    def run_idle(self, work, snapshot) -> Job:
        job = Job()
        try:
            job.set_result(work(snapshot))
        except RuntimeError as error:
            job.set_exception(error)
        return job


class Model:
    """Says which snapshots it has read."""

    device = torch.device('cpu')

    def __init__(self, clock: Idle) -> None:
        self._clock = clock
        self.read: list[tuple] = []
        self.fails = False
        self.prefixes: list[tuple] = []

    def prepare(self, snapshot) -> None:
        self._clock.now += COST_S
        if self.fails:
            raise RuntimeError('out of memory')
        self.read.append(snapshot.key)


class Inboxes:
    """The memories of two cameras."""

    def __init__(self) -> None:
        self.inboxes = {topic: SimpleNamespace(newest=None) for topic in ('front', 'rear')}

    def arrive(self, topic: str, number: int, arrived: float, is_empty: bool = False) -> None:
        snapshot = SimpleNamespace(key=(topic, number), is_empty=is_empty)
        self.inboxes[topic].newest = SimpleNamespace(snapshot=snapshot, arrived=arrived)


@pytest.fixture
def idle(monkeypatch):
    idle = Idle()
    monkeypatch.setattr(prefilling, 'time', idle)
    return idle


@pytest.fixture
def make(idle, namespace):
    station = SpunNode(namespace)
    model, memories = Model(idle), Inboxes()

    def build(share: float):
        reader = station.call(Prefilling, station.node, share, memories, idle, model)
        return (lambda: station.call(reader.look)), model, memories

    yield build
    station.close()


def test_each_new_memory_is_read_once(make, idle):
    look, model, memories = make(1.0)
    look()
    memories.arrive('front', 0, 0.0, is_empty=True)
    look()
    assert model.read == []
    memories.arrive('front', 1, 0.0)
    look()
    look()
    memories.arrive('front', 2, 1.0)
    look()
    assert model.read == [('front', 1), ('front', 2)]


def test_what_a_question_has_read_is_not_read_again(make):
    look, model, memories = make(1.0)
    model.prefixes = [('front', 1)]
    memories.arrive('front', 1, 0.0)
    look()
    assert model.read == []


def test_the_memory_that_has_waited_longest_comes_first(make):
    look, model, memories = make(1.0)
    memories.arrive('front', 1, 0.2)
    memories.arrive('rear', 1, 0.1)
    look()
    look()
    assert model.read == [('rear', 1), ('front', 1)]


def test_it_waits_while_a_question_is_pending_or_the_node_is_inactive(make, idle):
    look, model, memories = make(1.0)
    memories.arrive('front', 1, 0.0)
    idle.pending = 1
    look()
    idle.is_open, idle.pending = False, 0  # in this order: its timer runs meanwhile
    look()
    assert model.read == []
    idle.is_open = True
    look()
    assert model.read == [('front', 1)]


def test_no_more_than_its_share_of_the_time_is_spent(make, idle):
    look, model, memories = make(0.25)
    memories.arrive('front', 1, 0.0)
    look()
    memories.arrive('front', 2, 0.0)
    idle.now = COST_S + 2.9
    look()
    assert len(model.read) == 1
    idle.now = COST_S + 3.1
    look()
    assert len(model.read) == 2


def test_a_share_of_nothing_is_never(make, idle):
    look, model, memories = make(0.0)
    memories.arrive('front', 1, 0.0)
    idle.now = 1e6
    look()
    assert model.read == []


def test_after_a_failure_it_pauses_and_goes_on(make, idle):
    look, model, memories = make(1.0)
    model.fails = True
    memories.arrive('front', 1, 0.0)
    look()
    model.fails = False
    memories.arrive('front', 2, 0.0)
    idle.now = PAUSE_S
    look()
    assert model.read == []
    idle.now = COST_S + PAUSE_S + 0.1
    look()
    assert model.read == [('front', 2)]


def test_a_running_node_has_read_the_memory_when_the_question_comes(robot):
    said = []
    node = robot.station.node
    subscription = node.create_subscription(DiagnosticArray, '/diagnostics', said.append, 100)
    name = f'{robot.namespace[1:]}/question_handler: memories'

    def read_ahead() -> int:
        parts = [part for array in tuple(said) for part in array.status if part.name == name]
        return (
            int(next(v.value for v in parts[-1].values if v.key == 'read ahead')) if parts else 0
        )

    try:
        wait_until(
            lambda: any(p.name == name for a in tuple(said) for p in a.status), 'diagnostics'
        )
        before = read_ahead()
        robot.show(image_message(picture(1), S))
        wait_until(lambda: read_ahead() > before, 'the memory is read')
        answer = robot.ask('What is there?', max_new_tokens=4, min_stamp_ns=S)
        assert answer.prefix_ready
        again = robot.ask('What is there?', max_new_tokens=4, min_stamp_ns=S)
        assert again.text == answer.text
    finally:
        node.destroy_subscription(subscription)
