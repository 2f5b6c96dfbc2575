# SPDX-License-Identifier: Apache-2.0
"""What the doctor finds about nodes and images: each fault with what mends it. No ROS."""

from dataclasses import replace

import pytest
from doctor_samples import (
    ANSWERER,
    CAMERA,
    HANDLER,
    HEALTHY,
    PICTURES,
    S,
    found,
    says,
    with_images,
    with_machine,
    with_node,
)

from flash_vstream_ros.nodes.doctor_checks import diagnose
from flash_vstream_ros.nodes.doctor_facts import ERROR, OK, SKIP, WARN, ImageFacts, Process
from flash_vstream_ros.nodes.topic_advice import COMPRESSED, IMAGE


def test_of_a_healthy_robot_all_is_ok_and_nothing_is_to_be_mended():
    for finding in diagnose(HEALTHY):
        assert finding.level is OK, finding
        assert not finding.remedy


def test_the_findings_follow_the_way_of_the_data():
    checks = [finding.check for finding in diagnose(HEALTHY)]
    order = ['node', 'image topic', 'image rate', 'memory', 'ask', 'encoder', 'clock', 'versions']
    assert sorted(order, key=checks.index) == order


def test_a_missing_node_comes_with_the_launch():
    facts = with_node(count=0)
    says(facts, 'node', ERROR, HANDLER, 'ros2 launch flash_vstream_ros flash_vstream.launch.py')
    assert 'namespace:=' not in found(facts, 'node').remedy
    assert 'namespace:=lab' in found(replace(facts, namespace='/lab'), 'node').remedy


def test_a_node_that_runs_in_another_domain_comes_with_the_export():
    running = {'frame_handler': (Process(9, {'ROS_DOMAIN_ID': '5'}, None),)}
    facts = with_node(0, with_machine(programs=running), count=0)
    says(facts, 'node', ERROR, 'process 9', 'export ROS_DOMAIN_ID=5')


def test_a_node_that_runs_with_the_default_comes_with_what_this_shell_must_unset():
    running = {'frame_handler': (Process(9, {}, None),)}
    machine = {'programs': running, 'environment': {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}}
    facts = with_node(0, with_machine(**machine), count=0)
    says(facts, 'node', ERROR, 'unset RMW_IMPLEMENTATION')


def test_a_node_that_runs_here_but_is_not_seen_may_still_be_loading():
    running = {'frame_handler': (Process(9, {'ROS_DOMAIN_ID': '0'}, None),)}
    facts = with_node(0, with_machine(programs=running), count=0)
    says(facts, 'node', ERROR, 'process 9', 'loading its model')


def test_a_node_in_another_namespace_comes_with_the_option():
    facts = replace(with_node(count=0), other_namespaces={'frame_handler': ('/robot_2',)})
    says(facts, 'node', ERROR, '--namespace /robot_2')


def test_two_nodes_of_one_name_come_with_their_processes():
    twins = (Process(1, {}, None), Process(8, {}, None))
    says(with_node(1, count=2, processes=twins), 'node', ERROR, ANSWERER, 'kill -INT one of 1 8')


@pytest.mark.parametrize(
    ('state', 'command'),
    [
        ('inactive', f'ros2 lifecycle set {HANDLER} activate'),
        (
            'unconfigured',
            f'ros2 lifecycle set {HANDLER} configure && ros2 lifecycle set {HANDLER} activate',
        ),
        ('configuring', 'wait until it is active'),
        ('finalized', 'end its process (kill -INT 1); the launch file starts it again'),
        ('', 'restart it'),
    ],
)
def test_a_node_that_is_not_active_comes_with_the_transition(state, command):
    says(with_node(state=state), 'node', ERROR, command)


def test_a_node_without_a_lifecycle_is_taken_as_it_is():
    says(with_node(state=None), 'node', OK, HANDLER)


def test_a_frame_handler_that_takes_no_images_comes_with_the_call_that_enables_it():
    facts = replace(HEALTHY, images=(ImageFacts('', IMAGE, HANDLER),))
    says(facts, 'image topic', ERROR, f'{HANDLER}/set_enabled')
    says(with_node(0, facts, state='inactive'), 'image topic', SKIP, 'inactive')


@pytest.mark.parametrize(
    ('kind', 'command'),
    [
        (IMAGE, 'model:=/models/m image:=/camera/image'),
        (COMPRESSED, '-p model:=/models/m -r image/compressed:=/camera/image'),
    ],
)
def test_a_wrong_name_comes_with_the_nearest_and_its_command(kind, command):
    near = (('/camera/image', kind), ('/rear/image', IMAGE))
    facts = with_images(publishers=(), nearest=near, received=0)
    says(facts, 'image topic', ERROR, 'nearest topic with images is /camera/image (others: /rear')
    says(facts, 'image topic', ERROR, command)
    assert 'image rate' not in {finding.check for finding in diagnose(facts)}, 'it follows'


def test_without_any_images_the_domain_is_named():
    facts = with_images(publishers=(), nearest=(), received=0)
    says(facts, 'image topic', ERROR, 'no topic has images', 'ROS_DOMAIN_ID=0')


def test_a_topic_of_another_type_comes_with_both_types():
    facts = with_images(publishers=(replace(CAMERA, kind=COMPRESSED),))
    says(facts, 'image topic', ERROR, COMPRESSED, f'expected {IMAGE}')


