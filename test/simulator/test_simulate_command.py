# SPDX-License-Identifier: Apache-2.0
"""The verb simulate: what it writes, and its exit status."""

import json
from pathlib import Path

import pytest

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.data.recordings import list_recordings
from flash_vstream_ros.evaluation.dataset import find_question_files, read_dataset
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.recording_writer import STORAGES as WRITTEN_STORAGES
from flash_vstream_ros.simulator.command import FORMATS, STORAGES
from flash_vstream_ros.simulator.dataset import SPLITS, split_of, split_seeds, stream_name
from flash_vstream_ros.simulator.writing import SUFFIXES

SMALL = ['--minutes', '1', '--rate', '1', '--size', '48x32']


def simulate(*arguments: object) -> int:
    return main(['simulate', *map(str, arguments)])


def wrong_use(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    with pytest.raises(SystemExit) as stop:
        simulate(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ('name', 'file_format', 'kind'),
    [
        ('p', 'bag', 'rosbag2 (mcap), /camera/image/compressed'),
        ('p', 'frames', 'folder of 60 images'),
        ('p.mp4', 'mp4', 'video, 48x32'),
        ('p.json', 'description', 'simulated patrol, seed 5, 48x32'),
    ],
)
def test_one_stream_is_a_recording_with_log_and_questions(
    tmp_path: Path, name: str, file_format: str, kind: str
) -> None:
    assert simulate(tmp_path / name, *SMALL, '--seed', 5, '--format', file_format) == 0
    assert kind in open_recording(tmp_path / name).description
    assert open_recording(tmp_path / name).frame_count == 60
    assert json.loads((tmp_path / 'p.events.json').read_text())['seed'] == 5
    assert len(list(tmp_path.iterdir())) == 3
    questions = read_dataset(tmp_path / 'p.questions.json')
    assert 0 < len(questions) <= 40
    assert {question.video_name for question in questions} == {'p'}


def test_clear_cut_questions_are_others_than_the_usual_ones(tmp_path: Path) -> None:
    options = ['--minutes', 5, '--rate', 1, '--size', '48x32', '--format', 'description']
    for name, more in (('usual', []), ('clear', ['--clear-cut']), ('again', ['--clear-cut'])):
        (tmp_path / name).mkdir()
        assert simulate(tmp_path / name / 'p.json', *options, *more) == 0
    usual, clear, again = (
        json.loads((tmp_path / name / 'p.questions.json').read_text())
        for name in ('usual', 'clear', 'again')
    )
    assert clear == again
    assert [q['question'] for q in clear] != [q['question'] for q in usual]
    assert [q['end_time'] for q in clear] == [q['end_time'] for q in usual]


def test_questions_of_some_types_only(tmp_path: Path) -> None:
    types = ['Event Occurrence', 'Ordered Event Narrative']
    options = ['--minutes', 5, '--rate', 1, '--size', '48x32', '--format', 'description']
    options += [word for name in types for word in ('--type', name)]
    assert simulate(tmp_path / 'p.json', *options) == 0
    questions = json.loads((tmp_path / 'p.questions.json').read_text())
    assert {q['answer_type'] for q in questions} == set(types)


def test_storage_and_raw_images_of_a_bag(tmp_path: Path) -> None:
    options = ['--storage', 'sqlite3', '--raw', '--questions-per-stream', 0]
    assert simulate(tmp_path / 'p', *SMALL, *options) == 0
    recording = open_recording(tmp_path / 'p')
    assert 'rosbag2 (sqlite3), /camera/image (sensor_msgs/msg/Image)' in recording.description
    assert json.loads((tmp_path / 'p.questions.json').read_text()) == []


@pytest.mark.parametrize('file_format', FORMATS)
def test_several_streams_are_a_data_folder(tmp_path: Path, file_format: str) -> None:
    out = tmp_path / 'data'
    options = ['--format', file_format, '--seed', 7, '--streams', 3]
    asked = ['--questions-per-stream', 6, '--asked-at-once', 2]
    assert simulate(out, *SMALL, *options, *asked) == 0
    assert [path.name for path in tmp_path.iterdir()] == ['data']
    names = [stream_name(seed) for seed in (7, 8, 9)]
    suffix = SUFFIXES[file_format]
    assert {path.name for path in out.iterdir()} == {
        'questions.json',
        *(f'{name}{suffix}' for name in names),
        *(f'{name}.events.json' for name in names),
    }
    for seed, name in zip((7, 8, 9), names, strict=True):
        assert json.loads((out / f'{name}.events.json').read_text())['seed'] == seed
        assert open_recording(out / f'{name}{suffix}').frame_count == 60


def test_training_and_evaluation_read_the_data_folder(tmp_path: Path) -> None:
    out = tmp_path / 'data'
    options = ['--format', 'description', '--streams', 3, '--questions-per-stream', 6]
    assert simulate(out, *SMALL, *options, '--asked-until', 50) == 0
    assert list_recordings(out) == {f'patrol_{i}': out / f'patrol_{i}.json' for i in range(3)}
    assert find_question_files(out) == [out / 'questions.json']
    questions = read_dataset(out)
    assert {question.video_name for question in questions} == {f'patrol_{i}' for i in range(3)}
    assert len({question.id for question in questions}) == len(questions) > 9
    assert max(question.at_s for question in questions) < 50.0


@pytest.mark.parametrize('file_format', ['frames', 'description'])
def test_a_stream_of_a_data_folder_is_that_of_its_seed_alone(
    tmp_path: Path, file_format: str
) -> None:
    options = [*SMALL, '--format', file_format, '--raw']
    name = f'patrol_4{SUFFIXES[file_format]}'
    assert simulate(tmp_path / 'data', *options, '--seed', 3, '--streams', 2) == 0
    assert simulate(tmp_path / name, *options, '--seed', 4) == 0
    paths = (tmp_path / name, tmp_path / 'data' / name)
    one, other = ([(f.stamp_ns, f.decode().tobytes()) for f in open_recording(p)] for p in paths)
    assert one == other
    whole = json.loads((tmp_path / 'data' / 'questions.json').read_text())
    alone = json.loads((tmp_path / 'patrol_4.questions.json').read_text())
    assert [entry for entry in whole if entry['video_name'] == 'patrol_4'] == alone


@pytest.mark.parametrize('streams', [1, 2])
def test_what_exists_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture, streams: int
) -> None:
    out = tmp_path / 'p'
    out.mkdir()
    assert simulate(out, *SMALL, '--streams', streams) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f'flash_vstream simulate: {out}: exists already and is not overwritten'
    assert [path.name for path in tmp_path.iterdir()] == ['p']


