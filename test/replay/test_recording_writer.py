# SPDX-License-Identifier: Apache-2.0
"""Recordings that the package writes itself."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from recording_samples import NS, picture

from flash_vstream_ros.replay.recorded_frame import START_NS, stamp_of
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.recording_writer import KINDS, check_kind, write_recording

FORMS = [
    ('bag', {'storage': 'mcap'}, 'mcap', 12),
    ('bag', {'storage': 'sqlite3'}, 'sqlite3', 12),
    ('bag', {'storage': 'mcap', 'compressed': False}, 'mcap', 0),
    ('bag', {'storage': 'sqlite3', 'compressed': False}, 'sqlite3', 0),
    ('frames', {}, 'folder of 20 images', 12),
    ('frames', {'compressed': False}, 'folder of 20 images', 0),
    ('mp4', {}, 'video, 64x48, 5 frames/s, 20 frames', 12),
]


def pictures(count: int, width: int = 64, height: int = 48) -> Iterator[np.ndarray]:
    return (picture(number, width, height) for number in range(count))


@pytest.mark.parametrize(('kind', 'options', 'description', 'apart'), FORMS)
def test_what_is_written_is_read(
    tmp_path: Path, kind: str, options: dict, description: str, apart: int
) -> None:
    path = tmp_path / ('a.mp4' if kind == 'mp4' else 'a')
    assert write_recording(path, kind, pictures(20), 5.0, **options) == path
    recording = open_recording(path)
    assert description in recording.description
    frames = [(frame.stamp_ns, frame.decode()) for frame in recording]
    assert [stamp - frames[0][0] for stamp, _ in frames] == [i * NS // 5 for i in range(20)]
    if kind != 'mp4':  # which knows no date
        assert frames[0][0] == START_NS
    for number, (_, pixels) in enumerate(frames):
        assert np.abs(pixels.astype(int) - picture(number)).mean() <= apart


def test_each_kind_is_tried_above() -> None:
    assert {kind for kind, *_ in FORMS} == set(KINDS)


def test_frames_are_taken_one_at_a_time(tmp_path: Path) -> None:
    """Two hours of frames do not fit into memory."""
    path = tmp_path / 'frames'

    def frames() -> Iterator[np.ndarray]:
        for number in range(5):
            if number > 1:
                assert len(list(path.iterdir())) == number
            yield picture(number)

    write_recording(path, 'frames', frames(), 1.0)
    assert len(list(path.iterdir())) == 5


def test_stamps_do_not_drift() -> None:
    """After ten hours at 29.97 Hz, a period rounded to nanoseconds would be 0.4 ms off."""
    number = 1_078_920
    assert stamp_of(number, 29.97) - START_NS == pytest.approx(number / 29.97 * NS, abs=1.0)
    assert stamp_of(0, 29.97) == START_NS


@pytest.mark.parametrize('kind', KINDS)
def test_nothing_is_overwritten(tmp_path: Path, kind: str) -> None:
    path = tmp_path / 'a.mp4'
    path.write_bytes(b'precious')
    with pytest.raises(FileExistsError, match='exists already'):
        write_recording(path, kind, pictures(2), 1.0)
    assert path.read_bytes() == b'precious'


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        ({'kind': 'gif'}, "kind: expected one of .*, got 'gif'"),
        ({'storage': 'tape'}, "storage: expected one of .*, got 'tape'"),
        ({'rate_hz': 0.0}, 'rate_hz: expected above 0 and up to 1000'),
        ({'rate_hz': -1.0}, 'rate_hz: expected above 0'),
        ({'rate_hz': float('nan')}, 'rate_hz: expected above 0'),
        ({'rate_hz': 1001.0}, 'rate_hz: expected above 0'),
        ({'rate_hz': 1 / 3}, 'rate_hz: an mp4 takes thousandths only'),
        ({'size': (65, 48)}, 'size: an mp4 takes even sizes only, got 65x48'),
        ({'size': (64, 47)}, 'size: an mp4 takes even sizes only, got 64x47'),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, complaint: str) -> None:
    good = {'kind': 'mp4', 'storage': 'mcap', 'rate_hz': 5.0, 'size': (64, 48)}
    check_kind(**good)
    with pytest.raises(ValueError, match=complaint):
        check_kind(**good | arguments)


@pytest.mark.parametrize('kind', ['bag', 'frames'])
def test_other_kinds_take_any_size_and_rate(tmp_path: Path, kind: str) -> None:
    path = write_recording(tmp_path / 'a', kind, pictures(3, 65, 47), 1 / 3, compressed=False)
    frames = [(frame.stamp_ns, frame.decode()) for frame in open_recording(path)]
    assert [stamp_ns - START_NS for stamp_ns, _ in frames] == [0, 3 * NS, 6 * NS]
    assert np.array_equal(frames[2][1], picture(2, 65, 47))


def test_a_size_that_an_mp4_would_cut_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match='even sizes only'):
        write_recording(tmp_path / 'a.mp4', 'mp4', pictures(3, 65, 48), 5.0)
    assert list(tmp_path.iterdir()) == []


def test_no_frames_make_no_recording(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='expected at least one frame'):
        write_recording(tmp_path / 'a', 'bag', iter(()), 5.0)
    assert list(tmp_path.iterdir()) == []


def test_a_video_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match='cannot be written as mp4'):
        write_recording(tmp_path / 'nowhere' / 'a.mp4', 'mp4', pictures(2), 1.0)