def test_a_topic_that_was_asked_for_and_nobody_reads_comes_with_the_launch():
    other = replace(PICTURES, topic='/rear/image', reader='')
    facts = replace(HEALTHY, images=(PICTURES, other))
    says(facts, 'image topic', WARN, '/rear/image', 'image:=/rear/image')


def test_several_cameras_on_one_topic_come_with_the_handlers_they_want():
    rear = replace(CAMERA, node='/rear_driver')
    words = ('/driver, /rear_driver', 'one frame handler for each camera', 'cameras:=')
    says(with_images(publishers=(CAMERA, rear)), 'image topic', WARN, *words)
    words = ("['front', 'rear']", 'one frame handler for each camera')
    says(with_images(frame_ids=('front', 'rear')), 'image topic', WARN, *words)
    unheard = replace(rear, mismatches={HANDLER: 'Best effort publisher and ...'})
    says(with_images(publishers=(CAMERA, unheard)), 'image topic', OK, '/driver')


def test_quality_of_service_that_does_not_fit_is_named_for_each_reader():
    camera = replace(CAMERA, mismatches={HANDLER: 'Best effort publisher and ...'})
    facts = with_images(publishers=(camera,))
    says(facts, 'image QoS', ERROR, HANDLER, '/driver', 'Best effort', 'image_reliability:=auto')


def test_images_that_are_lost_come_with_the_profile():
    says(with_images(received=3, lost=117), 'image rate', ERROR, '117', 'PROFILES_FILE=')
    says(with_images(lost=2), 'image rate', WARN, '2 were lost')


def test_a_silent_camera_comes_with_the_profile_only_where_that_may_help():
    silent = {'received': 0, 'stamps_ns': (), 'rate_hz': 0.0, 'size_bytes': 0}
    says(with_images(**silent), 'image rate', ERROR, 'PROFILES_FILE=')
    facts = with_images(publishers=(replace(CAMERA, is_reliable=True),), **silent)
    assert 'PROFILES_FILE' not in found(facts, 'image rate').remedy


def test_a_camera_that_is_slower_than_what_is_memorised_is_named():
    says(with_images(rate_hz=0.5), 'image rate', WARN, '0.5 Hz', 'sample_rate (1 Hz)')


@pytest.mark.parametrize(
    ('segment_bytes', 'is_reliable', 'level'),
    [
        (70_000_000, False, OK),
        (549_408, False, ERROR),
        (549_408, True, WARN),
        (None, False, SKIP),
    ],
)
def test_an_image_must_fit_the_shared_memory_of_its_publisher(segment_bytes, is_reliable, level):
    process = Process(7, {}, segment_bytes)
    camera = replace(CAMERA, process=process, is_reliable=is_reliable)
    says(with_images(publishers=(camera,)), 'camera memory', level, '/driver')


@pytest.mark.parametrize(('segment_bytes', 'level'), [(549_408, ERROR), (70_000_000, OK)])
def test_where_no_image_arrives_at_all_the_shared_memory_still_tells(segment_bytes, level):
    camera = replace(CAMERA, process=Process(7, {}, segment_bytes))
    facts = with_images(publishers=(camera,), received=0, lost=90, size_bytes=0, stamps_ns=())
    says(facts, 'camera memory', level, 'images of unknown size')
    says(facts, 'image rate', ERROR, '90 were lost')


def test_a_profile_that_was_named_in_vain_is_said():
    environment = {'FASTRTPS_DEFAULT_PROFILES_FILE': '/lost.xml'}
    camera = replace(CAMERA, process=Process(7, environment, 549_408))
    facts = with_images(publishers=(camera,))
    says(facts, 'camera memory', ERROR, 'FASTRTPS_DEFAULT_PROFILES_FILE=/lost.xml', 'in vain')


def test_a_camera_elsewhere_cannot_be_looked_at():
    facts = with_images(publishers=(replace(CAMERA, process=None),))
    says(facts, 'camera memory', SKIP, "camera's machine")


def test_another_middleware_has_no_shared_memory_of_fast_dds():
    checks = {f.check for f in diagnose(with_machine(middleware='rmw_zenoh_cpp'))}
    assert not {'camera memory', 'shared memory'} & checks


def test_an_image_that_shows_no_picture_is_named():
    says(with_images(fault="image encoding '32FC1' is a depth"), 'image encoding', ERROR, '32FC1')


@pytest.mark.parametrize(
    ('stamps_ns', 'level', 'words'),
    [
        ((0, 0, 0), ERROR, '3 of 3 images'),
        ((S, S, S, S), ERROR, '3 of 4 images'),
        ((S, S, 2 * S, 3 * S, 4 * S), WARN, '1 of 5 images'),
        ((3 * S, 4 * S, 2 * S, 5 * S), WARN, 'go back 1 times'),
    ],
)
def test_stamps_that_are_zero_repeated_or_go_back_are_counted(stamps_ns, level, words):
    says(with_images(stamps_ns=stamps_ns), 'image stamps', level, words)


@pytest.mark.parametrize(
    ('offset_s', 'words'),
    [
        (3600.3, 'whole hours'),
        (-7200.0, 'whole hours'),
        (12.0, 'chronyc'),
        (1800.0, 'chronyc'),
        (-9e7, 'a recording?'),
    ],
)
def test_stamps_far_from_now_come_with_what_may_be_wrong(offset_s, words):
    says(with_images(offset_s=offset_s), 'image stamps', WARN, f'{offset_s:+.1f} s', words)


def test_stamps_are_not_compared_with_a_clock_that_is_not_there():
    says(with_images(offset_s=None), 'image stamps', SKIP, 'no clock')
