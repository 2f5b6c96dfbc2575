# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from flash_vstream_ros.data.features import find_features, open_features, write_features

S = 1_000_000_000


@pytest.fixture
def written(tmp_path):
    """Ten frames a second apart, the first one stamped 7 s; the recording lasts 12.5 s."""
    path = tmp_path / 'deep/stream.safetensors'
    feature = torch.arange(10 * 4 * 3).reshape(10, 4, 3).float()
    about = {'sample_rate': '1.0', 'start_ns': str(7 * S), 'duration': '12.5', 'encoder_id': 'e'}
    write_features(path, feature, [(7 + i) * S for i in range(10)], about)
    return path


def test_what_was_written_is_read(written):
    features = open_features(written)
    assert (features.side, features.width, features.encoder_id) == (2, 3, 'e')
    assert features.stamps_ns.tolist() == [(7 + i) * S for i in range(10)]
    maps = features.read(4)
    assert maps.shape == (4, 2, 2, 3)
    assert torch.equal(maps[3].flatten(), torch.arange(36, 48).half())


@pytest.mark.parametrize(
    ('at_s', 'frames'),
    [(0.0, 1), (0.999, 1), (1.0, 2), (8.5, 9), (9.0, 10), (12.5, 10), (None, 10)],
)
def test_a_question_sees_the_frames_up_to_its_moment(written, at_s, frames):
    assert open_features(written).frames_until(at_s) == frames


@pytest.mark.parametrize('at_s', [-1.0, 12.6, float('nan'), float('inf')])
def test_a_moment_beyond_the_stream_is_refused(written, at_s):
    with pytest.raises(ValueError, match=r'expected 0 to 12\.5 s.*stream\.safetensors'):
        open_features(written).frames_until(at_s)


def test_a_question_before_the_first_usable_frame_is_refused(tmp_path):
    path = tmp_path / 'late.safetensors'
    write_features(path, torch.zeros(2, 1, 3), [5 * S, 6 * S], {'start_ns': str(3 * S)})
    with pytest.raises(ValueError, match='before the first frame'):
        open_features(path).frames_until(1.0)


def test_published_features_have_a_frame_a_second(tmp_path):
    path = tmp_path / 'published.safetensors'
    save_file({'feature': torch.rand(5, 256, 8)}, path)
    features = open_features(path)
    assert [features.frames_until(at_s) for at_s in (0.0, 1.0, 3.9, 4.0, 5.0)] == [1, 2, 4, 5, 5]
    assert (features.side, features.encoder_id) == (16, '')


def test_a_published_image_is_one_frame(tmp_path):
    path = tmp_path / 'image.safetensors'
    feature = torch.rand(256, 8)
    save_file({'feature': feature}, path)
    features = open_features(path)
    assert features.frames_until(None) == 1
    assert torch.equal(features.read(1), feature.reshape(1, 16, 16, 8))


@pytest.mark.parametrize(
    ('tensors', 'about', 'word'),
    [
        ({'feature': torch.zeros(2, 5, 3)}, {}, 'side'),
        ({'feature': torch.zeros(0, 4, 3)}, {}, 'side'),
        ({'feature': torch.zeros(4)}, {}, 'side'),
        ({'other': torch.zeros(4)}, {}, 'no file of features'),
        ({'feature': torch.zeros(2, 4, 3)}, {'sample_rate': 'fast'}, 'metadata'),
        ({'feature': torch.zeros(2, 4, 3), 'stamps_ns': torch.tensor([5, 5])}, {}, 'growing'),
        ({'feature': torch.zeros(2, 4, 3), 'stamps_ns': torch.tensor([0, 5])}, {}, 'growing'),
        ({'feature': torch.zeros(2, 4, 3), 'stamps_ns': torch.tensor([5])}, {}, 'growing'),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, tensors, about, word):
    path = tmp_path / 'odd.safetensors'
    save_file(tensors, path, about)
    with pytest.raises(ValueError, match=rf'odd\.safetensors.*{word}'):
        open_features(path)


def test_a_file_that_was_cut_off_is_refused_by_name(written):
    written.write_bytes(written.read_bytes()[:-10])
    with pytest.raises(ValueError, match='cut off'):
        open_features(written)


def test_a_file_that_is_cut_off_after_it_was_opened_is_refused_by_name(written):
    features = open_features(written)
    written.write_bytes(written.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r'stream\.safetensors: .*cut off'):
        features.read(2)


def test_a_missing_file_says_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match='extract'):
        open_features(tmp_path / 'none.safetensors')


@pytest.mark.parametrize(
    ('media', 'file'),
    [
        ('seed000017', 'seed000017'),
        ('seed.17', 'seed.17'),
        ('deep/clip.MP4', 'deep/clip'),
        ('00453/0045.jpg', '00453/0045'),
        ('v_1.5.mp4', 'v_1.5'),
    ],
)
def test_features_are_named_as_their_recording(media, file):
    assert find_features(Path('f'), media) == Path('f') / f'{file}.safetensors'
