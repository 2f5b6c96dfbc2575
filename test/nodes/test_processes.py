# SPDX-License-Identifier: Apache-2.0
"""Processes of the package: what they are given, that they end, whatever happens."""

import os
import signal
import sys
from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from robots import PROGRAMS, TIMEOUT_S, wait_until

from flash_vstream_ros.nodes import processes
from flash_vstream_ros.nodes.environment import MALLOC_SETTINGS, fastdds_profile_path
from flash_vstream_ros.nodes.processes import NodeProcess

STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print('ready', flush=True)
time.sleep(1000.0)
"""


def python(log: Path, source: str, **options) -> NodeProcess:
    """A process of ours that runs something else: nothing takes seconds to start."""
    process = NodeProcess('frame_handler', log=log, **options)
    process.command = [sys.executable, '-c', source]
    return process


@pytest.mark.parametrize(
    'value',
    [
        2,
        2.0,
        1e-7,
        True,
        False,
        'text',
        '',
        '7',
        'true',
        "it's",
        'a: b # c',
        'back\\slash "quoted"',
        Path('/models/a checkpoint'),
    ],
)
def test_a_parameter_arrives_with_its_type_and_value(value):
    process = NodeProcess('frame_handler', {'given': value}, namespace='/left')
    arguments = process.command[process.command.index('--ros-args') :]
    context = Context()
    rclpy.init(args=arguments, context=context)
    try:
        node = Node(
            'reader', context=context, automatically_declare_parameters_from_overrides=True
        )
        arrived = node.get_parameter('given').value
        assert node.get_namespace() == '/left'
        node.destroy_node()
    finally:
        context.try_shutdown()
    expected = str(value) if isinstance(value, Path) else value
    assert arrived == expected
    assert type(arrived) is type(expected)


def test_names_are_remapped():
    process = NodeProcess('frame_handler', remappings={'image': '/front/image'})
    place = process.command.index('image:=/front/image')
    assert process.command[place - 1] == '-r'


def test_a_program_gets_its_own_arguments_before_those_of_ros():
    process = NodeProcess('replay_client', arguments=['clip.mp4', '--speed', '2'])
    assert process.command[1:6] == [
        '-m',
        'flash_vstream_ros.nodes.replay_client',
        'clip.mp4',
        '--speed',
        '2',
    ]
    assert process.command[6] == '--ros-args'


@pytest.mark.parametrize('program', [*PROGRAMS, 'replay_client'])
def test_a_program_has_the_environment_that_launch_gives_it(program, monkeypatch):
    for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(name, raising=False)
    environment = NodeProcess(program).environment
    assert str(fastdds_profile_path()) in environment.values()
    assert (environment.items() >= MALLOC_SETTINGS.items()) == (program != 'question_handler')
    assert environment['PATH'] == os.environ['PATH']


def test_a_variable_can_be_added_and_taken_away(monkeypatch):
    monkeypatch.setenv('FORMER', 'value')
    environment = {'FORMER': None, 'NEW': '1', 'FASTDDS_DEFAULT_PROFILES_FILE': None}
    given = NodeProcess('frame_handler', environment=environment).environment
    assert given['NEW'] == '1'
    assert not {'FORMER', 'FASTDDS_DEFAULT_PROFILES_FILE'} & set(given)


def test_a_process_is_stopped_as_ctrl_c_would(tmp_path):
    source = 'import time\nprint("ready", flush=True)\ntime.sleep(1000.0)'
    with python(tmp_path / 'log', source) as process:
        wait_until(lambda: 'ready' in process.output(), 'the process runs')
        assert not process.has_ended
        assert process.stop() == -signal.SIGINT
    assert 'KeyboardInterrupt' in process.output()
    assert process.has_ended


def test_a_process_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, 'STOP_TIMEOUT_S', 0.2)
    with python(tmp_path / 'log', STUBBORN) as process:
        wait_until(lambda: 'ready' in process.output(), 'the process runs')
        assert process.stop() == -signal.SIGKILL


def test_a_process_ends_when_the_block_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, 'STOP_TIMEOUT_S', 0.2)
    process = python(tmp_path / 'log', STUBBORN)

    def fail() -> None:
        with process:
            raise RuntimeError('the test fails')

    with pytest.raises(RuntimeError, match='the test fails'):
        fail()
    assert process.has_ended


def test_output_and_errors_go_to_the_log_behind_what_is_there(tmp_path):
    log = tmp_path / 'log'
    source = 'import sys\nprint("out", flush=True)\nsys.stderr.write("error")\nsys.exit(3)'
    for run in (1, 2):
        with python(log, source) as process:
            assert process.process.wait(TIMEOUT_S) == 3
        assert process.stop() == 3
        assert process.output() == 'out\nerror' * run


def test_a_node_that_cannot_start_ends_with_status_1_and_says_why(tmp_path):
    """The whole program, as a shell sees it; the reasons have tests of their own."""
    with NodeProcess('frame_handler', {'sample_rate': -1.0}, log=tmp_path / 'log') as process:
        assert process.process.wait(2 * TIMEOUT_S) == 1
    assert process.output().count('\n') == 1
    assert 'cannot start' in process.output()
    assert 'sample_rate' in process.output()
