# SPDX-License-Identifier: Apache-2.0
"""A stream has one name for who extracts, who trains and who evaluates."""

import json
from pathlib import Path

import pytest

from flash_vstream_ros.data.conversations import read_questions
from flash_vstream_ros.data.features import find_features
from flash_vstream_ros.data.recordings import list_recordings
from flash_vstream_ros.evaluation.dataset import read_questions as read_evaluated
from flash_vstream_ros.evaluation.streams import find_stream_recording

ENTRY = {
    'id': 'a',
    'question': 'q',
    'answer': 'a',
    'answer_type': 'Scene Summary',
    'end_time': 1.0,
}


@pytest.fixture
def ask(tmp_path):
    """Write questions beside two films; returns their file."""
    for name in ('film.mp4', 'film_1.mp4'):
        (tmp_path / name).touch()

    def ask(*names: dict) -> Path:
        path = tmp_path / 'questions.json'
        path.write_text(json.dumps([ENTRY | name for name in names]))
        return path

    return ask


@pytest.mark.parametrize(
    ('names', 'found'),
    [
        ({'video_id': 'film_1', 'video_name': 'film'}, 'film_1'),
        ({'video_id': 'clip', 'video_name': 'film'}, 'film'),
        ({'video_name': 'film'}, 'film'),
    ],
)
def test_who_extracts_and_who_evaluates_mean_the_same_stream(ask, tmp_path, names, found):
    path = ask(names)
    (question,) = read_evaluated(path, 'questions')
    expected = find_stream_recording(question)
    assert list_recordings(tmp_path) == {found: expected}
    assert expected == tmp_path / f'{found}.mp4'


def test_streams_of_one_source_are_not_asked_about_together(ask):
    names = [{'video_id': f'film_{number}', 'video_name': 'film'} for number in (1, 2, 1)]
    examples = read_questions(ask(*names), 4)
    assert [(e.media, len(e.turns)) for e in examples] == [('film_1', 2), ('film_2', 1)]
    assert examples[0].names == ('film_1', 'film')


def test_a_number_is_a_name(ask):
    (example,) = read_questions(ask({'video_id': 246, 'video_name': 'film'}), 1)
    assert example.media == '246'


@pytest.mark.parametrize('video', [None, '', 1.5, ['film']])
def test_a_stream_without_a_name_is_refused(ask, video):
    with pytest.raises(ValueError, match=r'questions\.json, line 1: video_id: expected a text'):
        read_questions(ask({'video_id': video, 'video_name': 'film'}), 1)


@pytest.mark.parametrize('name', ['/abs/film', '../film', 'deep/../../film.mp4'])
def test_names_do_not_lead_out_of_the_folder(ask, tmp_path, name):
    ask({'video_name': 'film'}, {'video_name': name})
    words = rf"questions\.json, line 1: '{name}': expected a name below the data folder"
    with pytest.raises(ValueError, match=words):
        list_recordings(tmp_path)
    with pytest.raises(ValueError, match='expected a name below'):
        find_features(Path('f'), name)
