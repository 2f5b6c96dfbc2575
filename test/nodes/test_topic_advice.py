# SPDX-License-Identifier: Apache-2.0
"""The nearest topic and the command that takes it. No ROS."""

import pytest

from flash_vstream_ros.nodes.environment import fastdds_profile_path
from flash_vstream_ros.nodes.topic_advice import (
    COMPRESSED,
    IMAGE,
    LAUNCH,
    how_to_keep_images,
    nearest_topics,
    start_command,
)


def test_the_nearest_name_comes_first_and_another_type_last():
    topics = {
        '/rear/depth/points': [IMAGE],
        '/camera/image_raw': [IMAGE],
        '/camera/image_rw/compressed': [COMPRESSED],
        '/front/image': [IMAGE, COMPRESSED],
    }
    assert nearest_topics('/camera/image_rw', IMAGE, topics) == [
        '/camera/image_raw',
        '/front/image',
        '/rear/depth/points',
        '/camera/image_rw/compressed',
    ]
    assert nearest_topics('/camera/image_rw', COMPRESSED, topics)[0].endswith('/compressed')
    assert nearest_topics('/camera/image_rw', IMAGE, {}) == []


@pytest.mark.parametrize(
    ('topic', 'kind', 'namespace', 'model', 'command'),
    [
        ('/cam/image', IMAGE, '/flash_vstream', '/m', f'{LAUNCH} model:=/m image:=/cam/image'),
        ('/cam', IMAGE, '/lab', '', f'{LAUNCH} model:=MODEL image:=/cam namespace:=lab'),
        ('/cam', IMAGE, '/', '/my m', f"{LAUNCH} model:='/my m' image:=/cam namespace:=/"),
        (
            '/cam/image/compressed',
            COMPRESSED,
            '/flash_vstream',
            '/m',
            f'{LAUNCH} model:=/m image:=/cam/image image_transport:=compressed',
        ),
        (
            '/cam/jpeg',
            COMPRESSED,
            '/lab',
            '/m',
            'ros2 run flash_vstream_ros frame_handler --ros-args -r __ns:=/lab -p model:=/m '
            '-r image/compressed:=/cam/jpeg -p image_transport:=compressed',
        ),
        # One of several cameras
        (
            '/cam',
            IMAGE,
            '/flash_vstream/rear',
            '/m',
            'ros2 run flash_vstream_ros frame_handler --ros-args -r __ns:=/flash_vstream/rear '
            '-p model:=/m -r image:=/cam',
        ),
    ],
)
def test_the_command_takes_the_topic_as_it_is(topic, kind, namespace, model, command):
    assert start_command(topic, kind, namespace, model) == command


def test_the_profile_is_named_for_each_release():
    said = how_to_keep_images()
    assert f'FASTDDS_DEFAULT_PROFILES_FILE={fastdds_profile_path()}' in said
    assert 'Jazzy FASTRTPS_DEFAULT_PROFILES_FILE' in said
