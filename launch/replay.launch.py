# SPDX-License-Identifier: Apache-2.0
"""A recording in, answers out.

`ros2 launch flash_vstream_ros replay.launch.py recording:=BAG model:=FOLDER out:=answers.jsonl`

Both nodes of flash_vstream.launch.py, with all its arguments, and a client that publishes the
frames of a recording as a camera would and asks the questions at their times. All end with it.
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from flash_vstream_ros.nodes.environment import PACKAGE, camera_environment

CLIENT = 'replay_client'
OPTIONS = {
    'topic': 'image topic of the bag; needed where it has several',
    'questions': 'JSON file of questions with their times; empty: one at the end',
    'speed': 'times as fast as recorded; empty: 1',
    'out': 'JSON lines file for the answers; empty: only printed',
    'picture': 'PNG file for a picture of the memory; empty: none',
}


def finish(event: ProcessExited, context: LaunchContext) -> EmitEvent:
    """End the launch after the client, as failed where the client failed.

    :raises RuntimeError: if the client failed; `ros2 launch` then fails too.
    """
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(
            f'replay_client ended with exit status {event.returncode}; its messages above say why'
        )
    return EmitEvent(event=Shutdown(reason='the recording is over'))


def check_nodes(event: ProcessExited, context: LaunchContext) -> None:
    """End the launch as failed where a node has ended: the client would wait for it.

    :raises RuntimeError: one has; `ros2 launch` then fails too.
    """
    program = event.action.node_executable
    if not context.is_shutdown and program != CLIENT:
        raise RuntimeError(
            f'{program} ended with exit status {event.returncode} before the replay '
            f'did; its messages above say why'
        )


def check_cameras(context: LaunchContext) -> None:
    """Check that one camera is replayed.

    :raises ValueError: `cameras` asks for several.
    """
    cameras = context.launch_configurations.get('cameras', '')
    if cameras:
        raise ValueError(
            f'cameras: expected none, as a replay has one camera, got {cameras!r}: leave it out, '
            f'and choose the topic of a recording with topic:='
        )


def client(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the client from the arguments as they were given.

    :returns: the client, which takes the camera's place.
    """
    given = {name: context.launch_configurations[name] for name in OPTIONS}
    options = [word for name, value in given.items() if value for word in (f'--{name}', value)]
    if context.launch_configurations['in_step'] == 'true':
        options.append('--in-step')
    image = LaunchConfiguration('image')
    return [
        Node(
            package=PACKAGE,
            executable=CLIENT,
            name=CLIENT,
            namespace=LaunchConfiguration('namespace'),
            output='screen',
            arguments=[LaunchConfiguration('recording'), *options],
            remappings=[('image', image), ('image/compressed', [image, '/compressed'])],
            additional_env=camera_environment(context.environment),
            on_exit=finish,
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the replay of a recording.

    :returns: the arguments, both nodes, and the client.
    """
    both = PathJoinSubstitution([FindPackageShare(PACKAGE), 'launch', 'flash_vstream.launch.py'])
    return LaunchDescription(
        [
            DeclareLaunchArgument('recording', description='video file or folder of a rosbag2'),
            *(
                DeclareLaunchArgument(name, default_value='', description=text)
                for name, text in OPTIONS.items()
            ),
            DeclareLaunchArgument(
                'in_step',
                default_value='false',
                choices=['true', 'false'],
                description='true: lose nothing, however slow the machine; speed does not count',
            ),
            OpaqueFunction(function=check_cameras),
            RegisterEventHandler(OnProcessExit(on_exit=check_nodes)),
            IncludeLaunchDescription(both, launch_arguments=[('respawn', 'false')]),
            OpaqueFunction(function=client),
        ]
    )
