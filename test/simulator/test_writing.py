# SPDX-License-Identifier: Apache-2.0
"""Simulated patrols as files: the recording, the true log beside it, and the questions."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from flash_vstream_ros.replay.recorded_frame import START_NS
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.recording_writer import KINDS
from flash_vstream_ros.simulator import writing
from flash_vstream_ros.simulator.dataset import write_dataset
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.drawing import draw
from flash_vstream_ros.simulator.language import NOT_SEEN
from flash_vstream_ros.simulator.world import Patrol
from flash_vstream_ros.simulator.writing import (
    SUFFIXES,
    Form,
    log_of,
    question_entries,
    write_json,
    write_patrol,
)

NS = 1_000_000_000
ABOUT = PatrolDescription(11, 60.0, 1.0, (64, 48))
# What is written as, and how far its pictures may be from those drawn.
FORMS = [
    ('patrol', Form('bag'), 12),
    ('patrol', Form('bag', 'sqlite3'), 12),
    ('patrol', Form('bag', 'sqlite3', compressed=False), 0),
    ('patrol', Form('bag', compressed=False), 0),
    ('patrol', Form('frames'), 12),
    ('patrol', Form('frames', compressed=False), 0),
    ('patrol.mp4', Form('mp4'), 16),
    ('patrol.json', Form('description'), 0),
]


@pytest.mark.parametrize(('name', 'form', 'apart'), FORMS)
def test_a_recording_shows_the_patrol(tmp_path: Path, name: str, form: Form, apart: float) -> None:
    path = tmp_path / name
    write_patrol(path, ABOUT, form)
    patrol = Patrol(11, 60.0)
    recording = open_recording(path)
    frames = [(frame.stamp_ns, frame.decode()) for frame in recording]
    assert [stamp - recording.start_ns for stamp, _ in frames] == [i * NS for i in range(60)]
    if form.format != 'mp4':  # which knows no date
        assert recording.start_ns == START_NS
    for number, (_, pixels) in enumerate(frames):
        drawn = draw(patrol.view_at(float(number)), (64, 48))
        assert np.abs(pixels.astype(int) - drawn).mean() <= apart


@pytest.mark.parametrize(('name', 'form'), [(name, form) for name, form, _ in FORMS])
def test_log_and_questions_lie_beside_it(tmp_path: Path, name: str, form: Form) -> None:
    write_patrol(tmp_path / name, ABOUT, form)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {name, 'patrol.events.json', 'patrol.questions.json'}
    patrol = Patrol(11, 60.0)
    assert json.loads((tmp_path / 'patrol.events.json').read_text()) == log_of(patrol)
    entries = json.loads((tmp_path / 'patrol.questions.json').read_text())
    assert entries == question_entries(patrol, 'patrol', form, ABOUT.size)


def test_every_format_is_tried_above() -> None:
    assert {form.format for _, form, _ in FORMS} == set(SUFFIXES) == {*KINDS, 'description'}


def test_the_log_holds_every_event_and_visit() -> None:
    patrol = Patrol(3, 600.0)
    log = json.loads(json.dumps(log_of(patrol)))
    assert (log['format'], log['version']) == ('flash_vstream patrol log', 1)
    assert (log['seed'], log['seconds']) == (3, 600.0)
    assert len(log['events']) == len(patrol.events) >= 30
    for entry, event in zip(log['events'], patrol.events, strict=True):
        assert entry['start'] == pytest.approx(event.start_s, abs=0.001)
        assert entry['end'] == pytest.approx(event.end_s, abs=0.001)
        told = (entry['action'], entry['colour'], entry['shape'], entry['room'])
        assert told == event.what
        assert all(word in entry['sentence'].lower() for word in told)
    assert [visit['room'] for visit in log['visits']] == [v.room for v in patrol.visits]
    assert log['visits'][0]['start'] == 0.0
    assert log['visits'][-1]['end'] == 600.0


def test_a_log_of_a_longer_patrol_begins_as_that_of_a_shorter_one() -> None:
    short, long = log_of(Patrol(3, 300.0)), log_of(Patrol(3, 600.0))
    assert short['events'] == long['events'][: len(short['events'])]


@pytest.mark.parametrize(('questions', 'at_once'), [(0, 4), (1, 4), (7, 3), (30, 5), (24, 12)])
def test_as_many_questions_as_wanted_are_asked(questions: int, at_once: int) -> None:
    patrol = Patrol(5, 600.0)
    form = Form(questions=questions, at_once=at_once)
    entries = question_entries(patrol, 'patrol_5', form, (640, 480))
    assert len(entries) == questions
    assert [entry['id'] for entry in entries] == [f'patrol_5_{i:04d}' for i in range(questions)]
    times = [entry['end_time'] for entry in entries]
    assert times == sorted(times)
    assert len(set(times)) == -(-questions // at_once)
    assert all(entry['video_name'] == 'patrol_5' for entry in entries)
    assert all((entry['answer'] == NOT_SEEN) == (not entry['answerable']) for entry in entries)


def test_scenes_are_those_of_the_frames_that_are_written(tmp_path: Path) -> None:
    """A square picture shows more of a room than the square in the middle of a wider one."""
    form = Form('description', questions=60, types=('Scene Summary',))
    about = PatrolDescription(5, 600.0, 1.0, (96, 96))
    write_patrol(tmp_path / 'p.json', about, form)
    write_dataset(tmp_path / 'data', [5], about, form)
    for path, name in (('p.questions.json', 'p'), ('data/questions.json', 'patrol_5')):
        entries = json.loads((tmp_path / path).read_text())
        assert entries == question_entries(Patrol(5, 600.0), name, form, (96, 96))
        assert entries != question_entries(Patrol(5, 600.0), name, form, (640, 480))


def test_questions_can_be_asked_early_only() -> None:
    form = Form(questions=20, asked_until_s=120.0)
    entries = question_entries(Patrol(5, 600.0), 'p', form, (640, 480))
    assert len(entries) == 20
    assert all(30.0 <= entry['end_time'] < 120.0 for entry in entries)


def test_equal_patrols_make_equal_files(tmp_path: Path) -> None:
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        write_patrol(tmp_path / folder / 'p', ABOUT, Form('frames', compressed=False))
    files = [
        {
            f.relative_to(tmp_path / folder): f.read_bytes()
            for f in (tmp_path / folder).rglob('*.*')
        }
        for folder in ('a', 'b')
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 62


def test_a_question_has_a_line_of_its_own(tmp_path: Path) -> None:
    """Errors name file and line."""
    write_json(tmp_path / 'q.json', [{'id': 1}, {'id': 2}])
    assert (tmp_path / 'q.json').read_text().splitlines() == ['[', '{"id": 1},', '{"id": 2}', ']']
    write_json(tmp_path / 'none.json', [])
    assert json.loads((tmp_path / 'none.json').read_text()) == []


def test_progress_goes_around_the_frames(tmp_path: Path) -> None:
    seen = []

    def progress(numbers: Iterable[int], unit: str) -> Iterable[int]:
        for number in numbers:
            seen.append((number, unit))
            yield number

    write_patrol(tmp_path / 'p', ABOUT, Form('frames'), progress)
    assert seen == [(number, 'frame') for number in range(60)]


@pytest.mark.parametrize('taken', ['p.mp4', 'p.events.json', 'p.questions.json'])
def test_nothing_is_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text('precious')
    with pytest.raises(FileExistsError, match=f'{taken}: exists already'):
        write_patrol(tmp_path / 'p.mp4', ABOUT, Form('mp4'))
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == 'precious'


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError])
def test_an_interrupted_one_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(patrol: Patrol, about: PatrolDescription, number: int) -> np.ndarray:
        if number == 7:
            raise error
        return np.zeros((48, 64, 3), np.uint8)

    monkeypatch.setattr(writing, 'draw_frame', fail)
    for name, form, _ in FORMS[:-1]:
        with pytest.raises(error):
            write_patrol(tmp_path / name, ABOUT, form)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('name', 'form', 'complaint'),
    [
        ('p', Form('mp4'), r'expected a name with \.mp4'),
        ('p.avi', Form('mp4'), r'expected a name with \.mp4'),
        ('p.mp4', Form('description'), r'expected a name with \.json'),
        ('p.mp4', Form('bag'), r'expected the name of a folder, without \.mp4'),
        ('p.json', Form('frames'), r'expected the name of a folder, without \.json'),
        ('p.mcap', Form('bag'), r'expected the name of a folder, without \.mcap'),
        ('p', Form('bag', 'tape'), 'storage: expected one of'),
    ],
)
def test_a_wrong_name_or_form_is_refused(
    tmp_path: Path, name: str, form: Form, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        write_patrol(tmp_path / name, ABOUT, form)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('values', 'complaint'),
    [
        ({'format': 'gif'}, "format: expected one of .* got 'gif'"),
        ({'questions': -1}, 'questions: expected 0 or more'),
        ({'at_once': 0}, 'at_once: expected 1 to 20'),
        ({'at_once': 21}, 'at_once: expected 1 to 20'),
        ({'asked_until_s': 30.0}, 'asked_until: expected more than 30 seconds, got 30'),
        ({'asked_until_s': float('nan')}, 'asked_until: expected more than 30 seconds, got nan'),
    ],
)
def test_a_wrong_value_is_named(values: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Form(**values)


@pytest.mark.parametrize(
    ('about', 'complaint'),
    [
        (PatrolDescription(0, 60.0, 1.0, (65, 48)), 'even sizes only'),
        (PatrolDescription(0, 60.0, 4 / 3, (64, 48)), 'thousandths only'),
        (PatrolDescription(0, 60.0, 0.5, (64, 48)), 'questions need 1 frame a second or more'),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, about: PatrolDescription, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        write_patrol(tmp_path / 'p.mp4', about, Form('mp4'))
    assert list(tmp_path.iterdir()) == []


def test_a_slow_stream_can_be_written_without_questions(tmp_path: Path) -> None:
    about = PatrolDescription(0, 60.0, 0.5, (64, 48))
    write_patrol(tmp_path / 'p', about, Form('frames', questions=0))
    assert open_recording(tmp_path / 'p').frame_count == 30
