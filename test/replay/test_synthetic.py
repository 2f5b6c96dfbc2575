# SPDX-License-Identifier: Apache-2.0
"""The synthetic recording."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.synthetic import START_NS, make_recording, walk

SIZE = (64, 48)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('compressed', [True, False])
def test_a_bag_holds_the_walk(tmp_path: Path, storage: str, compressed: bool) -> None:
    path = make_recording(
        tmp_path / 'bag', 'bag', 4.0, 5.0, SIZE, 1, storage=storage, compressed=compressed
    )
    recording = open_recording(path)
    frames = [(frame.stamp_ns, frame.decode()) for frame in recording]
    assert [stamp_ns - START_NS for stamp_ns, _ in frames] == [i * 200_000_000 for i in range(20)]
    assert storage in recording.description
    apart = 12 if compressed else 0
    for (_, pixels), drawn in zip(frames, walk(4.0, 5.0, SIZE, 1), strict=True):
        assert np.abs(pixels.astype(int) - drawn).mean() <= apart


def test_a_video_holds_the_walk(tmp_path: Path) -> None:
    recording = open_recording(make_recording(tmp_path / 'a.mp4', 'mp4', 2.0, 10.0, SIZE, 1))
    assert recording.frame_count == 20
    for frame, drawn in zip(recording, walk(2.0, 10.0, SIZE, 1), strict=True):
        assert np.abs(frame.decode().astype(int) - drawn).mean() < 12


def test_the_seed_decides_the_pictures() -> None:
    first, again, other = (list(walk(8.0, 1.0, SIZE, seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_it_is_a_walk_through_four_rooms_not_a_slide_show() -> None:
    """Neighbouring frames are alike; rooms are not."""
    frames = np.array(list(walk(40.0, 10.0, SIZE, 0))).astype(float)
    steps = [np.abs(a - b).mean() for a, b in pairwise(frames)]
    assert max(steps) < 40
    assert min(np.abs(frames[0] - frames[i]).mean() for i in (100, 200, 300)) > 5
    colours = [frames[i][:10].reshape(-1, 3).mean(0) for i in (20, 120, 220, 320)]
    assert np.linalg.norm(np.diff(colours, axis=0), axis=1).min() > 5


def test_the_picture_has_the_size_asked_for() -> None:
    (frame,) = walk(1.0, 1.0, (100, 40), 0)
    assert frame.shape == (40, 100, 3)
    assert frame.dtype == np.uint8


def test_a_bag_is_not_overwritten(tmp_path: Path) -> None:
    make_recording(tmp_path / 'bag', 'bag', 1.0, 1.0, SIZE)
    with pytest.raises(FileExistsError, match='exists already'):
        make_recording(tmp_path / 'bag', 'bag', 1.0, 1.0, SIZE)


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        ({'kind': 'gif'}, "kind: expected one of .*, got 'gif'"),
        ({'storage': 'tape'}, "storage: expected one of .*, got 'tape'"),
        ({'seconds': 0}, 'expected seconds and rate_hz above 0'),
        ({'rate_hz': -1}, 'expected seconds and rate_hz above 0'),
        ({'size': (8, 8)}, 'a size from 16 x 16'),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make_recording(tmp_path / 'bag', **arguments)


def test_a_video_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match='cannot be written as mp4'):
        make_recording(tmp_path / 'nowhere' / 'a.mp4', 'mp4', 1.0, 1.0, SIZE)
