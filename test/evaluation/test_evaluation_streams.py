# SPDX-License-Identifier: Apache-2.0
"""Streams of features: stored, or recordings that are encoded as on the robot."""

import cv2
import numpy as np
import pytest
import torch
from evaluation_samples import S, entry, scenes, write_features, write_json
from safetensors.torch import save_file

from flash_vstream_ros.evaluation.dataset import read_questions
from flash_vstream_ros.evaluation.streams import (
    RecordedStream,
    StoredStream,
    ask_times,
    find_feature_file,
    find_stream_recording,
)
from flash_vstream_ros.replay.recording import open_recording


def write_video(path, seconds: int, rate_hz: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), rate_hz, (48, 48))
    random = np.random.default_rng(0)
    for _ in range(seconds * rate_hz):
        writer.write(random.integers(0, 255, (48, 48, 3), np.uint8))
    writer.release()


def questions_at(tmp_path, *times: float, video: str = 'walk', **changes):
    entries = [
        entry(n, video, end_time=t, duration=None, event_times=[], **changes)
        for n, t in enumerate(times)
    ]
    return read_questions(write_json(tmp_path / 'questions.json', entries), 'questions')


def test_stored_features_come_with_their_stamps(tmp_path):
    features = scenes(300)
    stream = StoredStream(write_features(tmp_path / 'walk.safetensors', features))
    assert (stream.side, stream.start_ns, stream.frame_count) == (8, 5 * S, 300)
    frames = list(stream)
    assert [stamp for stamp, _ in frames] == [(5 + n) * S for n in range(300)]
    assert torch.equal(torch.stack([feature for _, feature in frames]), features)
    assert frames[0][1].dtype == torch.float32


