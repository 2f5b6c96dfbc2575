# SPDX-License-Identifier: Apache-2.0
"""How nodes run: what a signal does at any time, what is said of a failure, one worker thread."""

import os
import signal
import subprocess
import sys
import threading

import pytest
import rclpy
from robots import TIMEOUT_S, result_of, wait_until

from flash_vstream_ros.nodes.running import Worker, awaitable, initialised

# A node whose making is up to the test; it prints where it has got to.
PROGRAM = """
import sys, time
from dataclasses import dataclass
from flash_vstream_ros.core.tunables import tunable
from flash_vstream_ros.nodes.managed import ManagedNode
from flash_vstream_ros.nodes.running import run_node

@dataclass(frozen=True)
class Config:
    autostart: bool = tunable(True, 'by itself')

class Probe:
    def __init__(self, node, config):
        {making}
        node.create_timer(0.05, self._tick)

    def _tick(self):
        print('spinning', flush=True)

    def activate(self):
        pass

    def stop(self):
        print('closing', flush=True)
        {ending}

sys.exit(run_node(lambda: ManagedNode('probe', Config, Probe)))
"""


class Program:
    """The program in a process, its output read by lines."""

    def __init__(
        self, making: str = 'pass', ending: str = 'pass', *arguments: str, source: str = ''
    ) -> None:
        source = source or PROGRAM.format(making=making, ending=ending)
        self.process = subprocess.Popen(
            [sys.executable, '-c', source, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def __enter__(self) -> 'Program':
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()

    def read_until(self, text: str) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError(f'{text!r} is not among {self.lines}')

    def end(self) -> int:
        self.lines += self.process.stdout
        return self.process.wait(TIMEOUT_S)

    @property
    def output(self) -> str:
        return ''.join(self.lines)


SIGNALS = pytest.mark.parametrize('stop', [signal.SIGINT, signal.SIGTERM])


@SIGNALS
def test_a_running_node_ends_cleanly(stop):
    with Program() as program:
        program.read_until('spinning')
        program.process.send_signal(stop)
        assert program.end() == 0
    assert program.output.count('closing') == 1
    assert 'Traceback' not in program.output


@SIGNALS
def test_a_node_ends_at_once_while_it_loads_its_model(stop):
    """It does not go on to the end first: 7B take minutes."""
    with Program(making="print('loading', flush=True); time.sleep(1000.0)") as program:
        program.read_until('loading')
        program.process.send_signal(stop)
        assert program.end() == 0
    assert 'Traceback' not in program.output


@pytest.mark.parametrize('again', [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_spoil_the_end(again):
    with Program(ending='time.sleep(1.0)') as program:
        program.read_until('spinning')
        program.process.send_signal(signal.SIGINT)
        program.read_until('closing')
        program.process.send_signal(again)
        assert program.end() == 0
    assert 'Traceback' not in program.output


def test_what_the_user_can_mend_is_said_in_one_line():
    with Program(making="raise ValueError('sample_rate: expected 0 to 1000, got -1')") as program:
        assert program.end() == 1
    assert len(program.lines) == 1
    assert 'cannot start: sample_rate: expected 0 to 1000, got -1' in program.output


def test_a_parameter_that_ros_cannot_read_is_said_in_one_line():
    arguments = ['--ros-args', '-p', 'sample_rate:=[1']
    with Program('pass', 'pass', *arguments) as program:
        assert program.end() == 1
    assert 'cannot start' in program.output
    assert 'sample_rate:=[1' in program.output
    assert 'Traceback' not in program.output


def test_an_error_of_ours_keeps_its_traceback():
    with Program(making="raise RuntimeError('a bug')") as program:
        assert program.end() == 1
    assert 'Traceback' in program.output
    assert 'RuntimeError: a bug' in program.output
    assert 'closing' not in program.output, 'a node half made has nothing to close'


def test_an_error_in_a_callback_ends_the_node_with_its_traceback():
    with Program(making='node.create_timer(0.2, lambda: 1 / 0)') as program:
        assert program.end() == 1
    assert 'ZeroDivisionError' in program.output
    assert 'closing' in program.output


def test_ros_is_initialised_for_as_long_as_it_is_needed(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['program'])
    with initialised():
        assert rclpy.ok()
    assert not rclpy.ok()


@pytest.fixture
def worker(spun):
    worker = Worker(spun.node)
    yield worker
    worker.stop()


def test_work_is_done_in_order_by_one_thread(worker):
    done = []
    jobs = [
        worker.submit(lambda n=n: done.append((n, threading.current_thread()))) for n in range(50)
    ]
    for job in jobs:
        job.result(TIMEOUT_S)
    assert [number for number, _ in done] == list(range(50))
    assert len({thread for _, thread in done}) == 1
    assert done[0][1] is not threading.current_thread()


@pytest.mark.skipif(sys.platform != 'linux', reason='threads have a priority of their own')
def test_work_can_give_way_to_others_and_callbacks_do_not(spun):
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    own, polite = Worker(spun.node), Worker(spun.node, niceness=10)
    assert own.submit(priority).result(TIMEOUT_S) == priority()
    assert polite.submit(priority).result(TIMEOUT_S) == min(priority() + 10, 19)
    for worker in (own, polite):
        worker.stop()


def test_callbacks_go_on_while_the_worker_works(spun, worker):
    release, ticks = threading.Event(), []
    spun.call(spun.node.create_timer, 0.01, lambda: ticks.append(None))
    job = worker.submit(release.wait, TIMEOUT_S)
    wait_until(lambda: len(ticks) > 5, 'ticks of a timer')
    assert not job.done()
    release.set()
    assert job.result(TIMEOUT_S)


def test_a_callback_awaits_work_while_nothing_else_happens(spun, worker):
    """The executor sleeps; what the worker completes has to wake it."""
    begin = threading.Event()

    async def callback() -> str:
        return await worker.run(lambda: begin.wait(TIMEOUT_S) and 'done')

    task = spun.executor.create_task(callback)
    begin.set()
    assert result_of(task) == 'done'


def test_an_error_of_the_work_reaches_the_callback_that_awaits_it(spun, worker):
    async def callback() -> str:
        try:
            await worker.run(int, 'seven')
        except ValueError as error:
            return str(error)
        return ''

    assert 'seven' in result_of(spun.executor.create_task(callback))


def test_any_thread_completes_what_a_callback_awaits(spun):
    future = spun.call(awaitable, spun.node)

    async def callback() -> object:
        return await future

    task = spun.executor.create_task(callback)
    spun.call(lambda: None)  # the callback has begun to wait
    assert not task.done()
    threading.Thread(target=future.set_result, args=('from a thread',)).start()
    assert result_of(task) == 'from a thread'


def test_stopping_waits_for_what_runs_and_drops_what_waits(spun):
    worker, began, release = Worker(spun.node), threading.Event(), threading.Event()
    running = worker.submit(lambda: began.set() or release.wait(TIMEOUT_S))
    waiting = worker.submit(os.getpid)
    assert began.wait(TIMEOUT_S)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    wait_until(waiting.cancelled, 'what waits is dropped')
    assert stopping.is_alive()
    release.set()
    stopping.join(TIMEOUT_S)
    assert running.result(0) is True


def test_work_for_a_worker_that_was_stopped_is_cancelled(spun):
    """At the end of a node there are callbacks that do not know of it yet."""
    worker = Worker(spun.node)
    worker.stop()
    assert worker.submit(os.getpid).cancelled()
    future = worker.run(os.getpid)
    wait_until(future.done, 'whoever awaits it goes on')
    assert 'shutting down' in str(future.exception())


def test_work_that_is_dropped_does_not_leave_its_callback_waiting(spun):
    worker, began, release = Worker(spun.node), threading.Event(), threading.Event()
    worker.submit(lambda: began.set() or release.wait(TIMEOUT_S))
    assert began.wait(TIMEOUT_S)
    future = worker.run(os.getpid)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    wait_until(future.done, 'the future is done')  # Jazzy wakes nobody for a cancelled one
    assert isinstance(future.exception(), RuntimeError)
    release.set()
    stopping.join(TIMEOUT_S)


def test_a_stopped_worker_keeps_nobody_waiting(spun):
    worker = Worker(spun.node)
    worker.stop()
    waiting = threading.Thread(target=worker.finish, daemon=True)
    waiting.start()
    waiting.join(TIMEOUT_S)
    assert not waiting.is_alive()


def test_each_node_is_ended_also_where_another_fails_to():
    ending = "raise RuntimeError('the disk is gone')"
    source = PROGRAM.format(making='pass', ending=ending)
    both = ', '.join(f"lambda: ManagedNode('{name}', Config, Probe)" for name in ('one', 'other'))
    source = source.replace('run_node', 'run_nodes')
    source = source.replace("lambda: ManagedNode('probe', Config, Probe)", f'[{both}]')
    with Program(source=source) as program:
        program.read_until('spinning')
        program.process.send_signal(signal.SIGINT)
        assert program.end() != 0
        assert program.output.count('closing') == 2
