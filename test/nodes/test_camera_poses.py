# SPDX-License-Identifier: Apache-2.0
"""Where the camera was: from TF into memories, answers and key frames, and saved with them."""

import sys
from pathlib import Path

import pytest
from flash_vstream_ros.srv import GetKeyFrames, SaveMemory
from geometry_msgs.msg import TransformStamped
from own_nodes import FilmedBy
from rclpy.qos import DurabilityPolicy, QoSProfile
from robots import S, wait_until

from flash_vstream_ros.nodes.camera_poses import CameraPoses
from flash_vstream_ros.nodes.conversions import ns_to_time, time_to_ns

STAND_IN = Path(__file__).parent / 'tf_stand_in'


@pytest.fixture
def start_with_tf(start, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(STAND_IN), prepend=':')
    return start


@pytest.fixture
def localiser(planner):
    """Publishes where the camera was at a second: x metres along, turned about z."""
    qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = planner.call(planner.node.create_publisher, TransformStamped, 'tf_stand_in', qos)

    def publish(second, x):
        message = TransformStamped(child_frame_id='lens')
        message.header.frame_id, message.header.stamp = 'map', ns_to_time(second * S)
        message.transform.translation.x = x
        message.transform.rotation.z, message.transform.rotation.w = 0.6, 0.8
        publisher.publish(message)

    return publish


def places(poses):
    """By second: x where the pose is known, else None."""
    return {
        time_to_ns(p.header.stamp) // S: p.pose.position.x if p.header.frame_id else None
        for p in poses
    }


def test_memories_answers_and_key_frames_say_where_and_go_on_after_a_restart(
    start_with_tf, planner, localiser, tmp_path
):
    settings = {
        'sample_rate': 0.0,
        'pose_frame': 'map',
        'memory_folder': tmp_path / 'memories',
        'restore_at_start': True,
    }
    process = start_with_tf('frame_handler', **settings)
    camera = FilmedBy(planner, frame_id='lens')
    camera.show(1)
    localiser(1, 1.5)  # later than its image, as a localiser does
    localiser(2, 2.5)
    camera.show(2)
    camera.show(3)  # nobody knows where

    def key_frames():
        response = planner.request(GetKeyFrames, 'frame_handler/get_key_frames')
        return places([frame.moment.pose for frame in response.key_frames])

    wait_until(lambda: key_frames() == {1: 1.5, 2: 2.5, 3: None}, 'the poses')
    camera.show(4)
    memory = camera.memories[-1]
    assert places(memory.temporal_poses)[1] == 1.5
    turned = memory.temporal_poses[0].pose.orientation
    assert (turned.x, turned.y, turned.z, turned.w) == (0.0, 0.0, 0.6, 0.8)
    assert memory.temporal_poses[0].header.frame_id == 'map'
    assert len(memory.retrieved_poses) == memory.retrieved_slots

    start_with_tf('question_handler')
    answer = planner.ask(min_stamp=ns_to_time(4 * S))
    assert places([moment.pose for moment in answer.moments])[2] == 2.5

    assert planner.request(SaveMemory, 'frame_handler/save_memory').success
    process.stop()
    start_with_tf('frame_handler', '', **settings)
    wait_until(lambda: key_frames() == {1: 1.5, 2: 2.5, 3: None, 4: None}, 'the poses restored')


def test_without_tf2_ros_it_is_said_what_to_install(monkeypatch, planner):
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)
    with pytest.raises(ValueError, match=r"pose_frame: 'map' needs the package tf2_ros_py.*apt"):
        CameraPoses(planner.node, 'map', print)
