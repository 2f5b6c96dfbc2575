# SPDX-License-Identifier: Apache-2.0
"""Output that appears whole or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from recording_samples import picture

from flash_vstream_ros.replay.new_output import new_outputs
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.recording_writer import write_recording

# What a process does that may write files of so many bytes only: a disk that is nearly full.
LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[5])
from recording_samples import picture
from flash_vstream_ros.replay.new_output import new_outputs
from flash_vstream_ros.replay.recording_writer import write_recording
path, kind, storage, limit = Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with new_outputs(path) as (output,):
        frames = (picture(number, 128, 96) for number in range(60))
        write_recording(output, kind, frames, 5.0, storage=storage, compressed=False)
except OSError as error:
    sys.exit(str(error))
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_outputs_get_their_names_when_all_are_written(tmp_path: Path) -> None:
    one, other = tmp_path / 'a.txt', tmp_path / 'folder'
    with new_outputs(one, other) as (one_now, other_now):
        assert (one_now.name, other_now.name) == ('a.txt', 'folder')
        one_now.write_text('hello')
        other_now.mkdir()
        (other_now / 'b.txt').write_text('there')
        assert not one.exists()
        assert all(name.startswith('.') for name in names(tmp_path))
    assert names(tmp_path) == ['a.txt', 'folder']
    assert (other / 'b.txt').read_text() == 'there'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, OSError])
def test_what_fails_half_way_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with new_outputs(tmp_path / 'a', tmp_path / 'b') as (one, other):
            one.write_text('half')
            other.mkdir()
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


@pytest.mark.parametrize('taken', ['a', 'b'])
def test_what_exists_is_not_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text('precious')
    with (
        pytest.raises(FileExistsError, match=f'{taken}: exists already and is not overwritten'),
        new_outputs(tmp_path / 'a', tmp_path / 'b'),
    ):
        raise AssertionError
    assert names(tmp_path) == [taken]
    assert (tmp_path / taken).read_text() == 'precious'


def test_what_has_come_into_being_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def write() -> None:
        with new_outputs(tmp_path / 'a', tmp_path / 'b') as (one, other):
            one.write_text('ours')
            other.write_text('ours')
            (tmp_path / 'a').write_text('theirs')

    with pytest.raises(FileExistsError, match='exists already'):
        write()
    assert names(tmp_path) == ['a']
    assert (tmp_path / 'a').read_text() == 'theirs'


def test_a_link_to_nowhere_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / 'a').symlink_to('nowhere')
    with pytest.raises(FileExistsError), new_outputs(tmp_path / 'a'):
        raise AssertionError


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'no' / 'where'
    with (
        pytest.raises(FileNotFoundError, match='its folder does not exist'),
        new_outputs(path),
    ):
        raise AssertionError


def test_a_full_disk_is_said_of_the_output(tmp_path: Path) -> None:
    path = tmp_path / 'a'
    with (
        pytest.raises(OSError, match='No space left on device: nothing of it is kept') as caught,
        new_outputs(path) as (output,),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(output / 'part'))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)


@pytest.mark.parametrize(
    ('kind', 'storage', 'limit'),
    [
        ('mp4', 'mcap', 5_000),
        ('mp4', 'mcap', 200),
        ('bag', 'mcap', 500_000),
        ('bag', 'sqlite3', 500_000),
        ('bag', 'mcap', 20),
        ('frames', 'mcap', 200),
    ],
)
def test_a_disk_that_fills_up_leaves_nothing_and_is_said(
    tmp_path: Path, kind: str, storage: str, limit: int
) -> None:
    path = tmp_path / 'out.mp4'
    here = Path(__file__).parent
    arguments = [str(path), kind, storage, str(limit), str(here)]
    done = subprocess.run(
        [sys.executable, '-c', LIMITED, *arguments],
        env=os.environ | {'PYTHONPATH': os.pathsep.join([str(here.parents[1]), *sys.path])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith('[Errno')]
    assert 'nothing of it is kept' in said
    assert said.endswith(f"'{path}'")
    assert names(tmp_path) == []


def test_with_room_all_of_it_is_written(tmp_path: Path) -> None:
    """Guards the test above: it is the limit that fails there."""
    with new_outputs(tmp_path / 'out.mp4') as (output,):
        frames = (picture(number, 128, 96) for number in range(60))
        write_recording(output, 'mp4', frames, 5.0)
    assert open_recording(tmp_path / 'out.mp4').frame_count == 60
