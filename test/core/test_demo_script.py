# SPDX-License-Identifier: Apache-2.0
"""What `make demo` says of wrong arguments, and what it asks and leaves."""

import importlib.util
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope='module')
def demo(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location('demo', repository / 'scripts' / 'demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        (['--video', '{file}', '--bag', '{tmp}'], 'give VIDEO= or BAG=, not both'),
        (['--video', '{tmp}/none.mp4'], 'VIDEO: {tmp}/none.mp4: no such file or folder'),
        (['--bag', '{tmp}/none'], 'BAG: {tmp}/none: no such file or folder'),
        (['--video', '{tmp}'], 'VIDEO: {tmp}: expected a video file, got a folder'),
        (['--out', '{file}'], 'OUT: {file}: expected a folder, got a file'),
        (['--model', '{tmp}/none'], 'MODEL: {tmp}/none: no such folder'),
    ],
)
def test_a_wrong_argument_is_said_in_a_line(repository, tmp_path, arguments, complaint):
    file = tmp_path / 'file'
    file.touch()
    places = {'tmp': tmp_path, 'file': file}
    words = [word.format(**places) for word in arguments]
    # Isolated, without site-packages: what is heavy cannot be imported before.
    command = [sys.executable, '-I', '-S', repository / 'scripts' / 'demo.py', *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith('demo: ' + complaint.format(**places))
    assert done.stderr.count('\n') == 1


def test_ctrl_c_while_something_is_imported_ends_it_in_a_line(repository, tmp_path):
    package = tmp_path / 'flash_vstream_ros'
    package.mkdir()
    (package / '__init__.py').write_text('raise KeyboardInterrupt')
    done = subprocess.run(
        [sys.executable, '-S', repository / 'scripts' / 'demo.py', '--out', tmp_path / 'out'],
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, 'demo: interrupted\n')


def test_the_questions_beside_a_simulated_recording_are_asked_with_their_truth(demo, tmp_path):
    bag = tmp_path / 'patrol'
    bag.mkdir()
    entry = {'question': 'Open?', 'end_time': 5.0, 'answer': 'yes', 'choices': ['yes', 'no']}
    (tmp_path / 'patrol.questions.json').write_text(json.dumps([entry]))
    assert demo.write_questions(tmp_path / 'questions.json', bag, None)
    (asked,) = json.loads((tmp_path / 'questions.json').read_text())
    assert (asked['at'], asked['truth'], asked['choices']) == (5.0, 'yes', ['yes', 'no'])


@pytest.mark.parametrize(('written', 'expected'), [(12, 12), (13, 7), (40, 10)])
def test_of_many_questions_few_are_asked_evenly(demo, tmp_path, written, expected):
    entries = [{'question': 'Open?', 'end_time': 1.0 * i, 'answer': 'no'} for i in range(written)]
    (tmp_path / 'patrol.questions.json').write_text(json.dumps(entries))
    demo.write_questions(tmp_path / 'questions.json', tmp_path / 'patrol', None)
    asked = json.loads((tmp_path / 'questions.json').read_text())
    assert len(asked) == expected
    assert len({later['at'] - q['at'] for q, later in pairwise(asked)}) == 1


def test_another_recording_is_asked_questions_spread_over_its_length(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, 'length_s', lambda path, topic: 8.0)
    assert not demo.write_questions(tmp_path / 'questions.json', tmp_path / 'clip.mp4', None)
    asked = json.loads((tmp_path / 'questions.json').read_text())
    assert [entry['at'] for entry in asked] == [2.0, 4.0, 6.0, 8.0]


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """What a demo of a simulated patrol leaves."""
    for name in ('recording.mp4', 'recording.events.json', 'recording.questions.json',
                 'answers.jsonl', 'mine.txt'):  # fmt: skip
        (tmp_path / name).touch()
    return tmp_path


def test_what_a_former_demo_has_left_goes_and_nothing_else(demo, former):
    demo.clear(former, former / 'clip.mp4')
    assert [path.name for path in former.iterdir()] == ['mine.txt']


def test_the_recording_of_a_former_demo_can_be_played_again(demo, former):
    demo.clear(former, former / 'recording.mp4')
    assert (former / 'recording.mp4').exists()
    assert (former / 'recording.questions.json').exists()
    assert not (former / 'answers.jsonl').exists()


def test_a_recording_of_no_demo_is_not_overwritten(demo, former):
    (former / 'recording.events.json').unlink()
    with pytest.raises(ValueError, match='is of no earlier demo'):
        demo.clear(former, None)
    assert (former / 'recording.mp4').exists()
