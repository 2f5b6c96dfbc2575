# SPDX-License-Identifier: Apache-2.0
"""Names of saved memories: whatever is asked for, the file lies in the folder."""

import os

import pytest

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.nodes.memory_store import MemoryStore


@pytest.mark.parametrize(
    ('name', 'file'), [('', 'memory'), ('a-2', 'a-2'), ('a.b', 'a.b'), ('k.safetensors', 'k')]
)
def test_a_name_is_a_file_in_the_folder(tmp_path, name, file):
    assert MemoryStore(str(tmp_path)).path(name) == tmp_path / f'{file}.safetensors'


@pytest.mark.parametrize(
    'name',
    ['../up', '/etc/passwd', 'a/b', '..', '.', '.hidden', 'a\\b', 'a b', 'a\0b', 'ä', 'x' * 101],
)
def test_a_name_that_could_lead_out_of_the_folder_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match='name: expected') as error:
        MemoryStore(str(tmp_path)).path(name)
    assert repr(name) in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_name_without_end_is_refused_in_a_line_or_so(tmp_path):
    """It goes into a response and a log; a request may hold 100 MB of it."""
    with pytest.raises(ValueError, match=r"name: expected.*got 'xxx") as error:
        MemoryStore(str(tmp_path)).path('x' * 1_000_000)
    assert len(str(error.value)) < 1000 + len(str(tmp_path))


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_not(tmp_path):
    folder = tmp_path / 'memories'
    folder.mkdir()
    (folder / 'out.safetensors').symlink_to(tmp_path / 'elsewhere.safetensors')
    (folder / 'in.safetensors').symlink_to(folder / 'memory.safetensors')
    store = MemoryStore(str(folder))
    with pytest.raises(ValueError, match='leads out of'):
        store.path('out')
    assert store.path('in').name == 'in.safetensors'


def test_without_a_folder_saving_is_off():
    with pytest.raises(ValueError, match='set the parameter memory_folder'):
        MemoryStore('').path('')


def test_a_home_that_nobody_has_is_refused_by_the_name_of_the_parameter():
    with pytest.raises(ValueError, match=r"memory_folder: expected a folder, got '~nosuch/mem'"):
        MemoryStore('~nosuch/mem')


def test_a_relative_folder_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert MemoryStore('memories').path('') == tmp_path / 'memories' / 'memory.safetensors'


def test_the_newest_of_the_memories_that_there_are_are_named(tmp_path):
    store = MemoryStore(str(tmp_path / 'memories'))
    assert store.say_names() == f'nothing is saved in {tmp_path / "memories"}'
    store.prepare()
    for second, name in enumerate(('a', 'b', '.c', 'd', 'e', 'f', 'g')):
        path = tmp_path / 'memories' / f'{name}.safetensors'
        path.touch()
        os.utime(path, (second, second))
    assert store.say_names().endswith(": 'g', 'f', 'e', 'd', 'b' and 1 more")


def test_what_is_set_aside_is_never_overwritten(tmp_path):
    store = MemoryStore(str(tmp_path))
    for content in ('first', 'second'):
        store.path('').write_text(content)
        store.set_aside(store.path(''))
    aside = sorted(path.read_text() for path in tmp_path.iterdir())
    assert aside == ['first', 'second']


@pytest.mark.parametrize('name', ['autosave_minutes', 'save_at_shutdown', 'restore_at_start'])
def test_saving_needs_a_folder(name):
    with pytest.raises(ValueError, match=f'memory_folder: expected a folder for {name}'):
        FrameHandlerConfig(**{name: 1.0 if name == 'autosave_minutes' else True})


def test_what_a_kill_left_of_a_save_is_cleared_away_once_it_is_old(tmp_path):
    old, new = (tmp_path / f'.memory.safetensors.{n}.part' for n in ('0a', '0b'))
    other = tmp_path / 'notes.part'
    for path in (old, new, other):
        path.write_bytes(b'half')
    for path in (old, other):
        os.utime(path, (0, 0))
    MemoryStore(str(tmp_path)).prepare()
    assert not old.exists()
    assert new.exists(), 'another process may be writing it'
    assert other.exists()
