# SPDX-License-Identifier: Apache-2.0
"""Evaluation on recordings: when their time begins and ends, and which topic is read."""

import json
import shutil
from dataclasses import replace

import pytest
from evaluation_bags import T0, write_bag
from evaluation_samples import S, entry, scenes, write_features, write_json
from test_evaluation_command import evaluate
from test_evaluation_streams import write_video

from flash_vstream_ros.data.recordings import identity
from flash_vstream_ros.evaluation import streams
from flash_vstream_ros.evaluation.evaluation import Evaluation
from flash_vstream_ros.evaluation.streams import RecordedStream


@pytest.fixture
def recorded(configure, tmp_path):
    """Configure an evaluation of one recording, ``walk``, with questions at some seconds."""

    def make(*times: float, **changes):
        about = {'duration': None, 'event_times': []}
        entries = [entry(n, end_time=at_s, **about) for n, at_s in enumerate(times)]
        write_json(tmp_path / 'recorded/questions.json', entries)
        values = {'data': tmp_path / 'recorded', 'features': None} | changes
        return configure('out', ('star',), **values)

    return make


def frames_seen(config) -> list[int]:
    return [record['frames_seen'] for record in Evaluation(config).run()]


def seconds(count: int) -> list[int]:
    return [T0 + n * S for n in range(count)]


def test_questions_count_from_the_first_stamp_that_is_of_use(recorded, tmp_path):
    """A driver that has not synced stamps its first image with zero; the robot leaves it out."""
    write_bag(tmp_path / 'recorded/walk', [0, *seconds(10)[1:]])
    assert frames_seen(recorded(0.0, 5.0)) == [1, 6]


def test_events_are_looked_for_from_the_first_stamp_that_is_of_use(recorded, tmp_path):
    write_bag(tmp_path / 'recorded/walk', [0, *seconds(10)[1:]])
    config = recorded(8.0)
    about = {'duration': None, 'end_time': 8.0, 'event_times': [[2.0, 4.0]]}
    write_json(tmp_path / 'recorded/questions.json', [entry(0, **about)])
    (record,) = Evaluation(config).run()
    assert record['kept'][0]['frames'] == 3


def test_a_recording_lasts_as_long_as_it_says(recorded, tmp_path):
    """The camera ended after 5 s, the bag goes on until 12."""
    write_bag(tmp_path / 'recorded/walk', seconds(6), last_s=12.0)
    assert frames_seen(recorded(3.0, 9.0)) == [4, 6]


def test_the_last_frame_of_a_slow_video_lasts_as_long_as_its_own_rate_says(recorded, tmp_path):
    write_video(tmp_path / 'recorded/walk.mp4', seconds=6, rate_hz=1)
    assert frames_seen(recorded(5.6, sample_rate=10.0)) == [6]


@pytest.mark.parametrize(('ended_early', 'end_s'), [('', 61.0), ('cut off', 6.0)])
def test_only_what_ended_early_is_shorter_than_it_said(
    tmp_path, vstream, monkeypatch, ended_early, end_s
):
    recording = streams.open_recording(write_bag(tmp_path / 'walk', seconds(6)))

    class Said:
        start_ns, duration_ns, frame_count = T0, 60 * S, 6

        def __iter__(self):
            yield from recording
            self.ended_early = ended_early

    monkeypatch.setattr(streams, 'open_recording', lambda path, topic: Said())
    stream = RecordedStream(tmp_path / 'walk', vstream, 1.0)
    assert stream.end_s == 61.0
    assert len(list(stream)) == 6
    assert stream.end_s == end_s


def test_a_bag_of_two_image_topics_is_read_at_the_one_that_is_named(recorded, tmp_path):
    write_bag(tmp_path / 'recorded/walk', seconds(6), topics=('/left', '/right'))
    with pytest.raises(ValueError, match=r'questions\.json, line 2: .*choose one with --topic'):
        Evaluation(recorded(5.0))
    assert not (tmp_path / 'out').exists()
    config = recorded(5.0, topic='/left')
    assert frames_seen(config) == [6]
    assert json.loads((config.out / 'run.json').read_text())['topic'] == '/left'
    with pytest.raises(ValueError, match=r"run\.json: topic: .* with '/left', not '/right'"):
        Evaluation(recorded(5.0, topic='/right'))


def test_a_run_at_a_topic_is_not_gone_on_with_without(recorded, tmp_path):
    write_bag(tmp_path / 'recorded/walk', seconds(6))
    Evaluation(recorded(5.0))
    assert 'topic' not in json.loads((tmp_path / 'out/run.json').read_text())
    Evaluation(recorded(5.0))
    with pytest.raises(ValueError, match=r"run\.json: topic: .* made with None, not '/image'"):
        Evaluation(recorded(5.0, topic='/image'))


def test_the_topic_is_an_option_of_the_command_line(recorded, checkpoint, tmp_path):
    write_bag(tmp_path / 'recorded/walk', seconds(6), topics=('/left', '/right'))
    config = recorded(5.0)
    arguments = ['--model', checkpoint, '--data', config.data, '--out', config.out]
    assert evaluate(*arguments, '--device', 'cpu', '--topic', '/right') == 0
    assert 'topic /right' in (config.out / 'report.md').read_text()


def test_a_recording_that_was_replaced_between_two_parts_of_a_run_is_refused(recorded, tmp_path):
    write_bag(tmp_path / 'recorded/walk', seconds(6))
    config = recorded(3.0, 5.0, limit=1)
    Evaluation(config).run()
    shutil.rmtree(tmp_path / 'recorded/walk')
    write_bag(tmp_path / 'recorded/walk', seconds(7))
    with pytest.raises(ValueError, match='recordings of questions/walk: the results here were'):
        Evaluation(replace(config, limit=2))


def test_features_of_another_recording_than_the_one_beside_are_refused(
    recorded, tmp_path, vstream
):
    write_bag(tmp_path / 'recorded/walk', seconds(6))
    path, maps = tmp_path / 'features/walk.safetensors', scenes(6, vstream.geometry)
    config = recorded(3.0, features=tmp_path / 'features')
    write_features(path, maps, source='other')
    bag = tmp_path / 'recorded/walk'
    words = rf'line 2: {path}: features of another recording than {bag}'
    with pytest.raises(ValueError, match=words):
        Evaluation(config)
    write_features(path, maps, source=identity(bag))
    assert frames_seen(config) == [4]
