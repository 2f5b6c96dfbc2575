# SPDX-License-Identifier: Apache-2.0
import json

import pytest
import torch

from flash_vstream_ros.data.features import find_features, open_features, write_features
from flash_vstream_ros.data.recordings import (
    check_made_of,
    find_recording,
    identity,
    list_recordings,
    recordings_named,
)
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.writing import Form, write_patrol


@pytest.fixture
def folder(tmp_path):
    """A folder of all kinds of recordings, and of what is none."""
    files = [
        'clip.mp4',
        'deep/Other.AVI',
        'deep/log.mcap',
        'bag/metadata.yaml',
        'bag/bag_0.db3',
        'frames/1000.png',
        'frames/2000.png',
        'notes.txt',
        'patrol.json',
        '.hidden/clip.mp4',
    ]
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_all_recordings_of_a_folder_are_found_by_their_names(folder):
    found = list_recordings(folder)
    assert {name: str(path.relative_to(folder)) for name, path in found.items()} == {
        'bag': 'bag',
        'clip.mp4': 'clip.mp4',
        'deep/Other.AVI': 'deep/Other.AVI',
        'deep/log.mcap': 'deep/log.mcap',
        'frames': 'frames',
    }


def test_questions_say_which_recordings_are_meant(folder):
    names = ['frames', 'patrol', 'none', 'frames']
    questions = [{'video_name': n, 'question': 'q', 'answer': 'a', 'end_time': 1.0} for n in names]
    (folder / 'questions.json').write_text(json.dumps(questions))
    assert list_recordings(folder) == {
        'frames': folder / 'frames',
        'patrol': folder / 'patrol.json',
        'none': folder / 'none',
    }


def test_images_are_recordings_where_that_is_asked_for(folder):
    assert list(list_recordings(folder, images=True)) == ['frames/1000.png', 'frames/2000.png']


@pytest.mark.parametrize(
    ('name', 'file'),
    [('clip', 'clip.mp4'), ('clip.mp4', 'clip.mp4'), ('bag', 'bag'), ('patrol', 'patrol.json')],
)
def test_a_recording_is_found_by_its_name(folder, name, file):
    assert find_recording(folder, name) == folder / file


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='found none'):
        list_recordings(tmp_path)
    with pytest.raises(FileNotFoundError, match='no such folder'):
        list_recordings(tmp_path / 'none')


@pytest.mark.parametrize('other', ['clip.mkv', 'clip.bag/metadata.yaml'])
def test_two_recordings_of_one_name_are_named(folder, other):
    (folder / other).parent.mkdir(exist_ok=True)
    (folder / other).touch()
    words = r'clip\.(mkv|bag), .*clip\.mp4: two recordings of one name'
    with pytest.raises(ValueError, match=words):
        list_recordings(folder)
    names = ['clip.mp4', other.split('/')[0]]
    questions = [{'video_name': n, 'question': 'q', 'answer': 'a', 'end_time': 1.0} for n in names]
    (folder / 'questions.json').write_text(json.dumps(questions))
    with pytest.raises(ValueError, match='two recordings of one name'):
        list_recordings(folder)


def test_recordings_that_are_found_have_features_of_their_own(folder):
    """One suffix falls away, once; and a question may name a recording with it or without."""
    (folder / 'clip.mp4.avi').touch()
    found = list_recordings(folder)
    assert len({find_features(folder, name) for name in found}) == len(found) == 6
    names = ['clip', 'clip.mp4', 'none', 'none.mp4']
    questions = [{'video_name': n, 'question': 'q', 'answer': 'a', 'end_time': 1.0} for n in names]
    (folder / 'questions.json').write_text(json.dumps(questions))
    assert list(list_recordings(folder)) == names


def test_streams_without_questions_are_found(tmp_path):
    for seed in (1, 2):
        path = tmp_path / f'patrol_{seed}.json'
        write_patrol(path, PatrolDescription(seed, 60.0, 1.0, (64, 48)), Form('description'))
    (tmp_path / 'questions.json').write_text('[]')
    assert list(list_recordings(tmp_path)) == ['patrol_1.json', 'patrol_2.json']


def test_features_of_another_recording_are_told_from_those_of_this_one(tmp_path):
    (tmp_path / 'cam.json').write_text('[1]')
    path = tmp_path / 'features/cam.safetensors'

    def check(about, recordings):
        write_features(path, torch.zeros(2, 4, 3), [1, 2], about)
        check_made_of(open_features(path), recordings)

    there = recordings_named(tmp_path, 'cam')
    assert there == [tmp_path / 'cam.json']
    check({'source': identity(there[0])}, there)
    check({}, there)  # of an earlier version
    check({'source': 'other'}, [])
    check({'source': identity(there[0])}, [tmp_path / 'gone', *there])
    words = rf'{path}: features of another recording than {there[0]}: made of other, expected'
    with pytest.raises(ValueError, match=words):
        check({'source': 'other'}, there)


def test_a_file_in_place_of_the_folder_is_said(tmp_path):
    (tmp_path / 'questions.json').write_text('[]')
    with pytest.raises(
        NotADirectoryError, match=r'questions\.json: expected the folder .* a file'
    ):
        list_recordings(tmp_path / 'questions.json')
