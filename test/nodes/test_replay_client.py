# SPDX-License-Identifier: Apache-2.0
"""The replay client: a recording in the camera's place, questions on the way, results."""

import json
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from flash_vstream_ros.msg import Answer
from robots import picture

from flash_vstream_ros.nodes import replay_client
from flash_vstream_ros.nodes.conversions import ros_text
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.nodes.replay_playing import FrameHandlerFacts
from flash_vstream_ros.replay.questions import Question
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.replay import Replay

RATE, FRAMES = 10, 30


@pytest.fixture(scope='module')
def recording(tmp_path_factory):
    """Three seconds of video."""
    path = tmp_path_factory.mktemp('recording') / 'clip.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), RATE, (64, 48))
    for number in range(FRAMES):
        writer.write(picture(number))
    writer.release()
    return path


def play(robot, log, *arguments: object) -> tuple[int, str]:
    """Run the client in the robot's namespace; returns its exit status and output."""
    words = [str(argument) for argument in arguments]
    with NodeProcess('replay_client', arguments=words, namespace='/robot', log=log) as process:
        status = process.process.wait(120.0)
    return status, process.output()


def test_a_recording_is_played_and_every_question_answered(robot, recording, tmp_path):
    questions = tmp_path / 'questions.json'
    choice = {'at': 2.0, 'question': 'Open?', 'choices': ['yes', 'no']}
    questions.write_text(json.dumps([choice]))
    out, image = tmp_path / 'answers.jsonl', tmp_path / 'memory.png'
    arguments = ['--question', 'Where is the cup?', '--at', 1.0, '--questions', questions]
    arguments += ['--question', 'So soon?', '--at', 0.0]
    arguments += ['--out', out, '--picture', image, '--speed', 0.5]
    status, output = play(robot, tmp_path / 'log', recording, *arguments)
    assert status == 0, output

    zeroth, first, second = (json.loads(line) for line in out.read_text().splitlines())
    assert (zeroth['question'], zeroth['status']) == ('So soon?', 'OK'), 'it waits for a frame'
    assert (first['question'], second['question']) == ('Where is the cup?', 'Open?')
    assert second['answer'] in ('yes', 'no')
    assert sum(second['choice_probabilities']) == pytest.approx(1.0, abs=1e-6)
    # The robot takes 5 frames a second; each answer has seen its moment, to two of them.
    for result in (first, second):
        assert result['status'] == 'OK'
        assert result['at'] - 0.4 - 0.1 <= result['newest_at'] <= FRAMES / RATE
        assert result['frames_seen'] >= 5 * (result['at'] - 0.5)
    assert first['frames_seen'] < second['frames_seen']
    assert robot.memory.header.frame_id == 'camera'

    for text in (
        'playing video',
        'Where is the cup?',
        'Open?',
        'first token',
        f'picture of the memory: {image}',
    ):
        assert text in output
    assert cv2.imread(str(image)) is not None


def test_in_step_the_answers_are_those_of_a_replay_without_ros(
    robot, vstream, recording, tmp_path
):
    """Whatever the speed: no frame is replaced, and each question sees just what it should."""
    questions = [Question(at, 'Where?', max_new_tokens=12) for at in (0.0, 0.95, 1.0, 2.34, 2.9)]
    questions.append(Question(1.5, 'Open?', ('yes', 'no')))
    expected = list(Replay(vstream, open_recording(recording), questions, sample_rate=5.0))
    file, out = tmp_path / 'questions.json', tmp_path / 'answers.jsonl'
    entries = [
        {'at': q.at, 'question': q.question, 'choices': list(q.choices), 'max_new_tokens': 12}
        for q in questions
    ]
    file.write_text(json.dumps(entries))
    status, output = play(
        robot, tmp_path / 'log', recording, '--questions', file, '--in-step', '--out', out
    )
    assert status == 0, output
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [result['frames_seen'] for result in found] == [1, 5, 6, 8, 12, 15]
    for result, same in zip(found, expected, strict=True):
        for key in ('at', 'frames_seen', 'newest_stamp', 'key_stamps'):
            assert result[key] == same[key], key
        assert result['answer'] == ros_text(same['answer'])
        assert result['choice_probabilities'] == pytest.approx(
            same['choice_probabilities'], abs=1e-4
        )


def test_in_step_a_frame_that_the_memory_refuses_is_named(monkeypatch):
    """The wait for it has an end."""
    monkeypatch.setattr(replay_client, 'MEMORY_TIMEOUT_S', 0.2)
    client = replay_client.ReplayClient.__new__(replay_client.ReplayClient)
    client.fault, client.snapshot = None, None
    with pytest.raises(TimeoutError, match='stamped 7 ns'):
        client.wait_for_memory(7)


