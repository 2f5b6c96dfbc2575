# SPDX-License-Identifier: Apache-2.0
"""A stream description as a recording: frames are drawn when they are decoded."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from flash_vstream_ros.replay.recorded_frame import START_NS
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.simulator import recording as module
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.drawing import draw
from flash_vstream_ros.simulator.recording import PatrolRecording
from flash_vstream_ros.simulator.world import Patrol

NS = 1_000_000_000
ABOUT = PatrolDescription(7, 40.0, 2.0, (48, 32))
WRITTEN = {
    'format': 'flash_vstream patrol',
    'version': 1,
    'seed': 7,
    'seconds': 40.0,
    'rate_hz': 2.0,
    'size': [48, 32],
}


def written(folder: Path, content: object) -> Path:
    path = folder / 'patrol_7.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path, WRITTEN)


def test_a_description_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / 'a.json'
    ABOUT.write(path)
    assert json.loads(path.read_text()) == WRITTEN
    assert PatrolDescription.read(path) == ABOUT


def test_it_is_opened_as_a_recording(path: Path) -> None:
    recording = open_recording(path)
    assert isinstance(recording, PatrolRecording)
    assert recording.path == path
    assert (recording.start_ns, recording.duration_ns) == (START_NS, 40 * NS)
    assert recording.frame_count == 80
    expected = 'simulated patrol, seed 7, 48x32, 2 frames/s, 80 frames, 40.0 s'
    assert recording.description == expected


def test_frames_are_those_of_the_patrol_at_their_stamps(path: Path) -> None:
    patrol = Patrol(7, 40.0)
    frames = list(open_recording(path))
    assert [frame.stamp_ns for frame in frames] == [START_NS + i * NS // 2 for i in range(80)]
    for number in (0, 1, 33, 79):
        frame = frames[number].decode()
        assert (frame.shape, frame.dtype) == ((32, 48, 3), np.uint8)
        assert np.array_equal(frame, draw(patrol.view_at(number / 2.0), (48, 32)))


def test_it_is_a_walk_not_a_slide_show() -> None:
    """Neighbouring frames of a room are alike; rooms are not."""
    patrol = Patrol(7, 120.0)
    moments = [i / 10 for i in range(1200)]
    frames = [draw(patrol.view_at(t), (64, 48)).astype(float) for t in moments]
    rooms = [patrol.visit_at(t).room for t in moments]
    steps = np.array([np.abs(a - b).mean() for a, b in pairwise(frames)])
    stays = np.array([a == b for a, b in pairwise(rooms)])
    assert np.quantile(steps[stays], 0.9) < 0.5 * steps[~stays].min()
    assert steps.min() > 0.5  # noise, at least


def test_frames_can_be_decoded_in_any_order_and_again(path: Path) -> None:
    recording = open_recording(path)
    first = [frame.decode() for frame in recording]
    again = list(recording)
    for number in (50, 3, 79, 3):
        assert np.array_equal(again[number].decode(), first[number])
    assert recording.ended_early == ''


def test_a_frame_that_is_not_decoded_is_not_drawn(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def draw_nothing(patrol: Patrol, about: PatrolDescription, number: int) -> None:
        drawn.append(number)

    monkeypatch.setattr(module, 'draw_frame', draw_nothing)
    for number, frame in enumerate(open_recording(path)):
        if number == 5:
            frame.decode()
    assert drawn == [5]


def test_the_patrol_is_not_made_before_a_frame_is_asked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data folder of a thousand streams is opened to look into it."""
    monkeypatch.setattr(module, 'Patrol', None)
    recording = open_recording(path)
    assert sum(1 for _ in recording) == 80
    with pytest.raises(TypeError):
        next(iter(recording)).decode()


@pytest.mark.parametrize(
    ('seconds', 'rate_hz', 'count'),
    [(30.0, 1.0, 30), (30.0, 29.97, 900), (31.0, 0.1, 4), (600.0, 10.0, 6000), (33.3, 30.0, 999)],
)
def test_the_last_frame_lies_before_the_end(seconds: float, rate_hz: float, count: int) -> None:
    about = PatrolDescription(0, seconds, rate_hz, (48, 32))
    assert about.frame_count == count
    assert (count - 1) / rate_hz < seconds <= count / rate_hz + 1e-6


def test_a_description_has_no_topics(path: Path) -> None:
    with pytest.raises(ValueError, match="has no topics: leave '/image' out"):
        open_recording(path, '/image')


@pytest.mark.parametrize(
    ('content', 'complaint'),
    [
        ('{"format": 1,\n"x"', r'patrol_7\.json, line 2: not JSON'),
        (
            [1],
            r'patrol_7\.json: expected a stream description, \{"format": "flash_vstream patrol"',
        ),
        ({'at': 1.0}, 'expected a stream description'),
        (WRITTEN | {'format': 'flash_vstream patrol log'}, 'expected a stream description'),
        (WRITTEN | {'version': 2}, 'version: expected 1, got 2: the streams of another version'),
        ({k: v for k, v in WRITTEN.items() if k != 'seed'}, 'seed is missing'),
        (WRITTEN | {'speed': 3}, "unknown key 'speed', expected seed, seconds, rate_hz, size"),
        (WRITTEN | {'seed': -1}, 'seed: expected a whole number from 0 on, got -1'),
        (WRITTEN | {'seed': 1.5}, 'seed: expected a whole number'),
        (WRITTEN | {'seconds': 5.0}, r'seconds: expected 30 to 1e\+06, got 5.0'),
        (WRITTEN | {'seconds': True}, 'seconds: expected .* got True'),
        (WRITTEN | {'seconds': float('nan')}, 'seconds: expected .* got nan'),
        (WRITTEN | {'rate_hz': 0}, 'rate_hz: expected .* got 0'),
        (WRITTEN | {'rate_hz': '1'}, "rate_hz: expected .* got '1'"),
        (WRITTEN | {'size': [48]}, 'size: expected width and height from 16 to'),
        (WRITTEN | {'size': [48, 15]}, 'size: expected width and height from 16 to'),
        (WRITTEN | {'size': [48, 32.5]}, 'size: expected width and height'),
        (WRITTEN | {'size': 48}, 'size: expected width and height'),
    ],
)
def test_another_json_is_refused_with_what_was_expected(
    tmp_path: Path, content: object, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        open_recording(written(tmp_path, content))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.json'
    path.write_bytes(b'\xff\xfe{}')
    with pytest.raises(ValueError, match=r'a\.json: expected a JSON file in UTF-8'):
        open_recording(path)
