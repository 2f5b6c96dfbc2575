# SPDX-License-Identifier: Apache-2.0
"""Video files as recordings."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from recording_samples import (
    NS,
    cut_off,
    picture,
    rotate_mp4,
    set_frame_times,
    write_video,
)

from flash_vstream_ros.replay import video
from flash_vstream_ros.replay.video import VIDEO_START_NS, VideoRecording


def stamps(recording: VideoRecording) -> list[int]:
    return [frame.stamp_ns for frame in recording]


@pytest.mark.parametrize('name', ['clip.mp4', 'clip.avi', 'clip.mkv'])
def test_stamps_are_presentation_times_behind_the_stated_start(tmp_path: Path, name: str) -> None:
    recording = VideoRecording(write_video(tmp_path / name, 12, rate_hz=30.0))
    assert recording.start_ns == VIDEO_START_NS
    expected = [VIDEO_START_NS + i * NS / 30 for i in range(12)]
    # Matroska knows milliseconds only.
    apart = 500_000 if name.endswith('mkv') else 0.5
    assert stamps(recording) == pytest.approx(expected, rel=0, abs=apart)
    assert recording.ended_early == ''


def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    """Counting frames at the mean rate would put every frame at the wrong time."""
    path = write_video(tmp_path / 'phone.mp4', 6)
    durations = [1000, 3000, 500, 8000, 700, 1000]
    ticks_per_s = set_frame_times(path, durations)
    begun = np.cumsum([0, *durations[:-1]]) / ticks_per_s
    expected = [VIDEO_START_NS + round(t * NS) for t in begun]
    assert stamps(VideoRecording(path)) == pytest.approx(expected, rel=0, abs=1)


def test_stamps_grow_where_the_container_has_no_times(tmp_path: Path) -> None:
    """OpenCV gives the last frames of an MPEG program stream the time 0."""
    recording = VideoRecording(write_video(tmp_path / 'clip.mpg', 50, 25.0, 'MPG2'))
    apart = np.diff(stamps(recording))
    assert (apart > 0).all()
    assert apart.max() == pytest.approx(NS / 25, rel=0.01)


def test_frames_are_rgb(tmp_path: Path) -> None:
    recording = VideoRecording(write_video(tmp_path / 'clip.avi', 3, code='MJPG'))
    for number, frame in enumerate(recording):
        pixels = frame.decode()
        assert pixels.dtype == np.uint8
        assert pixels.shape == (48, 64, 3)
        assert pixels[24, 8] == pytest.approx(picture(number)[24, 8], abs=20)


def test_frames_that_are_not_asked_for_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []

    def retrieve(capture: object, path: Path, number: int) -> None:
        decoded.append(number)

    monkeypatch.setattr(video, '_retrieve', retrieve)
    for index, frame in enumerate(VideoRecording(write_video(tmp_path / 'clip.mp4', 9))):
        if index == 4:
            frame.decode()
    assert decoded == [5]


def test_a_frame_cannot_be_decoded_too_late(tmp_path: Path) -> None:
    """It would silently be another frame."""
    frames = iter(VideoRecording(write_video(tmp_path / 'clip.mp4', 3)))
    first = next(frames)
    second = next(frames)
    with pytest.raises(RuntimeError, match='frame 1 is gone'):
        first.decode()
    frames.close()
    with pytest.raises(RuntimeError, match='frame 2 is gone'):
        second.decode()


@pytest.mark.skipif(
    tuple(map(int, cv2.__version__.split('.')[:2])) <= (4, 6),
    reason='OpenCV 4.6, of Debian 12 and Ubuntu 24.04, turns them the wrong way',
)
def test_the_rotation_of_phone_videos_is_applied(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'phone.mp4', 2)
    rotate_mp4(path, width=48)
    upright = next(frame.decode() for frame in VideoRecording(path))
    assert upright.shape == (64, 48, 3)
    expected = np.rot90(picture(0), -1)  # a quarter turn clockwise
    assert np.abs(upright[::16, ::12].astype(int) - expected[::16, ::12]).mean() < 12


def test_it_can_be_read_again(tmp_path: Path) -> None:
    recording = VideoRecording(write_video(tmp_path / 'clip.mp4', 5))
    assert stamps(recording) == stamps(recording)


def test_it_says_what_it_is(tmp_path: Path) -> None:
    recording = VideoRecording(write_video(tmp_path / 'clip.mp4', 25))
    assert recording.description == 'video, 64x48, 10 frames/s, 25 frames, 2.5 s'
    assert (recording.frame_count, recording.duration_ns) == (25, 2_500_000_000)


def test_a_cut_off_end_loses_nothing_before_it_and_is_said(tmp_path: Path) -> None:
    whole = VideoRecording(write_video(tmp_path / 'whole.mkv', 60, code='MJPG'))
    expected = stamps(whole)
    assert whole.ended_early == ''
    path = write_video(tmp_path / 'cut.mkv', 60, code='MJPG')
    cut_off(path, 0.5)
    cut = VideoRecording(path)
    read = stamps(cut)
    assert 20 < len(read) < 40
    assert read == expected[: len(read)]
    assert f'{len(read)} of 60 frames could be read' in cut.ended_early


@pytest.mark.parametrize('content', [b'', b'not a video', bytes(5000)])
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'clip.mp4'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'clip\.mp4: 0 frames could be read; expected a video'):
        VideoRecording(path)


def test_an_mp4_without_its_index_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'clip.mp4', 30)
    cut_off(path, 0.5)
    with pytest.raises(ValueError, match='recording was cut off has lost its index'):
        VideoRecording(path)


@pytest.mark.parametrize('name', ['clip.mkv', 'clip.webm'])
def test_sound_that_lasts_longer_is_no_damage(tmp_path: Path, name: str) -> None:
    """Matroska says only how long its longest track is."""
    path = write_video(tmp_path / name, 60, code='MJPG' if name.endswith('mkv') else 'VP80')
    data = path.read_bytes()
    place = data.index(bytes.fromhex('448988')) + 3  # the element Duration, a float of 64 bits
    (milliseconds,) = struct.unpack_from('>d', data, place)
    longer = struct.pack('>d', milliseconds + 2500.0)
    path.write_bytes(data[:place] + longer + data[place + 8 :])
    recording = VideoRecording(path)
    assert recording.frame_count > 60
    assert len(stamps(recording)) == 60
    assert recording.ended_early == ''
    cut_off(path, 0.9)
    assert stamps(recording)
    assert 'frames could be read' in recording.ended_early


@pytest.mark.parametrize('begins', [0.3, 0.5])
def test_an_end_of_matroska_without_frames_is_said(tmp_path: Path, begins: float) -> None:
    """As of a download that was given its space at once."""
    path = write_video(tmp_path / 'clip.mkv', 200, code='MJPG')
    data = bytearray(path.read_bytes())
    begin = round(begins * len(data))
    data[begin:] = bytes(len(data) - begin)
    path.write_bytes(data)
    recording = VideoRecording(path)
    assert len(stamps(recording)) < 200
    assert 'cut off or damaged' in recording.ended_early
