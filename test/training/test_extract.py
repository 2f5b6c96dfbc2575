# SPDX-License-Identifier: Apache-2.0
import json
import resource

import cv2
import numpy as np
import pytest
import torch

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.data.features import open_features
from flash_vstream_ros.data.tower import tower_id
from flash_vstream_ros.replay.recorded_frame import RecordedFrame
from flash_vstream_ros.training.extract import Extraction

S = 1_000_000_000


def frame(number: int) -> np.ndarray:
    shape = (48, 64, 3)
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


class Recorded:
    """A recording of the test's own: numbered frames, four a second."""

    def __init__(self, path, first, count, duration_ns=None, broken=(), ended_early=''):
        self.path = path
        self.description = ''
        self.start_ns = 3 * S
        self.duration_ns = duration_ns
        self.frame_count = count
        self.ended_early = ended_early
        self._numbers = range(first, first + count)
        self._broken = broken

    def __iter__(self):
        for place, number in enumerate(self._numbers):
            yield RecordedFrame(3 * S + place * S // 4, lambda number=number: self._decode(number))

    def _decode(self, number):
        if number in self._broken:
            raise ValueError(f'{self.path}: frame {number} is damaged')
        return frame(number)


@pytest.fixture
def extract(vstream, tmp_path):
    """Extract recordings by name; returns the extraction and where the features are."""

    def extract(recordings, encoder_id='e', out='features', **options):
        extraction = Extraction(vstream, encoder_id, tmp_path / out, **options)
        opened = []

        def open_one(name):
            opened.append(name)
            if isinstance(recordings[name], Exception):
                raise recordings[name]
            return recordings[name]

        extraction.run({name: name for name in recordings}, open_one)
        extraction.opened = opened
        return extraction, tmp_path / out

    return extract


def test_features_are_those_of_the_encoder_pooled(extract, vstream):
    """Two recordings whose frames share batches: each frame's features land where they belong."""
    recordings = {'a': Recorded('a', 0, 9, duration_ns=5 * S), 'deep/b': Recorded('b', 100, 13)}
    _, out = extract(recordings, side=4, batch=4)
    for name, first, frames in (('a', 0, 3), ('deep/b', 100, 4)):
        features = open_features(out / f'{name}.safetensors')
        assert features.stamps_ns.tolist() == [(3 + i) * S for i in range(frames)]
        assert (features.side, features.encoder_id, features.start_ns) == (4, 'e', 3 * S)
        for place, found in enumerate(features.read(frames)):
            whole = vstream.encode(frame(first + 4 * place)[None])[0]  # (16, 16, D)
            expected = whole.unflatten(0, (4, 4)).unflatten(2, (4, 4)).mean((1, 3))
            torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=2e-3)
    assert open_features(out / 'a.safetensors').end_s == 5.0


@pytest.mark.parametrize('batch', [1, 2, 32])
def test_frames_that_show_nothing_new_get_the_features_of_the_one_before(extract, batch):
    recording = Recorded('a', 0, 6)
    recording._numbers = [0, 0, 0, 7, 7, 0]
    _, folder = extract({'a': recording}, sample_rate=0.0, batch=batch)
    options = {'sample_rate': 0.0, 'batch': batch, 'out': 'still', 'still_threshold': 1.0}
    still, still_folder = extract({'a': recording}, **options)
    assert still.summary() == '1 recordings extracted, 3 frames showed nothing new'
    expected = open_features(folder / 'a.safetensors').read(6).float()
    found = open_features(still_folder / 'a.safetensors').read(6).float()
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
    again, _ = extract({'a': recording}, **options)
    assert again.opened == []
    again, _ = extract({'a': recording}, **options | {'still_threshold': 0.0})
    assert again.opened == ['a'], 'features of another kind'


def test_a_threshold_out_of_range_is_refused(extract):
    with pytest.raises(ValueError, match='still_threshold: expected 0 to 255, got 300'):
        extract({}, still_threshold=300.0)


