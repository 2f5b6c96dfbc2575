# SPDX-License-Identifier: Apache-2.0
"""A folder belongs to one run at a time."""

import fcntl
import os
import socket

import pytest
from training_processes import run_pair

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.training import tuning
from flash_vstream_ros.training.run_folder import RunLock


def files_of(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob('*')}


def test_a_second_run_in_a_folder_is_refused_before_weights_are_read(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, 'load_checkpoint', None)
    words = rf'{tmp_path}/run: another run trains here; wait for its end, or choose another folder'
    with RunLock(tmp_path / 'run'), pytest.raises(ValueError, match=words):
        run('run')
    assert files_of(tmp_path / 'run') == {'.lock'}


def test_the_folder_is_held_while_a_run_goes_on_and_free_after_it(run, tmp_path, monkeypatch):
    saving = tuning.TuningJob.save

    def held(self, folder, state):
        with (folder.parent / '.lock').open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        saving(self, folder, state)

    monkeypatch.setattr(tuning.TuningJob, 'save', held)
    assert run('run', steps=1) == tmp_path / 'run'
    with RunLock(tmp_path / 'run'):
        pass


def test_a_run_that_failed_leaves_its_folder_free(run, tmp_path):
    with pytest.raises(ValueError, match='max_length'):
        run('run', max_length=513)
    with RunLock(tmp_path / 'run'):
        pass


def test_processes_that_read_data_do_not_hold_the_folder(tmp_path):
    """They outlive a killed run by seconds, and the same command is given again at once."""
    here, there = socket.socketpair()
    with RunLock(tmp_path):
        child = os.fork()
        if child == 0:
            there.send(b'forked')
            there.recv(1)
            os._exit(0)
    try:
        here.recv(6)
        with RunLock(tmp_path):
            pass
    finally:
        here.send(b'.')
        os.waitpid(child, 0)


def test_all_processes_of_a_refused_run_end(write_config, tmp_path):
    with RunLock(tmp_path / 'pair'):
        config = write_config('pair', micro_batch=2)
        assert run_pair(['train', '--stage', '2', '--config', str(config)]) == [1, 1]


@pytest.mark.parametrize('below', ['', '/deep/run'])
def test_a_file_in_place_of_the_folder_is_said_first(write_config, tmp_path, capsys, below):
    (tmp_path / 'file').write_text('notes')
    command = ['train', '--stage', '2', '--config', str(write_config('run'))]
    assert main([*command, '--set', f'out={tmp_path}/file{below}']) == 1
    words = f'out: expected a folder, but {tmp_path}/file is none\n'
    assert capsys.readouterr().err.endswith(words)
