# SPDX-License-Identifier: Apache-2.0
"""The doctor looks at live nodes and processes: of each fault it names what mends it.

A machine may be so busy that one look does not find everything: it looks again until it does.
"""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
import rclpy
from eyes import BEST_EFFORT, RELIABLE, Eyes, offer, start_driver
from flash_vstream_ros.msg import MemorySnapshot
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from robots import PROGRAMS, Robot, SpunNode, image_message, picture
from rosgraph_msgs.msg import Clock

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.nodes import doctor_gathering
from flash_vstream_ros.nodes.doctor_checks import diagnose
from flash_vstream_ros.nodes.doctor_facts import ERROR, OK, SKIP, WARN, Finding, Level
from flash_vstream_ros.nodes.doctor_gathering import Gathering, Options
from flash_vstream_ros.nodes.environment import camera_environment, fastdds_profile_path
from flash_vstream_ros.nodes.qos import LATCHED

DOCTOR = [sys.executable, '-m', 'flash_vstream_ros', 'doctor']
PATIENCE_S = 120.0  # nobody waits this long but a test that fails
WATCH_S = 2.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Most robots here lack a node: a doctor who looks again need not wait long for it."""
    monkeypatch.setattr(doctor_gathering, 'FIND_TIMEOUT_S', 1.5)


def look(namespace: str, **options: object) -> list[Finding]:
    """Let the doctor look once, from a participant of its own."""
    context = Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node('_doctor', context=context, namespace=namespace, use_global_arguments=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        options = Options(**{'seconds': WATCH_S} | options)
        return diagnose(Gathering(node, executor, options).facts())
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def look_until(namespace: str, *wanted: tuple, **options: object) -> None:
    """Let the doctor look until it finds in one look all that it must.

    :param wanted: (check, level, *words) each; the words are in the text or the remedy.
    """
    ends = time.monotonic() + PATIENCE_S
    while True:
        findings = look(namespace, **options)
        if all(any(is_it(finding, *want) for finding in findings) for want in wanted):
            return
        assert time.monotonic() < ends, f'{wanted}: {findings}'


def is_it(finding: Finding, check: str, level: Level, *words: str) -> bool:
    said = f'{finding.text} -> {finding.remedy}'
    return (finding.check, finding.level) == (check, level) and all(w in said for w in words)


@pytest.fixture
def handler(namespace):
    """A node of the frame handler's name, without its work."""
    handler = SpunNode(namespace, 'frame_handler')
    yield handler
    handler.close()


@pytest.fixture
def answerer(namespace):
    """A node of the question handler's name, without its work."""
    answerer = SpunNode(namespace, 'question_handler')
    yield answerer
    answerer.close()


@pytest.fixture
def process():
    """Keeps a process and ends it."""
    kept = []
    yield kept.append
    for process in kept:
        process.kill()
        process.communicate()


