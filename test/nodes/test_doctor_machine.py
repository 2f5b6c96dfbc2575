# SPDX-License-Identifier: Apache-2.0
"""What the doctor sees of a machine: checkpoints as their readers see them, folders of others."""

import os
import subprocess
import sys

import pytest
from spun_nodes import SpunNode

from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.nodes import doctor_machine
from flash_vstream_ros.nodes.doctor_facts import MachineFacts, NodeFacts, Process
from flash_vstream_ros.nodes.doctor_machine import (
    _participants,
    memory_folders,
    see_machine,
    see_models,
)
from flash_vstream_ros.nodes.doctor_processes import may_publish


@pytest.fixture
def sleeper(tmp_path):
    """A process in a folder of its own."""
    command = [sys.executable, '-c', 'import time; time.sleep(100)']
    process = subprocess.Popen(command, cwd=tmp_path)
    yield process
    process.kill()
    process.wait()


def node(model: str, *pids: int, folder: str = '') -> NodeFacts:
    processes = tuple(Process(pid, {}, None) for pid in pids)
    parameters = {'model': model, 'memory_folder': folder}
    return NodeFacts('/n', 'frame_handler', 1, parameters=parameters, processes=processes)


def look_at(folder: str, pid: int) -> MachineFacts:
    """The machine, as its one node with saved memories makes it interesting."""
    return see_machine('rmw', 0, memory_folders((node('m', pid, folder=folder),)))


def test_a_checkpoint_is_looked_for_where_its_reader_was_started(sleeper, tmp_path):
    make_random_checkpoint(tmp_path / 'models' / 'small')
    (model,) = see_models((node('models/small', sleeper.pid),), None)
    assert (model.is_here, model.fault) == (True, '')
    (model,) = see_models((node('models/other', sleeper.pid),), None)
    assert model.is_here
    assert 'models/other' in model.fault
    (model,) = see_models((node(str(tmp_path / 'models/small'), sleeper.pid),), None)
    assert (model.is_here, model.fault) == (True, '')


def test_what_may_not_be_looked_at_is_no_fault(sleeper, tmp_path, monkeypatch):
    def refuse(path: object) -> None:
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(doctor_machine, 'check_files', refuse)
    (model,) = see_models((node(str(tmp_path), sleeper.pid),), None)
    assert not model.is_here


@pytest.mark.skipif(os.geteuid() != 0, reason='becomes another user')
def test_disks_of_folders_of_another_user_are_those_above(tmp_path):
    folder = tmp_path / 'closed' / 'memories'
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    program = (
        'import os, sys; from flash_vstream_ros.nodes.doctor_machine import _disks; '
        'os.environ["HOME"] = "/nowhere"; os.setuid(65534); print(_disks([sys.argv[1]]))'
    )
    done = subprocess.run(
        [sys.executable, '-c', program, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '{' in done.stdout


def test_a_folder_that_can_be_written_is_left_as_it_was(sleeper, tmp_path):
    """Also one that is still to be made, and a relative one: below its node's own."""
    for name in ('.', 'memories/of/it', str(tmp_path / 'memories')):
        machine = look_at(name, sleeper.pid)
        assert not machine.unwritable
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('/proc/nowhere', 'No such file or directory: /proc'),
        ('a_file', 'a_file is no folder'),
        ('a_file/below', 'a_file is no folder'),
        ('~nosuch/memories', 'no home of such a user is known'),
    ],
)
def test_a_folder_that_cannot_be_written_is_no_disk_to_make_room_on(
    sleeper, tmp_path, name, words
):
    (tmp_path / 'a_file').touch()
    machine = look_at(name, sleeper.pid)
    assert list(machine.unwritable) == [name]
    assert words in machine.unwritable[name]
    assert not any(folder.startswith('/proc') for folder in machine.disks)


def test_a_model_of_a_user_that_there_is_not_is_a_fault(sleeper):
    for nodes, given in (((node('~nosuch/m', sleeper.pid),), None), ((), '~nosuch/m')):
        (model,) = see_models(nodes, given)
        assert model.is_here
        assert '~nosuch/m' in model.fault


def test_a_process_without_ros_is_nobody_s_publisher(sleeper, spun):
    """A node in a container has the number of some process outside."""
    assert not may_publish(sleeper.pid)
    assert may_publish(os.getpid()), f'{spun.node} is in it'


def test_a_participant_is_counted_while_it_is_there(namespace):
    domain = int(os.environ.get('ROS_DOMAIN_ID', '0'))
    before = _participants(domain)
    others = [SpunNode(namespace, f'other_{number}') for number in range(2)]
    assert len(_participants(domain) - before) == 2
    for other in others:
        other.close()
    assert _participants(domain) == before
