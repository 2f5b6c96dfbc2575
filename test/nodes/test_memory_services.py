# SPDX-License-Identifier: Apache-2.0
"""Saved memories on a running frame handler: killed, restarted, damaged, of another model."""

import os
import shutil

import pytest
from flash_vstream_ros.srv import LoadMemory, SaveMemory
from own_nodes import FilmedBy
from robots import S, wait_until

from flash_vstream_ros.nodes.conversions import time_to_ns


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'memories' / 'of the robot'


def save(planner, name=''):
    return planner.request(SaveMemory, 'frame_handler/save_memory', name=name)


def load(planner, name=''):
    return planner.request(LoadMemory, 'frame_handler/load_memory', name=name)


def features(memory) -> bytes:
    return memory.features.tobytes()


def test_a_memory_outlives_its_node_killed_at_any_moment(start, planner, folder):
    """Saved by hand, killed, restarted with restore: the same memory goes on, under a new id."""
    settings = {'sample_rate': 0.0, 'memory_folder': folder, 'restore_at_start': True}
    process = start('frame_handler', **settings)
    camera = FilmedBy(planner, frame_id='lens')
    for second in range(1, 9):
        camera.show(second)
    saved = camera.memories[-1]
    response = save(planner)
    assert (response.success, response.frames_written) == (True, 8)
    assert response.path == str(folder / 'memory.safetensors')
    camera.show(9)  # after the save: lost with the process
    process.process.kill()
    process.process.wait()
    camera.memories.clear()
    start('frame_handler', '', **settings)
    wait_until(lambda: camera.memories, 'the memory restored', 90.0)
    restored = camera.memories[-1]
    assert features(restored) == features(saved)
    assert restored.header.frame_id == 'lens'
    assert restored.frames_written == 8
    assert restored.memory_id != saved.memory_id
    camera.show(10)
    assert camera.memories[-1].frames_written == 9
    assert camera.memories[-1].memory_id == restored.memory_id


def test_loading_goes_back_and_what_cannot_be_loaded_changes_nothing(start, planner, folder):
    process = start('frame_handler', sample_rate=0.0, memory_folder=folder)
    camera = FilmedBy(planner)
    camera.show(1)
    assert save(planner, 'one').success
    camera.show(2)
    whole = (folder / 'one.safetensors').read_bytes()
    (folder / 'half.safetensors').write_bytes(whole[: len(whole) // 2])
    for name, words in (
        ('../one', 'name: expected'),
        ('none', 'no such file'),
        ('half', 'half.safetensors'),
    ):
        response = load(planner, name)
        assert not response.success
        assert words in response.message
        assert 'the memory is as it was' in response.message
    assert camera.memories[-1].frames_written == 2
    response = load(planner, 'one')
    assert (response.success, response.frames_written) == (True, 1)
    wait_until(lambda: camera.memories[-1].memory_id == response.memory_id, 'the loaded memory')
    assert time_to_ns(camera.memories[-1].header.stamp) == S
    camera.show(3)
    assert camera.memories[-1].frames_written == 2
    assert process.stop() == 0


def test_a_folder_that_cannot_be_written_is_named_and_nothing_older_is_lost(
    start,
    planner,
    folder,
):
    start('frame_handler', sample_rate=0.0, memory_folder=folder)
    camera = FilmedBy(planner)
    camera.show(1)
    assert save(planner).success
    before = (folder / 'memory.safetensors').read_bytes()
    kept = folder.rename(folder.with_name('kept'))
    folder.write_text('a file in its place')
    response = save(planner)
    assert not response.success
    assert str(folder) in response.message
    assert 'what was saved before is unharmed' in response.message
    folder.unlink()
    kept.rename(folder)
    assert (folder / 'memory.safetensors').read_bytes() == before
    camera.show(2)
    assert save(planner).frames_written == 2


def test_a_memory_is_saved_at_the_end_and_by_time(start, planner, folder):
    """And the memory of a stream that the clock ended is kept under a name of its own."""
    settings = {'sample_rate': 0.0, 'memory_folder': folder, 'save_at_shutdown': True}
    process = start('frame_handler', autosave_minutes=0.005, **settings)
    camera = FilmedBy(planner)
    camera.show(1000)
    file = folder / 'memory.safetensors'
    wait_until(file.exists, 'an autosave')
    first = file.stat().st_mtime_ns
    camera.show(1001)
    wait_until(lambda: file.stat().st_mtime_ns != first, 'another one')
    camera.jump_back()
    wait_until((folder / 'previous.safetensors').exists, 'the stream before')
    assert process.stop() == 0
    assert f'saved to {file}' in process.output()


def test_a_memory_of_another_model_is_set_aside_not_overwritten(
    start,
    planner,
    folder,
    other_checkpoint,
):
    settings = {'memory_folder': folder, 'save_at_shutdown': True, 'restore_at_start': True}
    process = start('frame_handler', sample_rate=0.0, **settings)
    camera = FilmedBy(planner)
    camera.show(1)
    assert process.stop() == 0
    saved = (folder / 'memory.safetensors').read_bytes()
    process = start('frame_handler', '', sample_rate=0.0, model=other_checkpoint, **settings)
    wait_until(lambda: 'memory not restored' in process.output(), 'a refusal', 90.0)
    camera.show(2)
    assert camera.memories[-1].frames_written == 1
    assert process.stop() == 0
    assert (folder / 'memory.refused1.safetensors').read_bytes() == saved
    assert (folder / 'memory.safetensors').exists()


@pytest.mark.skipif(os.geteuid() != 0, reason='needs the right to mount a small disk')
def test_a_full_disk_fails_the_save_and_keeps_the_one_before(
    start,
    planner,
    folder,
    tmp_path,
):
    folder.mkdir(parents=True)
    mounted = (
        shutil.which('mount') and os.system(f'mount -t tmpfs -o size=64m none "{folder}"') == 0
    )
    if not mounted:
        pytest.skip('cannot mount a small disk here')
    try:
        start('frame_handler', sample_rate=0.0, memory_folder=folder)
        camera = FilmedBy(planner)
        camera.show(1)
        assert save(planner).success
        before = (folder / 'memory.safetensors').read_bytes()
        free = os.statvfs(folder)
        (folder / 'ballast').write_bytes(b'0' * (free.f_bavail * free.f_frsize - 8192))
        camera.show(2)
        response = save(planner)
        assert not response.success
        assert 'No space left' in response.message
        assert (folder / 'memory.safetensors').read_bytes() == before
        assert sorted(path.name for path in folder.iterdir()) == ['ballast', 'memory.safetensors']
        (folder / 'ballast').unlink()
        assert save(planner).frames_written == 2
    finally:
        os.system(f'umount -l "{folder}"')
