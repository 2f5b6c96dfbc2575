# SPDX-License-Identifier: Apache-2.0
"""Bags whose recorder was killed; ones whose damage shows by no error; ones of any name."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from recording_samples import MCAP, SQLITE3, T0, cut_off, image, storage_file, write_bag
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from flash_vstream_ros.replay.bag import BagRecording

STORAGES = pytest.mark.parametrize('storage', [MCAP, SQLITE3], ids=['mcap', 'sqlite3'])
STAMPS = [T0 + i for i in range(30)]


def stamps(recording: BagRecording) -> list[int]:
    return [frame.stamp_ns for frame in recording if frame.decode() is not None]


def write(path: Path, numbers: range, *options: object) -> Path:
    return write_bag(path, [image(i, STAMPS[i]) for i in numbers], *options)


def killed(tmp_path: Path, storage: StoragePlugin) -> Path:
    """A bag of two files that were compressed once full, and a third being written."""
    folder = tmp_path / 'killed'
    folder.mkdir()
    for part in range(3):
        mode = CompressionMode.FILE if part < 2 else CompressionMode.NONE
        bag = write(tmp_path / f'part_{part}', range(10 * part, 10 * part + 10), storage, mode)
        file = storage_file(bag)
        shutil.copy(file, folder / f'killed_{part}{"".join(file.suffixes)}')
    return folder


@STORAGES
def test_files_that_a_killed_recorder_had_compressed_are_read(
    tmp_path: Path, storage: StoragePlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / 'scratch'
    scratch.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(scratch))
    recording = BagRecording(killed(tmp_path, storage))
    assert stamps(recording) == STAMPS
    assert recording.ended_early == ''
    assert not list(scratch.iterdir())


def test_of_a_compressed_file_that_is_cut_off_what_is_left_is_read_and_the_rest_said(
    tmp_path: Path,
) -> None:
    folder = killed(tmp_path, MCAP)
    cut_off(folder / 'killed_1.mcap.zstd', 0.5)
    recording = BagRecording(folder)
    assert stamps(recording)[:10] + stamps(recording)[-10:] == STAMPS[:10] + STAMPS[20:]
    assert 'killed_1.mcap.zstd' in recording.ended_early


def test_a_file_that_was_being_compressed_is_read_once(tmp_path: Path) -> None:
    folder = killed(tmp_path, MCAP)
    whole = storage_file(write(tmp_path / 'whole', range(10, 20)))
    shutil.copy(whole, folder / 'killed_1.mcap')
    cut_off(folder / 'killed_1.mcap.zstd', 0.5)
    recording = BagRecording(folder)
    assert stamps(recording) == STAMPS
    assert recording.ended_early == ''


def move_to_log(file: Path, after: int) -> None:
    """Leave a .db3 file as a killed process does that had not yet written its log into it.

    :param after: number of the last message that is in the file itself.
    """
    database = sqlite3.connect(file)
    rows = database.execute('SELECT * FROM messages WHERE id > ?', (after,)).fetchall()
    database.execute('DELETE FROM messages WHERE id > ?', (after,))
    database.commit()
    database.execute('PRAGMA journal_mode = WAL')
    places = ', '.join('?' * len(rows[0]))
    database.executemany(f'INSERT INTO messages VALUES ({places})', rows)
    database.commit()
    log = file.with_name(f'{file.name}-wal')
    copies = [shutil.copy(path, f'{path}.copy') for path in (file, log)]
    database.close()  # this writes the log into the file
    for path, copy in zip((file, log), copies, strict=True):
        shutil.move(copy, path)


@pytest.mark.parametrize('metadata', [True, False], ids=['metadata', 'no_metadata'])
def test_messages_in_a_write_ahead_log_are_read(tmp_path: Path, metadata: bool) -> None:
    """The preset 'resilient' of rosbag2's storage writes one."""
    bag = write(tmp_path / 'bag', range(30), SQLITE3)
    file = storage_file(bag)
    move_to_log(file, 12)
    before = {path.name: path.read_bytes() for path in bag.iterdir()}
    if not metadata:
        (bag / 'metadata.yaml').unlink()
        del before['metadata.yaml']
    for path in (bag, file):
        recording = BagRecording(path)
        assert stamps(recording) == STAMPS
        assert recording.ended_early == ''
    assert {path.name: path.read_bytes() for path in bag.iterdir()} == before


@STORAGES
def test_compressed_messages_need_no_metadata(tmp_path: Path, storage: StoragePlugin) -> None:
    bag = write(tmp_path / 'bag', range(30), storage, CompressionMode.MESSAGE)
    (bag / 'metadata.yaml').unlink()
    recording = BagRecording(bag)
    assert stamps(recording) == STAMPS
    assert recording.start_ns == T0


def test_an_mcap_that_is_read_short_without_an_error_says_so(tmp_path: Path) -> None:
    """The files of rosbag2 have no checksums of their chunks: what is overwritten is passed by."""
    bag = write(tmp_path / 'bag', range(30))
    file = storage_file(bag)
    data = bytearray(file.read_bytes())
    # Channel, number and two times stand before a message.
    channel = data.index(image(15, STAMPS[15]).raw) - 22
    data[channel] ^= 0x40
    file.write_bytes(data)
    recording = BagRecording(bag)
    assert stamps(recording) == STAMPS[:15] + STAMPS[16:]
    assert '29 images could be read (the bag counts 30)' in recording.ended_early


@STORAGES
@pytest.mark.parametrize('name', ['day #3', 'what?', '50%41', 'a b'])
def test_any_name_will_do(tmp_path: Path, storage: StoragePlugin, name: str) -> None:
    """SQLite takes some characters for parts of an URI."""
    bag = write(tmp_path / 'plain', range(30), storage).rename(tmp_path / name)
    file = storage_file(bag)
    named = file.rename(bag / f'{name}{file.suffix}')
    metadata = bag / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace(file.name, f'"{named.name}"'))
    for path in (bag, named):
        recording = BagRecording(path)
        assert stamps(recording) == STAMPS
        assert recording.ended_early == ''
        assert recording.duration_ns
