# SPDX-License-Identifier: Apache-2.0
"""What to do about an image topic that gives no images: nearest name, exact command. No ROS."""

import shlex
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from flash_vstream_ros.nodes.environment import fastdds_profile_path

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
LAUNCH = 'ros2 launch flash_vstream_ros flash_vstream.launch.py'
LAUNCH_NAMESPACE = 'flash_vstream'  # what the launch file takes where none is given


def nearest_topics(wanted: str, kind: str, topics: Mapping[str, Sequence[str]]) -> list[str]:
    """Sort topics by how near they are to one that nobody publishes.

    :param wanted: its name in full.
    :param kind: its type; topics of another type come last.
    :param topics: name -> types.
    :returns: the names, the nearest first.
    """

    def distance(name: str) -> tuple[bool, float, str]:
        likeness = SequenceMatcher(None, wanted, name, autojunk=False).ratio()
        return kind not in topics[name], -likeness, name

    return sorted(topics, key=distance)


def start_command(topic: str, kind: str, namespace: str, model: str) -> str:
    """Say how to start so that the images of a topic are taken.

    :param topic: its name in full.
    :param kind: its type, one of the two of images.
    :param namespace: of the frame handler.
    :param model: of the nodes; empty where it is not known.
    :returns: a command line that starts both nodes; for the frame handler alone where it is one
        of several (its namespace lies in another), or the launch file cannot make the name.
    """
    namespace, model = namespace.strip('/'), shlex.quote(model or 'MODEL')
    is_compressed = kind == COMPRESSED
    transport = 'image_transport:=compressed'
    if '/' in namespace or (is_compressed and not topic.endswith('/compressed')):
        name = f'image/compressed:={topic} -p {transport}' if is_compressed else f'image:={topic}'
        return (
            f'ros2 run flash_vstream_ros frame_handler --ros-args -r __ns:=/{namespace} '
            f'-p model:={model} -r {name}'
        )
    words = [LAUNCH, f'model:={model}']
    if is_compressed:
        words += [f'image:={topic.removesuffix("/compressed")}', transport]
    else:
        words += [f'image:={topic}']
    if namespace != LAUNCH_NAMESPACE:
        words.append(f'namespace:={namespace or "/"}')
    return ' '.join(words)


def how_to_keep_images() -> str:
    """Say how to start a camera driver whose best-effort images get lost."""
    return (
        'start the camera driver with '
        f'FASTDDS_DEFAULT_PROFILES_FILE={fastdds_profile_path()} (on ROS 2 Jazzy '
        'FASTRTPS_DEFAULT_PROFILES_FILE), or let it publish reliable images'
    )
