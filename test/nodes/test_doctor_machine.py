# SPDX-License-Identifier: Apache-2.0
"""What the doctor sees of a machine: checkpoints as their readers see them, folders of others."""

import os
import subprocess
import sys

import pytest
from spun_nodes import SpunNode

from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.nodes import doctor_machine
from flash_vstream_ros.nodes.doctor_facts import NodeFacts, Process
from flash_vstream_ros.nodes.doctor_machine import _participants, see_models
from flash_vstream_ros.nodes.doctor_processes import may_publish


@pytest.fixture
def sleeper(tmp_path):
    """A process in a folder of its own."""
    command = [sys.executable, '-c', 'import time; time.sleep(100)']
    process = subprocess.Popen(command, cwd=tmp_path)
    yield process
    process.kill()
    process.wait()


def node(model: str, *pids: int) -> NodeFacts:
    processes = tuple(Process(pid, {}, None) for pid in pids)
    return NodeFacts('/n', 'frame_handler', 1, parameters={'model': model}, processes=processes)


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
