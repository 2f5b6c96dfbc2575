# SPDX-License-Identifier: Apache-2.0
"""The simulator's files of questions, in VStream-QA's fields, as questions of a replay."""

import json
from pathlib import Path

import pytest

from flash_vstream_ros.replay.questions import Question, questions_beside, read_questions
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.writing import Form, write_patrol

ENTRY = {'question': 'Open?', 'end_time': 5.0, 'answer': 'yes', 'choices': ['yes', 'no']}


@pytest.fixture(scope='module')
def patrol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('simulated') / 'walk.json'
    about = PatrolDescription(seed=3, seconds=60.0, rate_hz=1.0, size=(64, 48))
    write_patrol(path, about, Form('description', questions=6))
    return path


def test_questions_and_truth_of_the_simulator_are_taken_as_they_are(patrol: Path) -> None:
    path = patrol.with_name('walk.questions.json')
    written = json.loads(path.read_text())
    read = read_questions(path, patrol)
    assert [(q.at, q.question, q.truth, list(q.choices)) for q in read] == [
        (e['end_time'], e['question'], e['answer'], e.get('choices', [])) for e in written
    ]
    assert len(read) == 6


def test_the_file_beside_a_recording_is_found(patrol: Path, tmp_path: Path) -> None:
    assert questions_beside(patrol) == patrol.with_name('walk.questions.json')
    assert questions_beside(patrol.with_name('other.json')) is None
    bag = tmp_path / 'bag.v2'
    bag.mkdir()
    beside = tmp_path / 'bag.v2.questions.json'
    beside.write_text('[]')
    assert questions_beside(bag) == beside


def test_of_a_file_about_several_streams_those_of_the_recording_are_taken(tmp_path: Path) -> None:
    path = tmp_path / 'questions.json'
    streams = ('patrol_1', 'patrol_2', 'patrol_1')
    path.write_text(json.dumps([{**ENTRY, 'video_id': stream} for stream in streams]))
    expected = [Question(5.0, 'Open?', ('yes', 'no'), truth='yes')]
    assert read_questions(path, Path('patrol_2.mp4')) == expected
    assert len(read_questions(path)) == 3
    with pytest.raises(ValueError, match='about other, got none among those about 2 st'):
        read_questions(path, Path('other'))


@pytest.mark.parametrize(
    ('entry', 'complaint'),
    [
        ({**ENTRY, 'at': 1.0}, "unknown key 'at'"),
        ({key: ENTRY[key] for key in ('question', 'end_time')}, 'answer is missing'),
        ({**ENTRY, 'answer': 3}, 'truth: expected a text, got 3'),
    ],
)
def test_a_faulty_entry_is_named(tmp_path: Path, entry: dict, complaint: str) -> None:
    path = tmp_path / 'questions.json'
    path.write_text(json.dumps([ENTRY, entry]))
    with pytest.raises(ValueError, match=f'entry 2: {complaint}'):
        read_questions(path)
