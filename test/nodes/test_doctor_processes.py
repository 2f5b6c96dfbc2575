# SPDX-License-Identifier: Apache-2.0
"""Processes are found by their publishers and by what they run, and looked at as they are."""

import os

import pytest
from eyes import offer
from robots import wait_until

from flash_vstream_ros.nodes import doctor_processes
from flash_vstream_ros.nodes.doctor_processes import find_process, find_programs, see_process


@pytest.fixture
def gid(spun, driver, namespace):
    """Identity of a publisher of this process."""
    offer(driver)

    def publishers() -> list:
        return spun.node.get_publishers_info_by_topic(f'{namespace}/image')

    return bytes(wait_until(publishers, 'the publisher')[0].endpoint_gid)


def test_a_publisher_of_this_process_is_found_with_its_shared_memory(gid):
    process = find_process(gid, gid)
    if process is None:
        pytest.skip(f'the middleware does not write the process into {gid.hex()}')
    assert process.pid == os.getpid()
    assert process.segment_bytes >= 2**19, 'the default of Fast DDS is 512 kB'


def test_a_publisher_of_another_machine_or_middleware_is_not_guessed(gid):
    other = bytes([gid[0], gid[1], gid[2] ^ 1, *gid[3:]])
    assert find_process(other, gid) is None
    assert find_process(bytes(16), bytes(16)) is None


def test_a_node_is_found_by_its_program_and_its_environment_read(robot):
    pids = {name: robot.processes[name].process.pid for name in robot.processes}
    found = find_programs()
    for name, pid in pids.items():
        process = next(process for process in found[name] if process.pid == pid)
        assert process.environment['ROS_DOMAIN_ID'] == os.environ['ROS_DOMAIN_ID']
        assert not [n for n in process.environment if n == 'PATH'], 'only what matters to ROS'
    frame_handler = see_process(pids['frame_handler'])
    assert 'MALLOC_TOP_PAD_' in frame_handler.environment
    assert frame_handler.segment_bytes >= 2**26, 'the profile gives 64 MiB'


@pytest.mark.parametrize(
    ('words', 'programs'),
    [
        (['python3', '/ws/lib/flash_vstream_ros/frame_handler', '--ros-args'], ['frame_handler']),
        (['python3', '-m', 'flash_vstream_ros.nodes.question_handler'], ['question_handler']),
        (
            ['python3', '/ws/lib/flash_vstream_ros/one_process'],
            ['frame_handler', 'question_handler'],
        ),
        (['python3', '/opt/bin/ros2', 'run', 'flash_vstream_ros', 'frame_handler'], []),
        (['vi', '/ws/src/flash_vstream_ros/nodes/frame_handler.py'], []),
        (['python3', '-m'], []),
        ([], []),
    ],
)
def test_only_what_runs_a_program_of_ours_is_one(tmp_path, monkeypatch, words, programs):
    (tmp_path / '42').mkdir()
    (tmp_path / '42' / 'cmdline').write_bytes(b''.join(word.encode() + b'\0' for word in words))
    (tmp_path / 'self').mkdir()
    monkeypatch.setattr(doctor_processes, 'PROC', tmp_path)
    found = find_programs()
    assert [name for name, processes in found.items() if processes] == programs


def test_a_process_that_may_not_be_looked_at_is_one_of_which_nothing_is_known(
    tmp_path, monkeypatch
):
    (tmp_path / '42').mkdir()
    monkeypatch.setattr(doctor_processes, 'PROC', tmp_path)
    process = see_process(42)
    assert (process.environment, process.segment_bytes) == (None, None)
