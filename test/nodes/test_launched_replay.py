# SPDX-License-Identifier: Apache-2.0
"""How launches end: a replay with its client or with a node that fails; nodes that save first."""

import importlib.util

import pytest

pytest.importorskip('launch')
pytest.importorskip('launch_ros')

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument
from launch.utilities import perform_substitutions
from launching import BOTH, REPLAY

from flash_vstream_ros.nodes.environment import MALLOC_SETTINGS


def test_replay_starts_a_client_in_the_cameras_place_and_ends_with_it(launch):
    arguments = ['recording:=a bag', 'topic:=/camera', 'out:=answers.jsonl', 'image:=/front']
    programs = launch(REPLAY, *arguments)
    assert set(programs) == {'frame_handler', 'question_handler', 'replay_client'}
    client = programs['replay_client']
    assert client.words[:5] == ['a bag', '--topic', '/camera', '--out', 'answers.jsonl']
    assert client.remaps['__ns'] == '/flash_vstream'
    for name in ('image', 'image/compressed'):
        assert client.remaps[name] == programs['frame_handler'].remaps[name]
    assert MALLOC_SETTINGS.items() <= client.environment.items()


def test_a_replay_whose_client_failed_has_failed(launch):
    launch(REPLAY, 'recording:=missing', status=1, RECORDER_STATUS='1')


@pytest.mark.parametrize('program', ['frame_handler', 'question_handler'])
def test_a_node_that_cannot_start_ends_the_replay_as_failed(launch, program):
    """Its client would wait for it for half an hour."""
    launch(REPLAY, 'recording:=a bag', status=1, RECORDER_FAILS=program)
    assert f'{program} ended with exit status 1 before the replay did' in launch.output


def test_several_cameras_of_a_replay_are_refused(launch):
    programs = launch(REPLAY, 'recording:=a bag', 'cameras:=front=/front', status=1)
    assert not programs
    assert "cameras: expected none, as a replay has one camera, got 'front=/front'" in (
        launch.output
    )


@pytest.mark.parametrize('one_process', ['false', 'true'])
def test_nodes_have_time_to_save_before_they_are_killed(repository, one_process):
    """launch itself grants 5 s before SIGTERM, which stops no save, and 5 s more."""
    spec = importlib.util.spec_from_file_location('both', repository / 'launch' / BOTH)
    both = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(both)
    context = LaunchContext()
    context.launch_configurations['one_process'] = one_process
    for entity in both.generate_launch_description().entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    for seconds in ('60', '7.5'):
        context.launch_configurations['shutdown_timeout'] = seconds
        for node in both.nodes(context):
            assert perform_substitutions(context, node.sigkill_timeout) == seconds
