# SPDX-License-Identifier: Apache-2.0
"""Both nodes on one machine.

`ros2 launch flash_vstream_ros flash_vstream.launch.py model:=FOLDER image:=/camera/image_raw`

Every parameter of the nodes is an argument. One left empty leaves the parameter to `params_file`,
and what that does not set to the node's own default, so that every default is written once.

Several cameras: `cameras:='front=/front/image_raw rear=/rear/image_raw'` starts a frame handler
for each, `front/frame_handler` and `rear/frame_handler`, and one question handler over all.
"""

from collections.abc import Mapping
from dataclasses import Field, fields

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from flash_vstream_ros.core.config import FrameHandlerConfig, QuestionHandlerConfig
from flash_vstream_ros.nodes.environment import (
    PACKAGE,
    camera_environment,
    question_handler_environment,
)

# Parameter -> its field: every one that a node has is an argument here.
FRAME_HANDLER = {item.name: item for item in fields(FrameHandlerConfig)}
QUESTION_HANDLER = {item.name: item for item in fields(QuestionHandlerConfig)}
del QUESTION_HANDLER['memories']  # follow from `cameras`
BOTH = FRAME_HANDLER.keys() & QUESTION_HANDLER.keys()
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
        'use_sim_time': ('', 'take the time from /clock: true or false; empty: false'),
        'shutdown_timeout': ('60', 'seconds for a node to save its memory and end, after the 5 s '
                             'between SIGINT and SIGTERM, before it is killed'),
        'respawn': ('true', 'true: a node that ended is started again after 2 s'),
    }  # fmt: skip
    return [
        *(
            DeclareLaunchArgument(name, default_value='', description=describe(item))
            for name, item in (FRAME_HANDLER | QUESTION_HANDLER).items()
        ),
        *(
            DeclareLaunchArgument(name, default_value=default, description=text)
            for name, (default, text) in others.items()
        ),
    ]


def describe(item: Field) -> str:
    """Describe the argument of a node's parameter.

    :returns: its meaning, unit, default, and which node has it.
    """
    unit = f' [{item.metadata["unit"]}]' if item.metadata['unit'] else ''
    node = 'question handler' if item.name in QUESTION_HANDLER else 'frame handler'
    owner = 'both nodes' if item.name in BOTH else node
    return f'{owner}: {item.metadata["meaning"]}{unit}; empty: {item.default!r}, or params_file'


def given_parameters(context: LaunchContext, known: Mapping[str, Field]) -> dict[str, object]:
    """Collect the parameters that were given as arguments.

    :param known: parameter -> its field, for its type, so that a model named 7 stays a text.
    :returns: parameter -> value.
    """
    types = {name: type(item.default) for name, item in known.items()} | {'use_sim_time': bool}
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
        'sigkill_timeout': LaunchConfiguration('shutdown_timeout'),
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
    namespace = context.launch_configurations['namespace']
    if camera:
        namespace = f'{namespace.rstrip("/")}/{camera}'
    given = given_parameters(context, FRAME_HANDLER)
    if camera and 'memory_folder' in given:  # each its own: their files have the same names
        folder = PathJoinSubstitution([LaunchConfiguration('memory_folder'), camera])
        given['memory_folder'] = ParameterValue(folder, value_type=str)
    return Node(
        executable='frame_handler',
        name='frame_handler',
        namespace=namespace,
        parameters=[
            LaunchConfiguration('params_file'),
            given,
        ],
        remappings=remappings(image),
        additional_env=camera_environment(context.environment),
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
            given_parameters(context, QUESTION_HANDLER) | memories,
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
            given_parameters(context, FRAME_HANDLER | QUESTION_HANDLER),
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
