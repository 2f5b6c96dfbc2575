# SPDX-License-Identifier: Apache-2.0
"""The environment of each process, and that images which Fast DDS alone loses arrive with it."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from flash_vstream_ros.nodes.environment import (
    MALLOC_SETTINGS,
    camera_environment,
    fastdds_profile_path,
    question_handler_environment,
)

FUNCTIONS = [camera_environment, question_handler_environment]
NAMESPACE = {'dds': 'http://www.eprosima.com'}
IMAGES = 20

# Takes images of 1280x720 until all have come or none has come for a while; prints how many came.
SUBSCRIBER = f"""
import time, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from flash_vstream_ros.nodes.running import initialised

with initialised():
    node = rclpy.create_node('subscriber')
    arrived, latest = [], [time.monotonic() + 30.0]

    def keep(message):
        arrived.append(message.header.frame_id)
        latest[0] = time.monotonic()

    node.create_subscription(Image, 'image', keep, qos_profile_sensor_data)
    print('ready', flush=True)
    while len(arrived) < {IMAGES} and time.monotonic() < latest[0] + 3.0:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(len(arrived), flush=True)
"""

PUBLISHER = f"""
import time, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from flash_vstream_ros.nodes.running import initialised

with initialised():
    node = rclpy.create_node('publisher')
    publisher = node.create_publisher(Image, 'image', qos_profile_sensor_data)
    while publisher.get_subscription_count() == 0:
        time.sleep(0.05)
    time.sleep(0.5)
    image = Image(width=1280, height=720, step=3840, encoding='rgb8', data=bytes(3840 * 720))
    for number in range({IMAGES}):
        image.header.frame_id = str(number)
        publisher.publish(image)
        time.sleep(1 / 30)
    time.sleep(1.0)
"""


def test_the_profile_gives_shared_memory_for_images_and_the_network_for_other_machines():
    root = ET.parse(fastdds_profile_path()).getroot()
    transports = {
        item.findtext('dds:transport_id', namespaces=NAMESPACE): item
        for item in root.iterfind('.//dds:transport_descriptor', NAMESPACE)
    }
    types = [item.findtext('dds:type', namespaces=NAMESPACE) for item in transports.values()]
    assert sorted(types) == ['SHM', 'UDPv4']
    sizes = [
        int(item.findtext('dds:segment_size', namespaces=NAMESPACE))
        for item in transports.values()
        if item.findtext('dds:type', namespaces=NAMESPACE) == 'SHM'
    ]
    # Several images of 1920x1080 at once
    assert sizes[0] >= 8 * 1920 * 1080 * 3

    participant = root.find('.//dds:participant', NAMESPACE)
    assert participant.get('is_default_profile') == 'true'
    used = participant.iterfind('.//dds:userTransports/dds:transport_id', NAMESPACE)
    assert {item.text for item in used} == set(transports)
    # Else Fast DDS would add its own small segment beside.
    assert participant.findtext('.//dds:useBuiltinTransports', namespaces=NAMESPACE) == 'false'


def test_where_nothing_is_sourced_the_profile_of_the_source_tree_is_found(monkeypatch, repository):
    monkeypatch.delenv('AMENT_PREFIX_PATH', raising=False)
    assert fastdds_profile_path().samefile(repository / 'config' / 'fastdds.xml')


@pytest.mark.parametrize('function', FUNCTIONS)
@pytest.mark.parametrize(
    ('distribution', 'variable'),
    [
        ('jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('kilted', 'FASTDDS_DEFAULT_PROFILES_FILE'),
        ('rolling', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ],
)
def test_the_profile_is_named_in_the_one_variable_that_the_distribution_reads(
    function, distribution, variable
):
    added = function({'ROS_DISTRO': distribution})
    profiles = {name: value for name, value in added.items() if name.endswith('PROFILES_FILE')}
    assert profiles == {variable: str(fastdds_profile_path())}


@pytest.mark.parametrize('function', FUNCTIONS)
@pytest.mark.parametrize(
    'variable', ['FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE']
)
def test_a_profile_of_the_users_own_stays(function, variable):
    added = function({variable: '/robot/profile.xml', 'ROS_DISTRO': 'kilted'})
    assert not [name for name in added if name.endswith('PROFILES_FILE')]


def test_malloc_settings_of_the_users_own_stay():
    added = camera_environment({'MALLOC_TOP_PAD_': '1'})
    assert set(added) & set(MALLOC_SETTINGS) == set(MALLOC_SETTINGS) - {'MALLOC_TOP_PAD_'}


def test_malloc_settings_are_for_the_processes_of_images_only():
    assert MALLOC_SETTINGS.items() <= camera_environment({}).items()
    assert not set(MALLOC_SETTINGS) & set(question_handler_environment({}))


def test_without_an_argument_the_environment_of_this_process_counts(monkeypatch):
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', '/robot/profile.xml')
    monkeypatch.setenv('MALLOC_TOP_PAD_', '1')
    for function in FUNCTIONS:
        assert not {'FASTDDS_DEFAULT_PROFILES_FILE', 'MALLOC_TOP_PAD_'} & set(function())


def test_every_best_effort_image_arrives_between_two_processes():
    pytest.importorskip('rclpy')
    subscriber = subprocess.Popen(
        [sys.executable, '-c', SUBSCRIBER],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | camera_environment(),
    )
    try:
        assert subscriber.stdout.readline() == 'ready\n'
        subprocess.run(
            [sys.executable, '-c', PUBLISHER],
            check=True,
            env=os.environ | camera_environment(),
            timeout=60,
        )
        output, _ = subscriber.communicate(timeout=60)
    finally:
        subscriber.kill()
    assert int(output) == IMAGES
