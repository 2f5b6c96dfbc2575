# SPDX-License-Identifier: Apache-2.0
"""Memories that cannot be read or written: the robot sees, nothing is overwritten, all is said."""

import errno
from collections import Counter
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from flash_vstream_ros.srv import LoadMemory, SaveMemory
from robots import S
from std_srvs.srv import Trigger
from test_saving_apart import Saving

from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.nodes.frame_diagnostics import FrameDiagnostics

SAVING = {'save_at_shutdown': True, 'restore_at_start': True}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'memories'


@pytest.fixture
def make(spun, vstream, folder):
    """Makes the services, of a memory with one frame."""
    made = []

    def make(**settings) -> Saving:
        made.append(Saving(spun, vstream, folder, **settings))
        return made[0]

    yield make
    made[0].worker.stop()
    made[0].services.stop()


@pytest.fixture
def restore(make, folder, capfd):
    """Saves a memory, changes it, and restores where a call fails; returns what is said then."""

    def restore(content: bytes | None, failing: str) -> tuple[Saving, str]:
        saving = make(**SAVING)
        saving.save()
        if content is not None:
            (folder / 'memory.safetensors').write_bytes(content)
        saving.worker.submit(saving.memory.reset).result()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, failing, refuse)
            saving.services.restore()
        assert saving.memory.newest_stamp_ns == 0
        return saving, capfd.readouterr().err

    return restore


def refuse(path: Path, *_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, 'Permission denied', str(path))


def names(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix('.safetensors') for path in folder.iterdir())


def test_damage_in_a_folder_that_cannot_be_written_keeps_nobody_from_beginning(restore, folder):
    """And no save overwrites it once there can be one."""
    saving, said = restore(b'damaged', 'rename')
    assert 'beginning with an empty one' in said
    assert 'could not be set aside' in said
    assert 'Permission denied' in said
    assert names(folder) == ['memory']
    saving.show(2)
    saving.save()
    assert names(folder) == ['memory', 'memory.refused1']
    assert (folder / 'memory.refused1.safetensors').read_bytes() == b'damaged'


def test_a_memory_that_cannot_be_read_at_the_moment_is_neither_refused_nor_lost(
    restore, folder, planner
):
    saving, said = restore(None, 'open')
    good = (folder / 'memory.safetensors').read_bytes()
    assert 'Permission denied' in said
    assert 'stays where it is' in said
    assert names(folder) == ['memory']
    saving.show(2)
    assert planner.request(SaveMemory, 'test/save_memory', name='kitchen').success
    assert names(folder) == ['kitchen', 'memory'], 'another name: nothing is in the way'
    for second in (3, 4):
        saving.show(second)
        saving.save()
    assert names(folder) == ['kitchen', 'memory', 'memory.unread1']
    assert (folder / 'memory.unread1.safetensors').read_bytes() == good
    response = planner.request(LoadMemory, 'test/load_memory', name='memory.unread1')
    assert (response.success, response.frames_written) == (True, 1)


def test_a_reset_sets_a_memory_that_could_not_be_read_aside(restore, folder, planner):
    """As ``previous`` the next stream that ends would take its place."""
    restore(None, 'open')
    assert planner.request(Trigger, 'test/reset_memory').success
    assert names(folder) == ['memory.unread1']


@pytest.mark.parametrize('is_on', [True, False])
def test_a_load_keeps_the_present_stream_where_saving_is_on(make, planner, folder, is_on, vstream):
    saving = make(save_at_shutdown=is_on)
    assert planner.request(SaveMemory, 'test/save_memory', name='kitchen').success
    for second in (2, 3):
        saving.show(second)
    response = planner.request(LoadMemory, 'test/load_memory', name='kitchen')
    assert (response.success, response.frames_written) == (True, 1)
    saving.services._saver.finish()
    assert names(folder) == ['kitchen', 'previous'] if is_on else ['kitchen']
    if is_on:
        kept: StarMemory = vstream.load_memory(folder / 'previous.safetensors')
        assert kept.newest_stamp_ns == 3 * S


def test_a_load_of_an_empty_memory_overwrites_no_stream(make, planner, folder):
    saving = make(save_at_shutdown=True)
    saving.save()
    saving.worker.submit(saving.memory.reset).result()
    assert planner.request(LoadMemory, 'test/load_memory').success
    saving.services._saver.finish()
    assert names(folder) == ['memory']
    assert not saving.faults


def test_no_load_ends_a_stream_that_cannot_be_kept_yet(make, planner, monkeypatch):
    saving = make(save_at_shutdown=True)
    saving.save()
    monkeypatch.setattr(type(saving.services), '_is_saving', True)
    response = planner.request(LoadMemory, 'test/load_memory')
    assert not response.success
    assert 'a save is under way; call again when it is done' in response.message


def test_a_name_that_nobody_saved_comes_with_those_that_there_are(make, planner):
    make()
    for name in ('kitchen', 'hall'):
        assert planner.request(SaveMemory, 'test/save_memory', name=name).success
    response = planner.request(LoadMemory, 'test/load_memory', name='kitchn')
    assert not response.success
    assert 'kitchn.safetensors: no such file' in response.message
    assert "there are, the newest first: 'hall', 'kitchen'" in response.message


def test_a_folder_that_cannot_be_written_is_an_error_from_the_start(
    make, folder, spun, vstream, capfd
):
    """Not after a week, at the end."""
    folder.write_text('a file in its place')
    saving = make(save_at_shutdown=True)
    said = capfd.readouterr().err
    assert said.count('memories cannot be saved') == 1
    assert str(folder) in said
    diagnostics = FrameDiagnostics(
        spun.node, saving.config, vstream, saving.memory, saving.services, Counter()
    )
    status = diagnostics._memory()
    values = {value.key: value.value for value in status.values}
    assert status.level == DiagnosticStatus.ERROR
    assert 'memories could not be saved' in status.message
    assert str(folder) in values['last error']
    folder.unlink()
    saving.save()
    assert diagnostics._memory().level == DiagnosticStatus.OK


def test_a_folder_is_left_alone_while_saving_is_off(make, folder):
    make()
    assert not folder.exists()


def test_a_disk_that_takes_no_byte_is_an_error_from_the_start(make, monkeypatch):
    def fail(**_: object) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('tempfile.TemporaryFile', fail)
    saving = make(save_at_shutdown=True)
    assert saving.services.is_failing
    assert 'No space left' in str(saving.services.fault_at_start)
