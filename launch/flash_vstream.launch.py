# SPDX-License-Identifier: Apache-2.0
"""Both nodes on one machine.

`ros2 launch flash_vstream_ros flash_vstream.launch.py model:=FOLDER image:=/camera/image_raw`

An argument left empty leaves the parameter to `params_file`, and what that does not set to the
node's own default, so that every default is written once, in the node.
"""

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

# Parameter -> its type. The first group goes to both nodes, the second to the frame handler only.
BOTH = {'model': str, 'device': str, 'dtype': str, 'use_sim_time': bool}
FRAME_HANDLER = {'image_transport': str, 'sample_rate': float}

PARAMETERS = {
    'model': 'checkpoint: a folder in the published layout, or a hub id',
    'device': 'torch device, as cuda:0 or cpu',
    'dtype': 'number type of the model: float32, float16 or bfloat16',
    'image_transport': 'raw or compressed',
    'sample_rate': 'frames memorised per second of stamp time (Hz)',
    'use_sim_time': 'take the time from /clock: true or false',
}


def declared_arguments() -> list[DeclareLaunchArgument]:
    """Declare every argument with its meaning.

    :returns: the declarations.
    """
    onboard = PathJoinSubstitution([FindPackageShare(PACKAGE), 'config', 'onboard.yaml'])
    others = {
        'image': ('image', 'topic of the camera, as /camera/image_raw; of its raw images, also '
                  'where image_transport is compressed'),
        'namespace': ('flash_vstream', 'namespace of both nodes'),
        'params_file': (onboard, 'YAML file of parameters'),
        'log_level': ('', 'debug, info, warn or error; empty: as ROS has it'),
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


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make both nodes from the arguments as they were given.

    :returns: the frame handler and the question handler.
    """
    log_level = context.launch_configurations['log_level']
    image = LaunchConfiguration('image')
    shared = {
        'package': PACKAGE,
        'namespace': LaunchConfiguration('namespace'),
        'output': 'screen',
        'ros_arguments': ['--log-level', log_level] if log_level else [],
    }
    params_file = LaunchConfiguration('params_file')
    return [
        Node(
            executable='frame_handler',
            name='frame_handler',
            parameters=[params_file, given_parameters(context, BOTH | FRAME_HANDLER)],
            remappings=[('image', image), ('image/compressed', [image, '/compressed'])],
            additional_env=frame_handler_environment(context.environment),
            **shared,
        ),
        Node(
            executable='question_handler',
            name='question_handler',
            parameters=[params_file, given_parameters(context, BOTH)],
            additional_env=question_handler_environment(context.environment),
            **shared,
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch of both nodes.

    :returns: the arguments, then the nodes made from them.
    """
    return LaunchDescription([*declared_arguments(), OpaqueFunction(function=nodes)])
