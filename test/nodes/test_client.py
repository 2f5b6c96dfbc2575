# SPDX-License-Identifier: Apache-2.0
"""The client of planners against real nodes: a script, a node, coroutines, threads."""

import asyncio
import gc
import importlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from asking import caught, ways
from flash_vstream_ros.msg import Answer
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from robots import S, SpunNode, result_of, wait_until

from flash_vstream_ros.nodes.ask_errors import AskError, Busy, Cancelled, MemoryEmpty
from flash_vstream_ros.nodes.client import VStreamClient


def test_a_script_asks_without_a_node(robot, client):
    robot.see(3)
    for ask in ways(client).values():
        answer = ask('Is it day?', ['yes', 'no'], min_stamp_ns=3 * S)
        assert answer.text in ('yes', 'no')
        assert sum(answer.choice_probabilities) == pytest.approx(1.0, abs=1e-3)
        assert answer.frames_seen == 3
        plain = ask('What is it?', max_new_tokens=5)
        assert plain.answer_tokens == 5
        assert plain.text == robot.ask('What is it?', max_new_tokens=5).text


def test_threads_of_a_node_that_somebody_spins_ask_side_by_side(robot, spun):
    robot.see(1)
    relative = robot.namespace.removeprefix('/')
    assert spun.node.get_namespace() != '/'
    with VStreamClient(spun.node, f'/{relative}') as client, ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(client.ask, 'Is it day?', ['yes', 'no'], '', S) for _ in range(2)]
        assert {job.result().status for job in asked} == {Answer.OK}
        assert spun.call(lambda: 'the node goes on') == 'the node goes on'


def test_the_namespace_is_relative_to_the_node(spun, namespace):
    with VStreamClient(spun.node, 'memory') as client:
        assert client.name == f'{namespace}/memory/ask'
    with VStreamClient(spun.node, '') as client:
        assert client.name == f'{namespace}/ask'
    with VStreamClient(spun.node, '/') as client:
        assert client.name == '/ask'


def test_between_two_spins_of_a_node_the_same_thread_asks(robot, spun):
    """Whoever spins now and then does not spin while waiting."""
    robot.see(1)
    node = spun.node
    spun.executor.remove_node(node)
    executor = SingleThreadedExecutor(context=spun.context)
    executor.add_node(node)
    with VStreamClient(node, robot.namespace) as client:
        executor.spin_once(timeout_sec=0.0)
        assert client.ask('What?', min_stamp_ns=S, max_new_tokens=1).status == Answer.OK
    executor.shutdown()


def test_waiting_in_a_callback_is_refused_with_the_way_out(robot, spun):
    robot.see(1)
    with VStreamClient(spun.node, robot.namespace) as client:
        for wait in (
            lambda: client.ask('What?'),
            lambda: client.ask_async('What?', max_new_tokens=1).result(),
            lambda: next(client.ask_async('What?', max_new_tokens=1).pieces()),
        ):
            error = spun.call(caught, wait)
            assert isinstance(error, RuntimeError)
            assert "a callback of node 'test' waits" in str(error)
            assert 'await ask_async()' in str(error)
        answers = []

        def is_answered():
            with suppress(Busy):  # what was asked in vain may still be at work
                answers.append(client.ask('What?', min_stamp_ns=S, max_new_tokens=1))
            return answers

        wait_until(is_answered, 'who waits elsewhere gets an answer')
        assert answers[0].status == Answer.OK


def test_a_callback_awaits_the_answer_and_others_run_meanwhile(robot, spun):
    robot.see(1)

    async def ask():
        pending = client.ask_async('What?', min_stamp_ns=S, max_new_tokens=50)
        return await pending

    with VStreamClient(spun.node, robot.namespace) as client:
        task = spun.executor.create_task(ask)
        assert spun.call(lambda: 'meanwhile') == 'meanwhile'
        assert result_of(task).text


def test_an_error_is_raised_where_a_callback_awaits(robot, spun):
    async def ask():
        try:
            return await client.ask_async('What?')
        except AskError as error:
            return error

    with VStreamClient(spun.node, robot.namespace) as client:
        assert isinstance(result_of(spun.executor.create_task(ask)), MemoryEmpty)