class Alone(replay_client.ReplayClient):
    """A client without nodes, whose question 'late' gets no answer."""

    def __init__(self):
        self._fill, self._sent = replay_client._FILL, []
        self.published, self.corrupt, self.snapshot = [], 0, None
        self._publisher = SimpleNamespace(publish=self.published.append)

    def wait_for_nodes(self):
        return FrameHandlerFacts('model', 1.0, 'raw')

    def ask(self, question, min_stamp_ns):
        def answer():
            if question.question == 'late':
                raise TimeoutError('no response')
            return Answer(text='grün')

        return SimpleNamespace(is_answered=lambda: question.question != 'late', answer=answer)


def run_alone(client, recording, *arguments):
    words = [str(word) for word in (recording, '--speed', 50, *arguments)]
    return replay_client.run(client, replay_client.parse_arguments(words))


def test_answers_before_a_failure_are_kept(recording, tmp_path, capsys):
    out = tmp_path / 'answers.jsonl'
    questions = [
        w for text, at in (('soon', 1), ('late', 2)) for w in ('--question', text, '--at', at)
    ]
    with pytest.raises(TimeoutError):
        run_alone(Alone(), recording, *questions, '--out', out)
    (kept,) = [json.loads(line) for line in out.read_text(encoding='utf-8').splitlines()]
    assert (kept['question'], kept['answer']) == ('soon', 'grün')
    assert 'grün' in capsys.readouterr().out


@pytest.mark.parametrize('option', ['--out', '--picture'])
def test_that_a_result_cannot_be_written_is_said_before_anything_is_played(
    recording, tmp_path, option
):
    client = Alone()
    with pytest.raises(FileNotFoundError, match='its folder does not exist'):
        run_alone(client, recording, option, tmp_path / 'missing' / 'file')
    assert not client.published


@pytest.mark.parametrize('shape', [(1, 2000, 3), (2000, 1, 3)])
def test_an_image_may_be_a_line(shape):
    """As of a line camera: its thumbnail is one pixel high at least."""
    client = Alone()
    client.publish(np.zeros(shape, np.uint8), 1, 'raw')
    assert len(client.published) == len(client._sent) == 1


def test_a_question_without_an_answer_fails_the_job(robot, recording, tmp_path):
    question = ['--question', 'Where? ' * 5000, '--at', 0.5, '--speed', 10]
    status, output = play(robot, tmp_path / 'log', recording, *question)
    assert status == 1
    assert 'BAD_REQUEST' in output
    assert 'Traceback' not in output


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ([], ['recording']),
        (['clip.mp4', '--speed', '0'], ['--speed', '0']),
        (['clip.mp4', '--question', 'Where?'], ['--at', '1 x --question']),
        (['clip.mp4', '--question', ' ', '--at', '1'], ['question']),
        (['clip.mp4', '--at', 'soon', '--question', 'Where?'], ['--at', 'soon']),
        (['clip.mp4', '--questions', 'missing.json'], ['missing.json']),
    ],
)
def test_wrong_use_ends_with_status_2_and_the_reason(capsys, arguments, words):
    with pytest.raises(SystemExit) as ending:
        replay_client.parse_arguments(arguments)
    assert ending.value.code == 2
    error = capsys.readouterr().err
    for word in words:
        assert word in error


def test_questions_of_the_command_line_and_the_file_are_asked(tmp_path):
    file = tmp_path / 'questions.json'
    file.write_text(json.dumps([{'at': 2, 'question': 'Open?'}]))
    parsed = replay_client.parse_arguments(
        ['clip.mp4', '--question', 'Where?', '--at', '1.5', '--questions', str(file)]
    )
    assert parsed.all_questions == [Question(1.5, 'Where?'), Question(2, 'Open?')]


def test_a_recording_that_is_not_there_fails_the_job(monkeypatch, capsys, tmp_path):
    missing = str(tmp_path / 'missing.mp4')
    monkeypatch.setattr(sys, 'argv', ['replay_client', missing])
    assert replay_client.main() == 1
    assert missing in capsys.readouterr().err


def test_nodes_that_are_not_there_are_named(monkeypatch, capsys, recording, namespace):
    monkeypatch.setattr(replay_client, 'READY_TIMEOUT_S', 0.2)
    monkeypatch.setattr(
        sys, 'argv', ['replay_client', str(recording), '--ros-args', '-r', f'__ns:={namespace}']
    )
    assert replay_client.main() == 1
    assert f'no frame_handler in {namespace}' in capsys.readouterr().err
