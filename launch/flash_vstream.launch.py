# SPDX-License-Identifier: Apache-2.0
"""Both nodes on one machine.

`ros2 launch flash_vstream_ros flash_vstream.launch.py model:=FOLDER image:=/camera/image_raw`

An argument left empty leaves the parameter to `params_file`, and what that does not set to the
node's own default, so that every default is written once, in the node.

Several cameras: `cameras:='front=/front/image_raw rear=/rear/image_raw'` starts a frame handler
for each, `front/frame_handler` and `rear/frame_handler`, and one question handler over all.
"""

from collections.abc import Mapping

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from flash_vstream_ros.nodes.environment import (
    PACKAGE,
    frame_handler_environment,
    question_handler_environment,
)

# Parameter -> its type. The first group goes to both nodes, the others to one of them.
BOTH = {'model': str, 'device': str, 'dtype': str, 'use_sim_time': bool, 'autostart': bool}
FRAME_HANDLER = {'image_transport': str, 'sample_rate': float, 'pose_frame': str}
QUESTION_HANDLER = {'quantization': str, 'decoder_url': str}

PARAMETERS = {
    'model': 'checkpoint: a folder in the published layout, or a hub id',
    'device': 'torch device, as cuda:0 or cpu',
    'dtype': 'number type of the model: float32, float16 or bfloat16',
    'image_transport': 'raw or compressed',
    'sample_rate': 'frames memorised per second of stamp time (Hz)',
    'pose_frame': 'TF frame, as map, in which it is remembered where the camera was',
    'quantization': 'of the weights of the language model: none, int8 or nf4 (4 bits)',
    'decoder_url': 'of a server that has the language model, as http://host:8000/v1',
    'use_sim_time': 'take the time from /clock: true or false',
    'autostart': 'configure and activate by themselves; false: a lifecycle manager does',
}
RESPAWN_DELAY_S = 2.0


def declared_arguments() -> list[DeclareLaunchArgument]:
    """Declare every argument with its meaning.

    :returns: the declarations.
    """
    onboard = PathJoinSubstitution([FindPackageShare(PACKAGE), 'config', 'onboard.yaml'])
    others = {
        'image': ('image', 'topic of the camera, as /camera/image_raw; of its raw images, also '
                  'where image_transport is compressed'),
        'cameras': ('', 'in place of image, for several: NAME=TOPIC, separated by spaces'),
        'namespace': ('flash_vstream', 'namespace of both nodes'),
        'params_file': (onboard, 'YAML file of parameters'),
        'log_level': ('', 'debug, info, warn or error; empty: as ROS has it'),
        'one_process': ('false', 'true: both nodes in one process, which takes less memory'),
        'enclaves': ('false', 'true: each node in an enclave of SROS 2 that is called like it, as '
                     '/flash_vstream/frame_handler'),
        'respawn': ('true', 'true: a node that ended is started again after 2 s'),
    }  # fmt: skip
    return [
        *(
            DeclareLaunchArgument(
                name, default_value='', description=f"{text}; empty: the node's default"
            )
            for name, text in PARAMETERS.items()
        ),
        *(
            DeclareLaunchArgument(name, default_value=default, description=text)
            for name, (default, text) in others.items()
        ),
    ]


def given_parameters(context: LaunchContext, types: dict[str, type]) -> dict[str, ParameterValue]:
    """Collect the parameters that were given as arguments.

    :param types: parameter -> its type, so that a model named 7 stays a text.
    :returns: parameter -> value.
    """
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=type_)
        for name, type_ in types.items()
        if context.launch_configurations[name]
    }


def given_cameras(context: LaunchContext) -> dict[str, str]:
    """Read the argument `cameras`.

    :returns: name -> image topic; nothing where `image` names the only one.
    :raises ValueError: an entry is no NAME=TOPIC, or cannot be served.
    """
    cameras = {}
    for entry in context.launch_configurations['cameras'].split():
        name, _, topic = entry.partition('=')
        if not name.isidentifier() or not topic or name in cameras:
            raise ValueError(f'cameras: expected NAME=TOPIC with different names, got {entry!r}')
        cameras[name] = topic
    if cameras and is_true(context, 'one_process'):
        raise ValueError('cameras: expected one_process:=false with several cameras, got true')
    return cameras


def is_true(context: LaunchContext, name: str) -> bool:
    """Read an argument that is true or false.

    :raises ValueError: it is neither.
    """
    value = context.launch_configurations[name]
    if value not in ('true', 'false'):
        raise ValueError(f'{name}: expected true or false, got {value!r}')
    return value == 'true'


def shared(context: LaunchContext, node: str) -> dict[str, object]:
    """Collect what all nodes have in common.

    :param node: its name, below the namespace.
    :returns: arguments of its action.
    """
    given = context.launch_configurations
    arguments = ['--log-level', given['log_level']] if given['log_level'] else []
    if is_true(context, 'enclaves'):
        names = [given['namespace'].strip('/'), node]
        arguments += ['--enclave', '/' + '/'.join(filter(None, names))]
    return {
        'package': PACKAGE,
        'output': 'screen',
        'respawn': is_true(context, 'respawn'),
        'respawn_delay': RESPAWN_DELAY_S,
        'ros_arguments': arguments,
    }


def remappings(image: object) -> list[tuple[str, object]]:
    """Name the camera's topics: raw images, and compressed ones behind them.

    :returns: pairs of from and to.
    """
    return [('image', image), ('image/compressed', [image, '/compressed'])]


def frame_handler(context: LaunchContext, camera: str, image: object) -> Node:
    """Make the frame handler of one camera.

    :param camera: its name, for a namespace of its own; empty: the only one.
    :returns: the node.
    """
    namespace = [LaunchConfiguration('namespace'), *(['/', camera] if camera else [])]
    return Node(
        executable='frame_handler',
        name='frame_handler',
        namespace=namespace,
        parameters=[
            LaunchConfiguration('params_file'),
            given_parameters(context, BOTH | FRAME_HANDLER),
        ],
        remappings=remappings(image),
        additional_env=frame_handler_environment(context.environment),
        **shared(context, f'{camera}/frame_handler' if camera else 'frame_handler'),
    )


def question_handler(context: LaunchContext, cameras: Mapping[str, str]) -> Node:
    """Make the question handler over the memories of all cameras.

    :returns: the node.
    """
    memories = {'memories': [f'{camera}/memory' for camera in cameras]} if cameras else {}
    return Node(
        executable='question_handler',
        name='question_handler',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            given_parameters(context, BOTH | QUESTION_HANDLER) | memories,
        ],
        additional_env=question_handler_environment(context.environment),
        **shared(context, 'question_handler'),
    )


def one_process(context: LaunchContext) -> Node:
    """Make both nodes in one process.

    :returns: the process; it has no node name, because it holds two.
    """
    return Node(
        executable='one_process',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            given_parameters(context, BOTH | FRAME_HANDLER | QUESTION_HANDLER),
        ],
        remappings=remappings(LaunchConfiguration('image')),
        additional_env=question_handler_environment(context.environment),
        **shared(context, 'one_process'),
    )


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the nodes from the arguments as they were given.

    :returns: the frame handlers and the question handler, or both in one process.
    """
    cameras = given_cameras(context)
    if is_true(context, 'one_process'):
        return [one_process(context)]
    images = cameras or {'': LaunchConfiguration('image')}
    return [
        *(frame_handler(context, camera, image) for camera, image in images.items()),
        question_handler(context, cameras),
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch of both nodes.

    :returns: the arguments, then the nodes made from them.
    """
    return LaunchDescription([*declared_arguments(), OpaqueFunction(function=nodes)])
