# SPDX-License-Identifier: Apache-2.0
"""Folders of images as recordings."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from recording_samples import NS, T0, picture

from flash_vstream_ros.replay.frames import FramesRecording
from flash_vstream_ros.replay.recording import open_recording


def write_image(folder: Path, name: str, number: int = 0) -> Path:
    """An image file of a picture of its own; PNG loses nothing."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    assert cv2.imwrite(str(path), cv2.cvtColor(picture(number), cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (3, 0, 2, 1):
        write_image(tmp_path / 'frames', f'{T0 + number * NS}.png', number)
    return tmp_path / 'frames'


def test_a_folder_of_images_is_read_in_order_of_stamps(folder: Path) -> None:
    recording = open_recording(folder)
    assert isinstance(recording, FramesRecording)
    frames = [(frame.stamp_ns, frame.decode()) for frame in recording]
    assert [stamp_ns for stamp_ns, _ in frames] == [T0 + i * NS for i in range(4)]
    for number, (_, pixels) in enumerate(frames):
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, picture(number))
    assert [frame.stamp_ns for frame in recording] == [T0 + i * NS for i in range(4)]


def test_it_says_what_it_is(folder: Path) -> None:
    recording = open_recording(folder)
    assert recording.description == 'folder of 4 images, 3.0 s'
    assert (recording.start_ns, recording.frame_count) == (T0, 4)
    assert (recording.duration_ns, recording.ended_early) == (3 * NS, '')