def test_a_missing_folder_fails(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert simulate(tmp_path / 'no' / 'where', *SMALL) == 1
    assert 'its folder does not exist' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        ([], 'required: OUT'),
        (['p', '--format', 'gif'], "invalid choice: 'gif'"),
        (['p', '--storage', 'tape'], "invalid choice: 'tape'"),
        (['p', '--minutes', '0.5'], 'expected 1 to 10000 minutes'),
        (['p', '--minutes', 'nan'], 'expected 1 to 10000 minutes'),
        (['p', '--minutes', 'x'], 'expected 1 to 10000 minutes'),
        (['p', '--seed', '-1'], 'seed: expected a whole number from 0 on'),
        (['p', '--rate', '0'], 'rate_hz: expected'),
        (['p', '--rate', 'nan'], 'rate_hz: expected'),
        (['p', '--rate', '0.5'], 'questions need 1 frame a second or more'),
        (['p', '--size', '640'], 'expected WIDTHxHEIGHT'),
        (['p', '--size', '4x4'], 'size: expected width and height from 16'),
        (['p', '--streams', '0'], 'expected a whole number from 1 on'),
        (['p', '--asked-at-once', '0'], 'at_once: expected 1 to'),
        (['p', '--questions-per-stream', '-1'], 'questions: expected 0 or more'),
        (['p', '--asked-until', '10'], 'asked_until: expected more than 30 seconds'),
        (['p', '--format', 'mp4'], 'expected a name with .mp4'),
        (['p.mp4'], 'expected the name of a folder'),
        (['p.mp4', '--format', 'mp4', '--size', '65x48'], 'even sizes only'),
        (['p', '--seed', '999999', '--streams', '2'], 'belong to more than one of the sets'),
    ],
)
def test_wrong_use_is_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture
) -> None:
    assert complaint in wrong_use(capsys, *arguments)


def test_the_options_are_those_of_the_writers() -> None:
    assert tuple(SUFFIXES) == FORMATS
    assert tuple(WRITTEN_STORAGES) == STORAGES


def test_help_names_what_is_written_and_the_sets(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        simulate('--help')
    assert stop.value.code == 0
    said = capsys.readouterr().out
    for seeds in SPLITS.values():
        assert f'from {seeds.start} on' in said
    for name in ('NAME.events.json', 'NAME.questions.json', 'OUT/questions.json'):
        assert name in said


def test_sets_share_no_seed() -> None:
    names = ['train', 'validation', 'test']
    assert list(SPLITS) == names
    assert [split_of(seed) for seed in (0, 999_999, 1_000_000, 2_000_000, 3_000_000)] == [
        'train',
        'train',
        'validation',
        'test',
        '',
    ]
    for name in names:
        seeds = split_seeds(name, 50, skip=10)
        assert len(seeds) == 50
        assert {split_of(seed) for seed in seeds} == {name}
        assert seeds[0] == SPLITS[name][10]


@pytest.mark.parametrize(
    ('split', 'count', 'skip'),
    [('dev', 1, 0), ('train', 0, 0), ('test', 9, -1), ('test', 2, 999_999)],
)
def test_seeds_that_no_set_has_are_refused(split: str, count: int, skip: int) -> None:
    with pytest.raises(ValueError, match='expected'):
        split_seeds(split, count, skip)