def test_of_a_healthy_robot_all_checks_are_ok_and_the_exit_status_is_0(blind_robot, process):
    """A real camera driver, both nodes, and the doctor, each a process of its own."""
    robot = blind_robot
    arguments = ('--size', '320', '240', '--rate', '15', '--seconds', '600')
    process(start_driver(f'{robot.namespace}/image', camera_environment(), *arguments))
    ends = time.monotonic() + PATIENCE_S
    while True:
        done = subprocess.run(
            [*DOCTOR, '--namespace', robot.namespace, '--json'],
            env=os.environ | {'PYTHONSAFEPATH': '1', 'OMP_NUM_THREADS': '1'},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        report = json.loads(done.stdout)
        wrong = [f for f in report['findings'] if f['level'] != 'OK']
        if not wrong:
            break
        assert time.monotonic() < ends, (wrong, done.stderr)
    assert done.returncode == 0
    assert report['level'] == 'OK'
    said = {finding['check']: finding['text'] for finding in report['findings']}
    expected = {'node', 'image topic', 'image QoS', 'image rate', 'camera memory', 'image stamps'}
    expected |= {'memory', 'ask', 'encoder', 'clock', 'model', 'malloc', 'settings', 'versions'}
    assert expected <= said.keys()
    assert '320 x 240 rgb8, 0.23 MB' in said['image rate']
    assert robot.memory.encoder_id in said['encoder']


def test_without_any_node_the_exit_status_is_1_and_the_text_is_for_people(namespace, capsys):
    assert main(['doctor', '--namespace', namespace, '--seconds', '0.1']) == 1
    out = capsys.readouterr().out
    assert f'ERROR  node           {namespace}/frame_handler is not there\n' in out
    assert f'no question handler to serve {namespace}/ask' in out
    assert out.splitlines()[-1].startswith('errors: 3, ')


@pytest.mark.parametrize('words', [['--image', 'a b'], ['--namespace', '1 2']])
def test_a_name_that_ros_does_not_allow_is_wrong_use(words, capsys):
    assert main(['doctor', *words]) == 2
    assert words[1] in capsys.readouterr().err


def test_of_a_wrong_topic_name_the_nearest_is_named_with_the_launch(handler, driver, namespace):
    offer(driver, topic='imag')
    Eyes(handler)
    nearest = f'the nearest topic with images is {namespace}/imag'
    launch = f'flash_vstream.launch.py model:=MODEL image:={namespace}/imag namespace:='
    look_until(namespace, ('image topic', ERROR, f'{namespace}/image;', nearest, launch))


def test_a_topic_that_is_asked_for_is_looked_at_as_well(handler, driver, namespace):
    offer(driver, topic='picture')
    Eyes(handler)
    image = f'{namespace}/picture'
    words = (image, 'no frame handler takes it')
    look_until(namespace, ('image topic', WARN, *words), image=image)


def test_without_a_frame_handler_it_is_missed_and_its_memory_as_well(namespace, answerer):
    look_until(
        namespace,
        ('node', ERROR, f'{namespace}/frame_handler is not there'),
        ('node', OK, f'{namespace}/question_handler'),
        ('memory', ERROR, f'{namespace}/memory'),
    )


def test_a_question_handler_of_another_model_is_named_with_both(
    namespace, checkpoint, other_checkpoint, tmp_path
):
    models = {'frame_handler': checkpoint, 'question_handler': other_checkpoint}
    parameters = {program: {'model': model} for program, model in models.items()}
    robot = Robot(tmp_path, namespace, parameters)
    try:
        robot.start(*PROGRAMS)
        words = (str(other_checkpoint), f'launch.py model:={checkpoint}')
        look_until(
            namespace,
            ('encoder', ERROR, 'expected a memory of encoder', *words),
            ('ask', ERROR, 'MODEL_ERROR'),
            ('model', OK, str(checkpoint)),
            ('model', OK, str(other_checkpoint)),
        )
    finally:
        robot.close()


def test_a_camera_that_offers_less_than_is_asked_for_is_named(handler, driver, namespace):
    Eyes(handler, image_reliability='reliable')
    offer(driver, reliability=BEST_EFFORT)
    words = (f'{namespace}/frame_handler', f'{namespace}/driver', 'image_reliability:=auto')
    look_until(namespace, ('image QoS', ERROR, 'Best effort publisher', *words))


def test_what_the_camera_offers_is_told_where_all_is_well(handler, driver, namespace):
    Eyes(handler)
    offer(driver, reliability=RELIABLE)
    look_until(namespace, ('image QoS', OK, f'{namespace}/driver reliable'))


def test_images_larger_than_the_shared_memory_of_a_best_effort_camera_get_lost(
    handler, namespace, process
):
    eyes = Eyes(handler)
    process(start_driver(eyes.camera.topic, {}, '--seconds', '600'))
    remedy = f'FASTDDS_DEFAULT_PROFILES_FILE={fastdds_profile_path()}'
    said = ('/driver (process ', 'best effort', remedy)  # and the size, if one came through
    look_until(namespace, ('camera memory', ERROR, *said))


def test_with_the_profile_they_fit(handler, namespace, process):
    eyes = Eyes(handler)
    process(start_driver(eyes.camera.topic, camera_environment(), '--seconds', '600'))
    look_until(namespace, ('camera memory', OK, 'images of 2.76 MB'))


def test_simulated_time_without_a_clock_is_said(simulated_robot):
    look_until(simulated_robot.namespace, ('clock', ERROR, 'nothing publishes /clock'))


def test_a_clock_that_stands_still_is_told_from_one_that_goes_on(handler, driver, namespace):
    handler.node.set_parameters([Parameter('use_sim_time', value=True)])
    publisher = driver.node.create_publisher(Clock, '/clock', 1)
    clock = Clock()
    clock.clock.sec = 100
    timer = driver.node.create_timer(0.05, lambda: publisher.publish(clock))
    look_until(namespace, ('clock', WARN, 'stands still'))

    def go_on() -> None:
        clock.clock.sec += 1
        publisher.publish(clock)

    driver.node.destroy_timer(timer)
    timer = driver.node.create_timer(0.05, go_on)
    look_until(namespace, ('clock', OK, '/clock went on'))
    driver.node.destroy_timer(timer)


def test_stamps_and_encodings_that_make_images_useless_are_said(handler, driver, namespace):
    Eyes(handler)
    publisher = offer(driver)
    image = image_message(picture(1), 0, encoding='32FC1')
    timer = driver.node.create_timer(0.1, lambda: publisher.publish(image))
    look_until(
        namespace,
        ('image stamps', ERROR, 'no stamp', 'header.stamp'),
        ('image encoding', ERROR, 'depth image'),
    )
    driver.node.destroy_timer(timer)


def test_a_node_that_nobody_activated_comes_with_the_transitions(namespace):
    context = Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = LifecycleNode('frame_handler', context=context, namespace=namespace)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    command = f'ros2 lifecycle set {namespace}/frame_handler'
    try:
        look_until(namespace, ('node', ERROR, f'{command} configure && {command} activate'))
        node.trigger_configure()
        look_until(
            namespace,
            ('node', ERROR, 'is inactive', f'{command} activate'),
            ('image topic', SKIP, 'inactive'),
        )
        node.trigger_activate()
        look_until(namespace, ('node', OK, 'there and active'))
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        context.try_shutdown()


def test_two_nodes_of_one_name_are_said_with_their_process(handler, namespace):
    twin = SpunNode(namespace, 'frame_handler')
    try:
        remedy = f'kill -INT one of {os.getpid()}'
        look_until(namespace, ('node', ERROR, '2 nodes are named', remedy))
    finally:
        twin.close()


def test_a_memory_that_its_reader_never_gets_is_said(handler, answerer, namespace):
    """As a bag plays it that was recorded otherwise."""
    handler.node.create_publisher(MemorySnapshot, 'memory', QoSProfile(depth=1))
    answerer.node.create_subscription(MemorySnapshot, 'memory', print, LATCHED)
    look_until(namespace, ('memory', ERROR, f'{namespace}/question_handler gets no memory'))
