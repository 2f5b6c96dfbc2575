# SPDX-License-Identifier: Apache-2.0
"""Saved memories: all or nothing on the disk, refused unless just right, going on as if alive."""

import errno
import io
import json
import os
import resource
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from memory_samples import (
    SMALL,
    S,
    assert_same,
    fill,
    make_attention,
    make_memory,
    random_features,
    recurring_scenes,
    small,
    state_bits,
)
from safetensors.torch import load_file, save_file

from flash_vstream_ros.core import memory_file
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.memory_file import (
    FORMAT,
    VERSION,
    MemoryFileError,
    write_memory_file,
)
from flash_vstream_ros.core.star_memory import StarMemory


def load(
    path: Path,
    geometry: MemoryGeometry = SMALL,
    encoder_id: str = 'encoder',
    device: torch.device | str = 'cpu',
) -> StarMemory:
    attention = make_attention(geometry.feature_width, device)
    return StarMemory.load(path, geometry, attention, encoder_id, device)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The file of a memory of 30 frames, alone in its folder."""
    memory = make_memory()
    fill(memory, recurring_scenes(30))
    memory.save(tmp_path / 'memory')
    return tmp_path / 'memory'


@pytest.mark.parametrize('count', [0, 1, 3, 4, 5, 6, 15, 16, 17, 50])
def test_a_loaded_memory_goes_on_as_if_never_stopped(count, tmp_path, device):
    features = recurring_scenes(count + 30).to(device)
    memory = make_memory(device=device)
    fill(memory, features[:count])
    memory.save(tmp_path / 'memory')
    loaded = load(tmp_path / 'memory', device=device)
    assert_same(loaded.snapshot(), memory.snapshot())
    assert loaded.newest_stamp_ns == memory.newest_stamp_ns
    for index, feature in enumerate(features[count:], count + 1):
        for one in (memory, loaded):
            one.write(feature, index * S)
        assert_same(loaded.snapshot(), memory.snapshot())
    assert state_bits(loaded) == state_bits(memory)


def test_a_loaded_memory_refuses_the_stamps_it_has_seen(saved):
    loaded = load(saved)
    with pytest.raises(ValueError, match=str(30 * S)):
        loaded.write(random_features(1)[0], 30 * S)


def test_each_load_has_an_id_of_its_own(saved):
    ids = {load(saved).memory_id for _ in range(5)}
    assert len(ids) == 5
    assert all(0 < memory_id < 2**64 for memory_id in ids)


def test_saving_changes_nothing(saved, tmp_path):
    memory = load(saved)
    before = state_bits(memory)
    for name in ('first', 'second'):
        memory.save(str(tmp_path / name))
        assert state_bits(memory) == before
        assert state_bits(load(tmp_path / name)) == before


def test_a_memory_saved_on_one_device_is_loaded_on_the_other(saved, device):
    assert load(saved, device=device).temporal.weights.device.type == device.type
    loaded, expected = load(saved, device=device).snapshot(), load(saved).snapshot()
    # Reading itself computes on the device: equal as far as that goes.
    torch.testing.assert_close(loaded.tokens().cpu(), expected.tokens())


def break_replace(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, 'no rename today')

    monkeypatch.setattr(memory_file.os, 'replace', refuse)


def break_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, 'no space left on device')

    monkeypatch.setattr(memory_file.os, 'fsync', refuse)


def interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def press(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(memory_file.os, 'fsync', press)


@pytest.mark.parametrize('harm', [break_replace, break_flush, interrupt])
@pytest.mark.parametrize('exists', [True, False], ids=['over-an-old-one', 'new'])
def test_a_save_that_fails_leaves_the_old_file_and_no_other(harm, exists, saved, monkeypatch):
    target = saved if exists else saved.with_name('new')
    old = saved.read_bytes()
    memory = make_memory()
    fill(memory, random_features(9))
    with monkeypatch.context() as patched:
        harm(patched)
        with pytest.raises((OSError, KeyboardInterrupt)):
            memory.save(target)
    assert [path.name for path in saved.parent.iterdir()] == ['memory']
    assert saved.read_bytes() == old
    memory.save(target)
    assert_same(load(target).snapshot(), memory.snapshot())


def test_a_full_disk_leaves_the_old_file_and_no_other(saved):
    """A limit on the size of files stands in for a full disk: the write itself fails midway."""
    old, memory = saved.read_bytes(), load(saved)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(old) // 2, hard))
    try:
        with pytest.raises(OSError, match='too large'):
            memory.save(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in saved.parent.iterdir()] == ['memory']
    assert saved.read_bytes() == old


def test_the_bytes_are_on_the_disk_before_the_name_is_given(saved, monkeypatch):
    """In the other order a loss of power leaves an empty file under the name."""
    order: list[str] = []
    for name in ('fsync', 'replace'):
        real: Callable = getattr(os, name)
        monkeypatch.setattr(
            memory_file.os, name, lambda *a, n=name, r=real: (order.append(n), r(*a))[1]
        )
    load(saved).save(saved)
    assert order[:2] == ['fsync', 'replace']


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match='nowhere'):
        make_memory().save(tmp_path / 'nowhere' / 'memory')
    with pytest.raises(FileNotFoundError, match='nowhere'):
        load(tmp_path / 'nowhere')
    with pytest.raises(OSError, match=str(tmp_path)):
        load(tmp_path)


def test_a_file_of_another_encoder_is_refused_with_both_names(saved):
    with pytest.raises(MemoryFileError, match="encoder_id: expected 'other', got 'encoder'"):
        load(saved, encoder_id='other')


@pytest.mark.parametrize(
    'change',
    [{'buffer_frames': 17}, {'update_ratio': 0.25}, {'retrieved_slots': 2}, {'abstract_slots': 5}],
    ids=str,
)
def test_a_file_of_another_geometry_is_refused_with_both(change, saved):
    """Also where no shape differs: the numbers would be read in another meaning."""
    ((name, value),) = change.items()
    with pytest.raises(MemoryFileError, match='geometry') as error:
        load(saved, small(**change))
    assert f'"{name}": {value}' in str(error.value)
    assert f'"{name}": {getattr(SMALL, name)}' in str(error.value)


@pytest.mark.parametrize('name', ['format', 'version'])
@pytest.mark.parametrize('value', ['1', '3', '', None])
def test_another_format_or_version_is_refused(name, value, saved):
    about = {
        'format': FORMAT,
        'version': VERSION,
        'encoder_id': 'encoder',
        'geometry': json.dumps(asdict(SMALL)),
        name: value,
    }
    save_file(load_file(saved), saved, {k: v for k, v in about.items() if v is not None})
    with pytest.raises(MemoryFileError, match=f'{name}: expected') as error:
        load(saved)
    assert str(saved) in str(error.value)
    assert repr(value) in str(error.value)


def rewrite(saved: Path, change: Callable[[dict], None]) -> None:
    """Change the tensors of a file and write it with a right digest."""
    state = load_file(saved)
    change(state)
    about = {'encoder_id': 'encoder', 'geometry': json.dumps(asdict(SMALL))}
    write_memory_file(saved, state, about)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda s: s.pop('buffer.coarse'), 'buffer.coarse: expected torch.float32.*got nothing'),
        (lambda s: s.update(more=torch.ones(2)), "'more': expected nothing, got torch.float32"),
        (lambda s: s.update(frames=torch.ones(1)), 'frames: expected torch.int64'),
        (
            lambda s: s.update({'temporal.weights': s['temporal.weights'][:3].clone()}),
            r'temporal.weights: expected torch.int64 of shape \(6,\), got .* \(3,\)',
        ),
        (lambda s: s['temporal.weights'].add_(1), 'weights of the clusters do not sum up'),
        (lambda s: s['frames'].add_(1), 'weights of the clusters do not sum up'),
    ],
)
def test_tensors_other_than_expected_are_refused_by_name(change, said, saved):
    rewrite(saved, change)
    with pytest.raises(MemoryFileError, match=said) as error:
        load(saved)
    assert str(saved) in str(error.value)


def test_a_file_cut_off_anywhere_is_refused(saved):
    whole = saved.read_bytes()
    for share in (0.0, 1e-4, 7.5 / len(whole), 0.01, 0.05, 0.3, 0.7, 0.99, 1 - 1 / len(whole)):
        saved.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(MemoryFileError, match='memory'):
            load(saved)


def test_a_byte_changed_anywhere_is_refused(saved):
    whole = saved.read_bytes()
    header = 8 + int.from_bytes(whole[:8], 'little')
    places = [*range(0, header, 61), *range(header, len(whole), 1531), len(whole) - 1]
    for place in places:
        spoiled = bytearray(whole)
        spoiled[place] ^= 0x15
        saved.write_bytes(spoiled)
        with pytest.raises(MemoryFileError, match='memory'):
            load(saved)


@pytest.mark.parametrize('content', [b'', b'{}', b'MEMORY' * 50, bytes(4096), b'PK\x03\x04' * 99])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    (tmp_path / 'memory').write_bytes(content)
    with pytest.raises(MemoryFileError, match=str(tmp_path / 'memory')):
        load(tmp_path / 'memory')


@pytest.mark.parametrize(
    ('begins', 'number'), [(0, errno.EACCES), (0, errno.EIO), (5000, errno.EIO)]
)
def test_what_cannot_be_read_at_the_moment_is_not_called_damaged(
    begins, number, saved, monkeypatch
):
    """The reader calls it missing, or ends the process where the disk fails in the midst."""

    class Failing(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            if self.tell() >= begins:
                raise OSError(number, os.strerror(number))
            return super().read(size)

    monkeypatch.setattr(memory_file, '_CHUNK', 4096)
    monkeypatch.setattr(Path, 'open', lambda path, *_, **__: Failing(path))
    with pytest.raises(OSError, match=os.strerror(number)) as error:
        load(saved)
    assert (error.value.errno, error.value.filename) == (number, str(saved))


def test_a_checkpoint_is_no_memory(tmp_path):
    save_file({'model.weight': torch.zeros(3)}, tmp_path / 'weights')
    with pytest.raises(MemoryFileError, match=r'format: expected .*star_memory.*got None'):
        load(tmp_path / 'weights')


def test_what_a_killed_save_left_behind_harms_nobody(saved):
    (saved.parent / f'.{saved.name}.abc.part').write_bytes(b'half')
    memory = load(saved)
    memory.save(saved)
    assert_same(load(saved).snapshot(), memory.snapshot())