@pytest.mark.parametrize('batch', [1, 3, 64])
def test_the_batch_does_not_change_the_features(extract, batch):
    _, expected = extract({'a': Recorded('a', 0, 17)}, out='one', batch=2)
    _, found = extract({'a': Recorded('a', 0, 17)}, out=f'b{batch}', batch=batch)
    pair = [open_features(out / 'a.safetensors').read(5).float() for out in (expected, found)]
    torch.testing.assert_close(*pair, rtol=2e-3, atol=2e-3)


def test_every_frame_is_taken_where_no_rate_is_asked_for(extract):
    _, out = extract({'a': Recorded('a', 0, 7)}, sample_rate=0.0)
    assert open_features(out / 'a.safetensors').frames_until(None) == 7


def test_what_was_extracted_before_is_not_extracted_again(extract):
    first, _ = extract({'a': Recorded('a', 0, 5)})
    again, _ = extract({'a': Recorded('a', 0, 5), 'b': Recorded('b', 50, 5)})
    assert (first.opened, again.opened) == (['a'], ['b'])
    assert again.summary() == '1 recordings extracted, 1 were there already'


@pytest.mark.parametrize('change', [{'encoder_id': 'other'}, {'side': 8}, {'sample_rate': 2.0}])
def test_features_of_another_kind_are_extracted_again(extract, change):
    extract({'a': Recorded('a', 0, 9)})
    again, out = extract({'a': Recorded('a', 0, 9)}, **change)
    assert again.opened == ['a']
    about = open_features(out / 'a.safetensors').about
    assert all(about[key] == str(value) for key, value in change.items())


def test_a_file_that_was_cut_off_is_extracted_again(extract):
    _, out = extract({'a': Recorded('a', 0, 5)})
    path = out / 'a.safetensors'
    whole = open_features(path).read(2).clone()  # not the mapped file
    path.write_bytes(path.read_bytes()[:-7])
    extract({'a': Recorded('a', 0, 5)})
    assert torch.equal(open_features(path).read(2), whole)


def test_broken_recordings_are_passed_over_with_a_line_each(extract, caplog):
    """Between others, whose frames are waiting in the same batch."""
    recordings = {
        'a': Recorded('a', 0, 6),
        'none': FileNotFoundError('none: no such file'),
        'short': Recorded('short', 20, 6, ended_early='short: cut off: 6 of 60 frames'),
        'dark': Recorded('dark', 40, 2, broken=(40, 41)),
        'b': Recorded('b', 60, 6),
    }
    extraction, out = extract(recordings, batch=5)
    assert sorted(path.stem for path in out.iterdir()) == ['a', 'b']
    assert [line.split(':')[0] for line in extraction.failures] == ['none', 'short', 'dark']
    assert all(line in caplog.text for line in extraction.failures)
    assert extraction.summary() == '2 recordings extracted, 3 missing or broken'


class OverflowingModel:
    """An encoder whose features of some frames are too large for float16."""

    def __init__(self, vstream, numbers):
        self.geometry = vstream.geometry
        self._vstream = vstream
        self._frames = [frame(number) for number in numbers]

    def encode(self, frames):
        maps = self._vstream.encode(frames).clone()
        for place, pixels in enumerate(frames):
            if any(np.array_equal(pixels, bad) for bad in self._frames):
                maps[place] = 1e6
        return maps


@pytest.mark.parametrize('batch', [1, 4, 64])
def test_features_that_do_not_fit_are_the_fault_of_their_own_recording(vstream, tmp_path, batch):
    """Also where they are computed while the next recording is read."""
    recordings = {'a': Recorded('a', 0, 6), 'b': Recorded('b', 20, 9), 'c': Recorded('c', 40, 9)}
    model = OverflowingModel(vstream, [20, 28])
    extraction = Extraction(model, 'e', tmp_path, batch=batch)
    extraction.run({name: name for name in recordings}, recordings.get)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ['a', 'c']
    assert extraction.failures == ['b: its features do not fit float16']


