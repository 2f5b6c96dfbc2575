# SPDX-License-Identifier: Apache-2.0
"""The command line: what it prints, what it writes, and its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from recording_samples import T0, compressed, cut_off, image, storage_file, write_bag, write_video

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.replay.replay import Replay

NS = 1_000_000_000
VERB = ('-m', 'flash_vstream_ros')
QUESTION = ['--question', 'What?', '--at', '1', '--max-new-tokens', '3']


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return str(write_video(tmp_path / 'clip.mp4', 30))


@pytest.fixture
def model(checkpoint: Path) -> list[str]:
    return ['--model', str(checkpoint), '--device', 'cpu']


def wrong_use(arguments: list[str], capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def run(*command: str, folder: Path) -> subprocess.CompletedProcess:
    """A Python process of its own that finds the package, in another folder."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([root, os.environ.get('PYTHONPATH', '')])
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {'PYTHONPATH': path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_replay_prints_a_line_for_each_question(
    clip: str, model: list[str], capsys: pytest.CaptureFixture
) -> None:
    more = ['--question', 'First?', '--at', '0.5']
    assert main(['replay', clip, *model, *QUESTION, *more, '--rate', '5']) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [result['question'] for result in results] == ['First?', 'What?']
    assert [result['frames_seen'] for result in results] == [3, 6]
    expected = {'at', 'question', 'answer', 'frames_seen', 'newest_stamp', 'time_to_first_token',
                'total_time'}  # fmt: skip
    assert expected <= results[0].keys()


def test_questions_come_from_a_file_too(
    tmp_path: Path, clip: str, model: list[str], capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / 'questions.json'
    path.write_text('[{"at": 0.1, "question": "Open?", "choices": ["yes", "no"]}]')
    assert main(['replay', clip, *model, *QUESTION, '--questions', str(path)]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [result['question'] for result in results] == ['Open?', 'What?']
    assert results[0]['answer'] in ('yes', 'no')


def test_results_and_picture_go_to_files(
    tmp_path: Path, clip: str, model: list[str], capsys: pytest.CaptureFixture
) -> None:
    out, png = tmp_path / 'a.jsonl', tmp_path / 'a.png'
    files = ['--out', str(out), '--picture', str(png)]
    assert main(['replay', clip, *model, *QUESTION, *files]) == 0
    assert capsys.readouterr().out == ''
    (line,) = out.read_text().splitlines()
    assert json.loads(line)['frames_seen'] == 2
    assert cv2.imread(str(png)).shape[1] == 1600


def test_a_bag_is_replayed(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture
) -> None:
    messages = [compressed(i, T0 + i * NS) for i in range(4)]
    messages += [image(i, T0 + i * NS, '/other') for i in range(4)]
    path = str(write_bag(tmp_path / 'bag', messages))
    assert main(['replay', path, *model, *QUESTION]) == 1
    assert 'choose one with --topic' in capsys.readouterr().err
    assert main(['replay', path, *model, *QUESTION, '--topic', '/other']) == 0
    assert json.loads(capsys.readouterr().out)['newest_stamp'] == T0 + NS


def test_a_damaged_recording_is_answered_as_far_as_it_goes_and_fails(
    tmp_path: Path,
    model: list[str],
    capsys: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write_bag(tmp_path / 'bag', [image(i, T0 + i * NS // 10) for i in range(300)])
    cut_off(storage_file(path), 0.7)
    assert main(['replay', str(path), *model, *QUESTION]) == 1
    assert json.loads(capsys.readouterr().out)['status'] == 'OK'
    assert 'cut off or damaged' in caplog.text


def test_an_interrupted_run_keeps_its_finished_lines(
    tmp_path: Path, clip: str, model: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / 'a.jsonl'
    answers = Replay.__iter__

    def interrupted(self: Replay) -> object:
        yield next(answers(self))
        assert len(out.read_text().splitlines()) == 1  # written, not only buffered
        raise KeyboardInterrupt

    monkeypatch.setattr(Replay, '__iter__', interrupted)
    more = ['--question', 'More?', '--at', '2']
    assert main(['replay', clip, *model, *QUESTION, *more, '--out', str(out)]) == 130
    assert [json.loads(line)['question'] for line in out.read_text().splitlines()] == ['What?']


def test_results_of_before_are_kept_until_there_are_new_ones(
    tmp_path: Path, clip: str, model: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / 'a.jsonl'
    out.write_text('former\n')

    def interrupted(self: Replay) -> object:
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patched:
        patched.setattr(Replay, '__iter__', interrupted)
        assert main(['replay', clip, *model, *QUESTION, '--out', str(out)]) == 130
    assert out.read_text() == 'former\n'
    files = ['--out', str(out), '--picture', str(tmp_path / 'a.png')]
    assert main(['replay', clip, *model, *files]) == 0
    assert out.read_text() == ''


def test_what_is_read_is_not_overwritten(
    tmp_path: Path, clip: str, model: list[str], capsys: pytest.CaptureFixture
) -> None:
    before = Path(clip).read_bytes()
    for option in ('--out', '--picture'):
        (tmp_path / 'link').unlink(missing_ok=True)
        (tmp_path / 'link').symlink_to(clip)
        for name in (clip, str(tmp_path / 'link')):
            assert main(['replay', clip, *model, *QUESTION, option, name]) == 1
            assert 'is read from, and is not overwritten' in capsys.readouterr().err
    assert Path(clip).read_bytes() == before


def test_a_place_that_may_not_be_written_is_said_before_the_work(
    tmp_path: Path, clip: str, model: list[str], capsys, monkeypatch
) -> None:
    monkeypatch.setattr('os.access', lambda path, mode: Path(path) != tmp_path)
    monkeypatch.setattr(Replay, '__iter__', lambda self: pytest.fail('it was replayed'))
    assert main(['replay', clip, *model, *QUESTION, '--picture', str(tmp_path / 'a.png')]) == 1
    assert 'cannot be written: read-only' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        ([], 'the following arguments are required: VERB'),
        (['fly'], "invalid choice: 'fly'"),
        (['replay', 'a.mp4'], 'required: --model'),
        (['replay', 'a.mp4', '--model', 'm'], 'nothing to do: give --question'),
        (['replay', 'a.mp4', '--model', 'm', '--question', 'a'], 'one --at SECONDS for each'),
        (['replay', 'a.mp4', '--model', 'm', '--at', '1'], 'one --at SECONDS for each'),
        (['replay', 'a.mp4', '--model', 'm', '--question', 'a', '--at', '-1'], 'at: expected'),
        (['replay', 'a.mp4', '--model', 'm', '--question', 'a', '--at', 'x'], 'invalid float'),
        (['replay', 'a.mp4', '--model', 'm', '--rate', '-1'], 'expected a value from 0.0 to 1000'),
        (['replay', 'a.mp4', '--model', 'm', '--dtype', 'int8'], 'dtype: expected one of'),
        (['replay', 'a.mp4', '--model', 'm', '--max-new-tokens', '0'], 'expected a value from 1'),
        (['ask'], 'required: QUESTION'),
        (['ask', 'a', '--timeout', '0'], 'expected seconds'),
        (['random-checkpoint', 'a', '--size', 'huge'], "invalid choice: 'huge'"),
    ],
)
def test_wrong_use_is_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture
) -> None:
    assert complaint in wrong_use(arguments, capsys)


def test_a_failed_job_is_one_line_on_standard_error(
    tmp_path: Path, clip: str, model: list[str], capsys: pytest.CaptureFixture
) -> None:
    no_video = tmp_path / 'text.mp4'
    no_video.write_text('hello')
    broken = tmp_path / 'q.json'
    broken.write_text('[{]')
    cases = {
        'nothing.mp4: no such file': ['nothing.mp4', *model, *QUESTION],
        'text.mp4: 0 frames could be read': [str(no_video), *model, *QUESTION],
        'q.json, line 1: not JSON': [clip, *model, '--questions', str(broken)],
        'no_model: no such folder': [clip, '--model', 'no_model', *QUESTION],
        'its folder does not exist': [clip, *model, *QUESTION, '--out', 'no/where.jsonl'],
        'expected the name of a file': [clip, *model, '--picture', str(tmp_path)],
        'device: expected auto': [clip, '--model', model[1], '--device', 'abacus', *QUESTION],
    }
    for complaint, arguments in cases.items():
        assert main(['replay', *arguments]) == 1, complaint
        printed = capsys.readouterr()
        assert printed.out == ''
        (line,) = [line for line in printed.err.splitlines() if line.startswith('flash_vstream')]
        assert line.startswith('flash_vstream replay: ')
        assert complaint in line


def test_every_verb_has_help(capsys: pytest.CaptureFixture) -> None:
    for verb in ([], ['replay'], ['ask'], ['random-checkpoint']):
        with pytest.raises(SystemExit) as stop:
            main([*verb, '--help'])
        assert stop.value.code == 0
        assert 'usage: flash_vstream' in capsys.readouterr().out


def test_help_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = (
        'import sys\n'
        'from flash_vstream_ros.__main__ import make_parser\n'
        'make_parser()\n'
        'sys.exit(any(name in sys.modules for name in ("torch", "cv2", "rclpy", "transformers")))'
    )
    done = run('-c', code, folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_process_ends_with_the_status_and_without_traceback(
    tmp_path: Path, clip: str, model: list[str]
) -> None:
    done = run(*VERB, 'replay', clip, *model, *QUESTION, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['frames_seen'] == 2
    assert '30 frames read' in done.stderr
    garbage = tmp_path / 'garbage.mp4'
    garbage.write_bytes(bytes(range(256)) * 40)
    failed = run(*VERB, 'replay', str(garbage), *model, *QUESTION, folder=tmp_path)
    assert failed.returncode == 1
    assert failed.stdout == ''
    # OpenCV's own libraries may have had their say before.
    assert 'garbage.mp4: 0 frames could be read' in failed.stderr.splitlines()[-1]
    assert 'Traceback' not in failed.stderr


@pytest.mark.parametrize('words', [['ask', 'Where is the cup?'], ['doctor']])
def test_a_verb_of_a_running_robot_says_without_ros_what_it_needs(
    words: list[str], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = 'flash_vstream_ros.nodes.'  # what a verb needs may have been imported already
    for name in [name for name in sys.modules if name.startswith(nodes)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'rclpy', None)
    assert main(words) == 1
    said = capsys.readouterr().err
    assert f'flash_vstream {words[0]}: needs ROS 2' in said
    assert f'flash_vstream_ros flash_vstream {words[0]} ...' in said