def test_stamps_are_sorted_as_numbers(tmp_path: Path) -> None:
    for seconds in (2, 10, 100):
        write_image(tmp_path, f'{seconds * NS}.png')
    assert [f.stamp_ns // NS for f in open_recording(tmp_path)] == [2, 10, 100]


def test_a_sequence_from_zero_on_a_simulated_clock_is_read(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path, f'{number * 33_333_333:012d}.png')
    assert [f.stamp_ns for f in open_recording(tmp_path)] == [0, 33_333_333, 66_666_666]


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.jpeg', '.JPG', '.webp', '.bmp'])
def test_kinds_of_images(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path, f'{T0}{suffix}', 5)
    (frame,) = open_recording(tmp_path)
    apart = np.abs(frame.decode().astype(int) - picture(5)).mean()
    assert apart < 12


def test_other_and_hidden_files_do_not_matter(folder: Path) -> None:
    (folder / 'notes.txt').write_text('hello')
    (folder / '.123.png').write_bytes(b'')
    assert open_recording(folder).frame_count == 4


def test_an_image_alone_is_a_recording(tmp_path: Path) -> None:
    write_image(tmp_path, f'{T0}.png')
    recording = open_recording(tmp_path)
    assert (recording.frame_count, recording.duration_ns) == (1, 0)


@pytest.mark.parametrize('damage', [b'', b'no image', None])
def test_a_corrupt_image_is_refused_when_it_is_decoded(folder: Path, damage: bytes | None) -> None:
    path = folder / f'{T0 + NS}.png'
    path.write_bytes(path.read_bytes()[:60] if damage is None else damage)
    frames = list(open_recording(folder))
    assert np.array_equal(frames[0].decode(), picture(0))
    with pytest.raises(ValueError, match=rf'{path.name}: could not be decoded'):
        frames[1].decode()
    assert np.array_equal(frames[2].decode(), picture(2))


def test_an_image_that_has_gone_is_refused_like_a_corrupt_one(folder: Path) -> None:
    """An error of another kind would end a replay instead of leaving one frame out."""
    recording = open_recording(folder)
    (folder / f'{T0}.png').unlink()
    with pytest.raises(ValueError, match='could not be decoded'):
        next(iter(recording)).decode()


@pytest.mark.parametrize('name', ['frame_0001.png', '1.5.png', '-5.png', 'a.jpg', '١٢.png'])
def test_an_image_of_another_name_is_refused(folder: Path, name: str) -> None:
    write_image(folder, name)
    with pytest.raises(ValueError, match='expected an image named by its stamp in nanoseconds'):
        open_recording(folder)


def test_a_stamp_that_no_clock_shows_is_refused(folder: Path) -> None:
    write_image(folder, f'{2**63}.png')
    with pytest.raises(ValueError, match='expected an image named by its stamp in nanoseconds'):
        open_recording(folder)


def test_numbered_images_are_not_taken_for_stamped_ones(tmp_path: Path) -> None:
    """All of them would lie within a microsecond, and one frame would be memorised."""
    for number in range(3):
        write_image(tmp_path, f'{number:06d}.png')
    with pytest.raises(ValueError, match=r'000000\.png to 000002\.png seem to be numbered'):
        open_recording(tmp_path)


def in_order(folder: Path) -> list[int]:
    """Which picture each frame of a recording shows, after its stamps have been looked at."""
    recording = open_recording(folder)
    frames = list(recording)
    assert [f.stamp_ns - recording.start_ns for f in frames] == [
        n * NS for n in range(len(frames))
    ]
    assert recording.start_ns > 0
    assert recording.duration_ns == (len(frames) - 1) * NS
    shown = [frame.decode() for frame in frames]
    return [next(n for n in range(9) if np.array_equal(one, picture(n))) for one in shown]


def test_frames_of_ego4d_are_read_by_their_numbers_a_second_apart(tmp_path: Path) -> None:
    (tmp_path / 'ego4d_frames').mkdir()
    folder = tmp_path / 'ego4d_frames/000246'
    for place, name in enumerate(('000001', '000002', '000010', '1000000', '9999999')):
        write_image(folder, f'{name}.png', place)
    assert in_order(folder) == [0, 1, 2, 3, 4]


def test_key_frames_of_movienet_are_read_by_shot_and_image(tmp_path: Path) -> None:
    (tmp_path / 'movienet_frames').mkdir()
    folder = tmp_path / 'movienet_frames/tt01'
    names = ('0099_img_2', '0100_img_0', '0100_img_1', '0100_img_10', '1000_img_0', '10000_img_0')
    for place, name in enumerate(names):
        write_image(folder, f'shot_{name}.png', place)
    assert in_order(folder) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (('a.png',), r'a\.png: expected an image named by its number, as 000001\.jpg'),
        (('shot_0001.png',), r'or by shot and image, as shot_0100_img_0\.jpg'),
        (('1.png', '0001.jpg'), 'which comes first cannot be told'),
        (('000001.png', 'shot_0001_img_0.png'), 'which comes first cannot be told'),
    ],
)
def test_frames_whose_order_is_not_known_are_refused(tmp_path, names, message) -> None:
    (tmp_path / 'ego4d_frames').mkdir()
    for name in names:
        write_image(tmp_path / 'ego4d_frames/000246', name)
    with pytest.raises(ValueError, match=message):
        open_recording(tmp_path / 'ego4d_frames/000246')


def test_shots_elsewhere_are_not_taken_for_stamps(tmp_path: Path) -> None:
    write_image(tmp_path / 'tt01', 'shot_0100_img_0.png')
    with pytest.raises(ValueError, match='expected an image named by its stamp in nanoseconds'):
        open_recording(tmp_path / 'tt01')


def test_two_images_of_one_stamp_are_refused(folder: Path) -> None:
    write_image(folder, f'{T0}.jpg')
    with pytest.raises(ValueError, match=rf'{T0}\.jpg and {T0}\.png have the same stamp'):
        open_recording(folder)


def test_a_folder_of_frames_has_no_topics(folder: Path) -> None:
    with pytest.raises(ValueError, match="has no topics: leave '/image' out"):
        open_recording(folder, '/image')


@pytest.mark.parametrize('name', ['metadata.yaml', 'bag_0.mcap', 'bag_0.db3', 'bag_0.mcap.zstd'])
def test_a_bag_with_a_picture_beside_it_is_a_bag(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b'damaged')
    with pytest.raises(ValueError, match='expected a rosbag2 folder'):
        open_recording(folder)


def test_without_images_it_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='found none'):
        FramesRecording(tmp_path)