def test_a_damaged_frame_is_left_out_and_the_next_one_taken(extract):
    _, out = extract({'a': Recorded('a', 0, 9, broken=(4,))})
    stamps_ns = open_features(out / 'a.safetensors').stamps_ns.tolist()
    assert stamps_ns == [3 * S, 4 * S + S // 4, 5 * S]


def test_stamps_that_jump_back_are_two_recordings(extract):
    class Looped(Recorded):
        def __iter__(self):
            for _ in range(2):
                yield from super().__iter__()

    extraction, out = extract({'a': Looped('a', 0, 17)})
    assert 'split it' in extraction.failures[0]
    assert not list(out.iterdir())


def test_a_side_that_does_not_divide_is_refused(extract):
    with pytest.raises(ValueError, match='side: expected a divisor of 16'):
        extract({}, side=5)


def test_a_full_disk_leaves_no_half_file(extract, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match=r'a\.safetensors: could not be written: File too large'):
            extract({'a': Recorded('a', 0, 9)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / 'features').iterdir())


def write_video(path, first):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 4, (64, 48))
    for number in range(first, first + 9):
        writer.write(frame(number))
    writer.release()


def test_the_verb_extracts_a_folder(checkpoint, tmp_path, capsys):
    data = tmp_path / 'data'
    data.mkdir()
    write_video(data / 'one.mp4', 0)
    write_video(data / 'other.mp4', 9)
    questions = [
        {'video_name': name, 'question': 'q', 'answer': 'a', 'end_time': 1.0}
        for name in ('one', 'missing')
    ]
    (data / 'questions.json').write_text(json.dumps(questions))
    command = ['extract', str(data), '--model', str(checkpoint), '--side', '4']
    assert main([*command, '--out', str(tmp_path / 'f')]) == 1
    assert [path.name for path in (tmp_path / 'f').iterdir()] == ['one.safetensors']
    assert open_features(tmp_path / 'f/one.safetensors').encoder_id == tower_id(checkpoint)
    (data / 'questions.json').unlink()
    assert main([*command, '--out', str(tmp_path / 'f')]) == 0
    assert len(list((tmp_path / 'f').iterdir())) == 2


def test_the_verb_takes_images_for_recordings_of_one_frame(checkpoint, tmp_path):
    folder = tmp_path / 'images/00'
    folder.mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(folder / f'{number}.png'), frame(number))
    (folder / 'bad.jpg').write_bytes(b'no image')
    out = tmp_path / 'f'
    command = ['extract', str(tmp_path / 'images'), '--images', '--model', str(checkpoint)]
    assert main([*command, '--out', str(out)]) == 1
    assert sorted(path.name for path in (out / '00').iterdir()) == [
        f'{number}.safetensors' for number in range(3)
    ]
    assert open_features(out / '00/1.safetensors').frames_until(None) == 1


def test_wrong_use_is_said(checkpoint, tmp_path, capsys):
    command = ['extract', str(tmp_path), '--model', str(checkpoint), '--out', str(tmp_path / 'f')]
    assert main(command) == 1
    assert 'expected recordings, found none' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='2'):
        main([*command, '--batch', '0'])


def test_the_topic_belongs_to_the_features(extract):
    extract({'a': Recorded('a', 0, 9)}, topic='/front')
    again, out = extract({'a': Recorded('a', 0, 9)}, topic='/rear')
    assert again.opened == ['a']
    assert open_features(out / 'a.safetensors').about['topic'] == '/rear'


def test_frames_whose_stamps_are_of_no_use_are_named(extract, caplog):
    class Gaps(Recorded):
        def __iter__(self):
            for place, number in enumerate(self._numbers):
                yield RecordedFrame(3 * S + place * 120 * S, lambda n=number: frame(n))

    extract({'a': Gaps('a', 0, 3)}, sample_rate=0.0)
    assert 'a: frames left out: 2 stamp far ahead of the newest' in caplog.text
