# SPDX-License-Identifier: Apache-2.0
"""Planners that ask at once, over DDS: answered as if each were alone, by a server as well."""

import contextlib
import shutil

import pytest
from decoder_server import DecoderServer
from flash_vstream_ros.msg import Answer
from robots import PROGRAMS, Robot, S, wait_until

from flash_vstream_ros.nodes.conversions import ros_text


@contextlib.contextmanager
def robot_of_many(checkpoint, folder, **parameters):
    """A robot whose question handler answers as many at once as it does by default."""
    model = {'model': checkpoint}
    frames = model | {'sample_rate': 0.0, 'publish_rate': 1000.0}
    questions = model | {'queue_size': 100} | parameters
    robot = Robot(
        folder, '/robot_of_many', {'frame_handler': frames, 'question_handler': questions}
    )
    try:
        robot.start(*PROGRAMS)
        yield robot
    finally:
        robot.close()


def see_some(robot, vstream):
    """Let it see; returns what it has in mind then."""
    memory = vstream.new_memory()
    for second, image in enumerate(robot.see(3), start=1):
        vstream.write(memory, image, second * S)
    return memory.snapshot().to_float16()


def ask_at_once(robot, vstream, snapshot):
    """Ask in all ways, all at once, and compare with the model alone."""
    sent = {n: robot.send(f'Question {n}?', max_new_tokens=60 + n) for n in range(24)}
    goal = robot.begin('What is there?', max_new_tokens=200)
    closed = robot.send('Is it?', choices=['yes', 'no'])
    wait_until(lambda: all(future.done() for future in sent.values()), 'all answers')
    for n, future in sent.items():
        answer = future.result().answer
        expected = vstream.answer(snapshot, f'Question {n}?', max_new_tokens=60 + n)
        assert (answer.status, answer.text) == (Answer.OK, ros_text(expected.text))
    _, answer = goal.result()
    expected = vstream.answer(snapshot, 'What is there?', max_new_tokens=200)
    assert (answer.status, answer.text) == (Answer.OK, ros_text(expected.text))
    wait_until(closed.done, 'the closed question')
    probabilities = vstream.answer(snapshot, 'Is it?', ['yes', 'no']).choice_probabilities
    assert closed.result().answer.choice_probabilities == pytest.approx(probabilities, abs=1e-4)


def test_planners_that_ask_at_once_are_answered_together(checkpoint, vstream, tmp_path):
    """Over DDS, with the node's own batch."""
    with robot_of_many(checkpoint, tmp_path) as robot:
        ask_at_once(robot, vstream, see_some(robot, vstream))


@pytest.mark.parametrize('size', [8, 1])
def test_a_model_on_a_server_answers_them_too(checkpoint, vstream, tmp_path, size):
    options = {'batch_size': size}
    server = DecoderServer(vstream.language_model, vstream.prompt.end_id)
    try:
        with robot_of_many(checkpoint, tmp_path, decoder_url=server.url, **options) as robot:
            snapshot = see_some(robot, vstream)
            ask_at_once(robot, vstream, snapshot)
            server.refuses = 'no room ' * 100_000 + '\ud800'
            answer = robot.ask('And now?')
            assert answer.status == Answer.MODEL_ERROR
            assert 'no room' in answer.message
            assert len(answer.message) < 1000
            server.refuses, server.pause_s = '', 0.2
            answer = robot.ask('Slowly?', timeout_s=1.0, max_new_tokens=100)
            assert (answer.status, bool(answer.text)) == (Answer.TIMEOUT, True)
            server.pause_s = 0.0
            assert robot.ask('And now?').status == Answer.OK
            server.close()
            answer = robot.ask('Is anybody there?', timeout_s=60.0)
            assert answer.status == Answer.MODEL_ERROR
            assert f'no answer from {server.url}' in answer.message
            assert not robot.processes['question_handler'].has_ended
            assert 'HTTP Request' not in robot.log('question_handler'), 'a line for each'
    finally:
        server.close()


@pytest.mark.skipif(shutil.which('g++') is None, reason='torch.compile needs a C++ compiler here')
def test_compiled_passes_answer_as_plain_ones_do(checkpoint, vstream, tmp_path, monkeypatch):
    """Of a second start: the first one takes a minute and leaves what it has compiled."""
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path / 'compiled'))
    vstream.new_batch(decoding='compiled')
    with robot_of_many(checkpoint, tmp_path, decoding='compiled') as robot:
        assert 'decoding compiled: ready in' in robot.log('question_handler')
        ask_at_once(robot, vstream, see_some(robot, vstream))


def test_without_a_compiler_it_is_said_and_planners_are_answered(
    checkpoint, vstream, tmp_path, monkeypatch
):
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path / 'compiled'))
    monkeypatch.setenv('CXX', str(tmp_path / 'no_compiler'))
    with robot_of_many(checkpoint, tmp_path, decoding='compiled') as robot:
        assert 'tokens come by plain ones' in robot.log('question_handler')
        ask_at_once(robot, vstream, see_some(robot, vstream))
