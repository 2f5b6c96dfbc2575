# SPDX-License-Identifier: Apache-2.0
"""kill -9 of either node in every phase of a query: the other one carries on and recovers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from asking import MANY_CHOICES
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.srv import Ask
from own_nodes import FilmedBy
from robots import S, fill, picture, result_of, wait_until

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.nodes.conversions import ros_text
from flash_vstream_ros.nodes.processes import NodeProcess

HELD = Path(__file__).with_name('held_frame_handler.py')
PHASES = ('encoding', 'writing', 'publishing')
QUESTION = 'What is there?'
LONG = 3000  # tokens: seconds of work, should nobody end it
PLANNER = """
import sys
from flash_vstream_ros.nodes.client import VStreamClient
with VStreamClient(namespace=sys.argv[1]) as client:
    client.ask_async('What happened?', max_new_tokens=1000).result()
"""


def expected(vstream: FlashVStream, *seconds: int) -> str:
    """What the core answers to the question, the pictures of those seconds shown."""
    memory = vstream.new_memory()
    for second in seconds:
        vstream.write(memory, picture(second), second * S)
    snapshot = memory.snapshot().to_float16()
    return ros_text(vstream.answer(snapshot, QUESTION, max_new_tokens=20).text)


@pytest.fixture
def held(namespace, checkpoint, tmp_path):
    """Frame handlers that will stop in each phase; one namespace each."""
    processes = {}
    for phase in PHASES:
        process = NodeProcess(
            'frame_handler',
            {'model': checkpoint, 'sample_rate': 0.0, 'publish_rate': 1000.0, 'device': 'cpu'},
            namespace=f'{namespace}/{phase}',
            environment={'OMP_NUM_THREADS': '1'},
            log=tmp_path / f'{phase}.log',
        )
        place = process.command.index('-m')
        process.command[place : place + 2] = [str(HELD), phase]
        processes[phase] = process.__enter__()
    yield processes
    for process in processes.values():
        process.process.kill()
        process.process.wait()


def test_a_frame_handler_killed_in_any_phase_leaves_its_last_memory_to_ask_about(
    held, start, planner, vstream
):
    """And the one after it a memory of its own, of as many frames: no prefix is mistaken."""
    topics = [f'{phase}/memory' for phase in PHASES]
    handler = start('question_handler', memories=topics)
    cameras = {phase: FilmedBy(planner, f'{phase}/', phase) for phase in PHASES}
    for phase, camera in cameras.items():
        camera.show(1)
        camera.show(2)
        camera.publisher.publish(camera.message(3))
        wait_until(lambda p=phase: 'HELD' in held[p].output(), f'it stops while {phase}')
    ask = {'min_stamp_ns': 2 * S, 'max_new_tokens': 20}
    for phase in PHASES:  # it has found all of them, and has their memories
        assert planner.ask(camera=phase, **ask).status == Answer.OK
    question = fill(Ask.Request(), QUESTION, camera='encoding', timeout_s=1.0, max_new_tokens=LONG)
    answering = planner.asking.call_async(question)
    for process in held.values():
        process.process.kill()
        process.process.wait()
    answer = result_of(answering).answer
    assert (answer.status, answer.frames_seen, bool(answer.text)) == (Answer.TIMEOUT, 2, True)
    for phase, camera in cameras.items():
        answer = planner.ask(camera=phase, **ask)
        assert (answer.status, answer.frames_seen) == (Answer.OK, 2)
        assert answer.text == expected(vstream, 1, 2)
        assert answer.memory_id == camera.memories[-1].memory_id

    camera = cameras['writing']
    former = camera.memories[-1].memory_id
    start('frame_handler', '/writing', sample_rate=0.0, publish_rate=1000.0)
    wait_until(lambda: camera.memories[-1].memory_id != former, 'the new memory', 90.0)
    camera.show(5)
    camera.show(6)
    answer = planner.ask(camera='writing', **ask | {'min_stamp_ns': 6 * S})
    assert (answer.status, answer.frames_seen) == (Answer.OK, 2)
    assert answer.memory_id == camera.memories[-1].memory_id != former
    assert answer.text == expected(vstream, 5, 6)
    assert not handler.has_ended


def is_busy(robot) -> bool:
    return robot.ask('Busy?', timeout_s=0.01, min_stamp_ns=0).status == Answer.BUSY


@pytest.mark.parametrize('phase', ['waiting for memory and before the first token', 'decoding'])
def test_a_question_handler_killed_in_any_phase_is_replaced_and_the_memory_goes_on(
    robot, vstream, phase
):
    """One question at work and one in line, or waiting for a memory that is still to come."""
    robot.see(2)
    memory_id = robot.memory.memory_id
    if phase == 'decoding':
        goal = robot.begin('What happened?', max_new_tokens=LONG)
        wait_until(lambda: goal.feedback, 'the answer has begun')
        robot.send('And then?')
    else:
        goal = robot.begin('What happened?', choices=MANY_CHOICES, timeout_s=1000.0)
        robot.send('And then?', min_stamp_ns=99 * S)
    wait_until(lambda: is_busy(robot), 'both are pending')
    assert bool(goal.feedback) == (phase == 'decoding')
    robot.kill('question_handler')
    robot.see(2, start_s=3)
    assert (robot.memory.memory_id, robot.memory.frames_written) == (memory_id, 4)
    robot.start('question_handler')
    answer = robot.ask(QUESTION, max_new_tokens=20)
    assert (answer.status, answer.frames_seen, answer.memory_id) == (Answer.OK, 4, memory_id)
    assert answer.text == expected(vstream, 1, 2, 3, 4)


def test_a_planner_killed_while_its_question_runs_keeps_nobody_waiting_for_ever(robot):
    robot.see(1)
    before = len(robot.said)
    planner = subprocess.Popen(
        [sys.executable, '-c', PLANNER, robot.namespace],
        env=os.environ | {'PYTHONSAFEPATH': '1', 'OMP_NUM_THREADS': '1'},
    )
    try:
        wait_until(lambda: len(robot.said) > before, 'its answer has begun', 60.0)
    finally:
        planner.kill()
        planner.wait()
    pieces = list(robot.said.values())[-1]
    spoken = len(pieces)
    wait_until(lambda: len(pieces) > spoken, 'the answer goes on for nobody')
    assert robot.ask('And now?', max_new_tokens=1).status == Answer.OK
    assert not robot.processes['question_handler'].has_ended