def test_published_features_have_no_stamps_but_a_rate(tmp_path):
    path = write_features(tmp_path / 'w.safetensors', scenes(5), stamps=False, sample_rate='2.0')
    stamps = [stamp for stamp, _ in StoredStream(path)]
    assert np.diff(stamps).tolist() == [S // 2] * 4
    assert stamps[0] == StoredStream(path).start_ns > 0


def test_a_recording_is_sampled_and_encoded_as_on_the_robot(tmp_path, vstream):
    write_video(tmp_path / 'walk.mp4', seconds=5)
    stream = RecordedStream(tmp_path / 'walk.mp4', vstream, 1.0)
    frames = list(stream)
    stamps = np.array([stamp for stamp, _ in frames]) - stream.start_ns
    np.testing.assert_allclose(stamps / S, np.arange(5), atol=0.01)
    recording = open_recording(tmp_path / 'walk.mp4')
    pixels = [frame.decode() for frame in recording]
    for (_, feature), taken in zip(frames, pixels[::4], strict=True):
        assert torch.equal(feature, vstream.encode(taken[None])[0])
    assert stream.side == vstream.geometry.feature_side


def test_a_share_of_the_frames_is_a_second(tmp_path, vstream):
    stream = StoredStream(write_features(tmp_path / 'walk.safetensors', scenes(40)))
    assert [stream.second_of(share) for share in (0.25, 0.5, 1.0)] == [9.0, 19.0, 39.0]
    write_video(tmp_path / 'walk.mp4', seconds=8)
    recorded = RecordedStream(tmp_path / 'walk.mp4', vstream, 1.0)
    assert recorded.second_of(0.5) == pytest.approx(4.0, abs=0.2)


def test_questions_within_the_stream_are_asked_at_their_second(tmp_path):
    stream = StoredStream(write_features(tmp_path / 'walk.safetensors', scenes(40)))
    assert ask_times(stream, questions_at(tmp_path, 0.0, 12.25, 40.0)) == [0, 12.25 * S, 40 * S]


def test_a_question_beyond_the_stream_is_named_with_file_and_line(tmp_path):
    stream = StoredStream(write_features(tmp_path / 'walk.safetensors', scenes(40)))
    with pytest.raises(ValueError, match=r"json, line 3: asked at 40.1 s.*'walk' ends at 40 s"):
        ask_times(stream, questions_at(tmp_path, 3.0, 40.1))


def test_a_question_beyond_a_recording_is_named(tmp_path, vstream):
    write_video(tmp_path / 'walk.mp4', seconds=5)
    stream = RecordedStream(tmp_path / 'walk.mp4', vstream, 1.0)
    with pytest.raises(ValueError, match=r'line 2: asked at 99 s'):
        ask_times(stream, questions_at(tmp_path, 99.0))


@pytest.mark.parametrize('name', ['walk.mp4', 'walk.json', 'walk', 'ego4d_videos/walk.mp4'])
def test_a_recording_is_found_by_its_name(tmp_path, name):
    (question,) = questions_at(tmp_path, 3.0)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert find_stream_recording(question) == tmp_path / name


def test_a_recording_may_have_another_name(tmp_path):
    (question,) = questions_at(tmp_path, 3.0, video_id='000246', video_name='e582')
    (tmp_path / 'e582.mp4').touch()
    assert find_stream_recording(question) == tmp_path / 'e582.mp4'
    (tmp_path / '000246.mp4').touch()
    assert find_stream_recording(question) == tmp_path / '000246.mp4'


def clip_question(folder, **bounds):
    """A question of VStream-QA to a clip that is cut from another recording."""
    end = next(value for key, value in bounds.items() if key.startswith('end'))
    name = 'movie' if 'end_shot' in bounds else 'ego'
    file = {'ego': 'test_qa_ego4d.json', 'movie': 'test_qa_movienet.json'}[name]
    end = f'shot_{end}' if name == 'movie' else end
    changes = {'video_name': 'e582 a', 'end_time': end, 'duration': None, 'event_times': []}
    write_json(folder / f'vs_{name}.json', [{'video_id': '000246'} | bounds])
    return read_questions(write_json(folder / file, [entry(0, '000246', **changes)]), 'q')[0]


def test_a_clip_is_not_looked_for_in_the_video_that_it_is_cut_from(tmp_path):
    """Its questions count from its own start; the whole would show them other seconds."""
    question = clip_question(tmp_path, start_time=2430, end_time=3270.5)
    (tmp_path / 'e582 a.mp4').touch()
    command = "ffmpeg -ss 2430 -to 3270.5 -i '{0}e582 a.mp4' {0}000246.mp4"
    with pytest.raises(ValueError, match=r"line 2: the clip '000246' is missing") as caught:
        find_stream_recording(question)
    assert str(caught.value).endswith(command.format(f'{tmp_path}/'))
    write_features(tmp_path / 'e582 a.safetensors', scenes(2))
    with pytest.raises(ValueError, match='; then extract its features') as caught:
        find_feature_file(tmp_path, question)
    assert command.format('') in str(caught.value)
    (tmp_path / '000246.mp4').touch()
    assert find_stream_recording(question) == tmp_path / '000246.mp4'
    path = write_features(tmp_path / '000246.safetensors', scenes(2))
    assert find_feature_file(tmp_path, question) == path


def test_a_clip_of_a_film_is_not_looked_for_in_the_film(tmp_path):
    question = clip_question(tmp_path, start_shot=100, end_shot=299)
    (tmp_path / 'movienet_frames/e582 a').mkdir(parents=True)
    with pytest.raises(ValueError, match='key frames from shot 100 to shot 299 into a folder'):
        find_stream_recording(question)


def test_the_published_frames_are_found_and_played(tmp_path, vstream):
    question = clip_question(tmp_path, start_time=2430, end_time=2434)
    folder = tmp_path / 'ego4d_frames/000246'
    folder.mkdir(parents=True)
    for number in range(1, 5):
        cv2.imwrite(str(folder / f'{number:06d}.jpg'), np.full((48, 48, 3), 50 * number, np.uint8))
    assert find_stream_recording(question) == folder
    stream = RecordedStream(folder, vstream, 1.0)
    assert [(stamp - stream.start_ns) / S for stamp, _ in stream] == [0.0, 1.0, 2.0, 3.0]
    assert ask_times(stream, [question]) == [4 * S]


@pytest.mark.parametrize(('end_time', 'seen'), [('shot_0101_img_1.jpg', 5), ('shot_0103', 12)])
def test_a_question_at_a_key_frame_sees_all_until_then(tmp_path, vstream, end_time, seen):
    folder = tmp_path / 'movienet_frames/tt01'
    folder.mkdir(parents=True)
    for number in range(12):
        name = f'shot_{100 + number // 3:04d}_img_{number % 3}.jpg'
        cv2.imwrite(str(folder / name), np.full((48, 48, 3), 20 * number, np.uint8))
    write_json(
        tmp_path / 'vs_movie.json', [{'video_id': 'tt01', 'start_shot': 100, 'end_shot': 103}]
    )
    changes = {'end_time': end_time, 'duration': None, 'event_times': []}
    path = write_json(tmp_path / 'test_qa_movienet.json', [entry(0, 'tt01', **changes)])
    (question,) = read_questions(path, 'q')
    stream = RecordedStream(find_stream_recording(question), vstream, 1.0)
    (at_ns,) = ask_times(stream, [question])
    assert sum(stamp - stream.start_ns <= at_ns for stamp, _ in stream) == seen


@pytest.mark.parametrize(
    'find', [find_stream_recording, lambda q: find_feature_file(q.file.parent, q)]
)
def test_a_missing_stream_is_named_with_file_and_line(tmp_path, find):
    (question,) = questions_at(tmp_path, 3.0)
    with pytest.raises(
        FileNotFoundError, match=r"questions.json, line 2: .*'walk' (is|are) missing"
    ):
        find(question)


def test_features_are_found_also_where_vstream_qa_puts_them(tmp_path):
    (question,) = questions_at(tmp_path, 3.0)
    path = write_features(tmp_path / 'ego4d_video_features/walk.safetensors', scenes(2))
    assert find_feature_file(tmp_path, question) == path


def test_features_are_found_by_the_name_that_extract_gives_them(tmp_path):
    (question,) = questions_at(tmp_path, 3.0, video_name='cut/walk.mp4')
    path = write_features(tmp_path / 'cut/walk.safetensors', scenes(2))
    assert find_feature_file(tmp_path, question) == path


def test_features_of_an_image_are_a_stream_of_one_frame(tmp_path):
    path = tmp_path / 'picture.safetensors'
    save_file({'feature': torch.ones(64, 16)}, path)
    ((_, feature),) = StoredStream(path)
    assert feature.shape == (8, 8, 16)


@pytest.mark.parametrize('content', [b'', b'no safetensors', b'\x08\0\0\0\0\0\0\0{}      '])
def test_a_damaged_feature_file_is_named(tmp_path, content):
    (tmp_path / 'walk.safetensors').write_bytes(content)
    with pytest.raises(ValueError, match=r'walk\.safetensors'):
        StoredStream(tmp_path / 'walk.safetensors')