def test_awaiting_what_could_not_wake_the_callback_is_refused_with_the_way_out(client, spun):
    """A client made without the node does not know its executor: it would sleep on."""

    async def ask(pending):
        try:
            return await pending
        except (AskError, RuntimeError) as error:
            return error

    pending = client.ask_async('What?')
    error = result_of(spun.executor.create_task(ask, pending))
    assert isinstance(error, RuntimeError)
    assert 'make the client with the node whose callback awaits' in str(error)
    with pytest.raises(MemoryEmpty):
        pending.result()
    error = result_of(spun.executor.create_task(ask, pending))
    assert isinstance(error, MemoryEmpty), 'nobody has to be woken for what is there'


def test_a_callback_of_a_pool_of_threads_may_wait(robot, spun):
    robot.see(1)
    spun.executor.remove_node(spun.node)
    executor = MultiThreadedExecutor(2, context=spun.context)
    executor.add_node(spun.node)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    with VStreamClient(spun.node, robot.namespace) as client:
        answer = result_of(executor.create_task(client.ask, 'What?', (), '', S))
    assert answer.status == Answer.OK
    executor.shutdown()
    spinning.join()


def test_asyncio_awaits_several_answers_at_once(robot, client):
    robot.see(1)

    async def ask():
        asked = [client.ask_async('What?', min_stamp_ns=S, max_new_tokens=3) for _ in range(2)]
        return await asyncio.gather(*asked)

    assert [answer.answer_tokens for answer in asyncio.run(ask())] == [3, 3]


def test_a_question_waits_for_its_stamp(robot, client):
    robot.see(1)
    pending = client.ask_async('What?', min_stamp_ns=2 * S, max_new_tokens=1)
    assert not pending.done()
    robot.see(1, start_s=2)
    assert pending.result().frames_seen == 2


def test_a_client_that_is_closed_ends_what_is_pending(stand_in, namespace):
    client = VStreamClient(namespace=namespace)
    pending = client.ask_async('What?')
    wait_until(lambda: stand_in.requests, 'the question has arrived')
    client.close()
    client.close()
    for ended in (pending, client.ask_async('And?')):
        with pytest.raises(Cancelled, match='closed'):
            ended.result()


def test_a_client_that_is_closed_is_off_the_network(spun, namespace):
    """Collected or not: each would be one of the 32 that a machine's discovery looks for."""
    names = spun.node.get_node_names
    gc.disable()
    try:
        with VStreamClient(namespace=namespace):
            wait_until(lambda: 'vstream_client' in names(), 'the client is seen')
        wait_until(lambda: 'vstream_client' not in names(), 'the client is gone')
    finally:
        gc.enable()


def test_the_end_of_the_context_ends_what_is_pending(namespace):
    spun = SpunNode(namespace)
    client = VStreamClient(spun.node, 'nowhere', find_timeout_s=3600.0)
    pending = client.ask_async('What?', timeout_s=3600.0)
    spun.close()
    with pytest.raises(Cancelled):
        pending.result()
    client.close()


SCRIPT = """
import sys
from flash_vstream_ros.nodes.client import VStreamClient
client = VStreamClient(namespace=sys.argv[1])
print(client.ask('Is it day?', ['yes', 'no']).text)
assert 'torch' not in sys.modules, 'a planner must not pay for the model'
"""


def test_a_script_needs_no_torch_and_may_forget_to_close(robot):
    robot.see(1)
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, robot.namespace],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.strip() in ('yes', 'no')


@pytest.mark.parametrize(
    ('module', 'needed', 'package'),
    [
        ('behaviours', 'py_trees.behaviour', 'py_trees'),
        ('langchain_tool', 'langchain_core.tools', 'langchain-core'),
    ],
)
def test_what_is_optional_is_said_where_it_is_missing(monkeypatch, module, needed, package):
    name = f'flash_vstream_ros.nodes.{module}'
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, needed, None)
    with pytest.raises(ImportError, match=rf'{name} needs {package}: pip install {package}'):
        importlib.import_module(name)
