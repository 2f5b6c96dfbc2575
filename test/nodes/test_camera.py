# SPDX-License-Identifier: Apache-2.0
"""The camera: quality of service as it offers, and silence that is explained."""

import os
import re
from functools import partial

import pytest
from asking import caught
from eyes import BEST_EFFORT, RELIABLE, Eyes, drive, offer, show_until
from flash_vstream_ros.msg import MemorySnapshot
from rclpy.qos import DurabilityPolicy, QoSProfile
from robots import S, SpunNode, image_message, picture, wait_until
from sensor_msgs.msg import CompressedImage, Image

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.nodes import camera
from flash_vstream_ros.nodes.environment import camera_environment, fastdds_profile_path
from flash_vstream_ros.nodes.topic_graph import published_images

DOMAIN_ID = 101 + int(os.environ.get('ROS_DOMAIN_ID', '0')) % 100  # scripts/test.sh takes 1 to 100


def test_images_are_passed_on_and_counted(spun, driver):
    eyes, publisher = Eyes(spun), offer(driver)
    wait_until(publisher.get_subscription_count, 'the camera is heard')
    show_until(publisher, lambda: len(eyes.images) > 3, 'images')
    assert eyes.camera.received == len(eyes.images)
    assert eyes.camera.lost == 0
    assert bytes(eyes.images[0].data) == picture(1).tobytes()


@pytest.fixture
def alone():
    """A node in a ROS domain without the robots of other tests, whose cameras might be nearer."""
    alone = SpunNode('/alone', domain_id=DOMAIN_ID)
    yield alone
    alone.close()


@pytest.fixture
def driver_beside():
    """A camera driver's node in the same domain."""
    driver = SpunNode('/alone', 'driver', domain_id=DOMAIN_ID)
    yield driver
    driver.close()


@pytest.mark.parametrize(
    ('transport', 'kind', 'topic', 'near', 'words'),
    [
        ('raw', Image, 'image', 'imag', 'image:=/alone/imag'),
        (
            'compressed',
            CompressedImage,
            'image/compressed',
            'imag/compressed',
            'image:=/alone/imag image_transport:=compressed',
        ),
        # Only the other type is to be had
        (
            'raw',
            CompressedImage,
            'image',
            'image/compressed',
            'image:=/alone/image image_transport:=compressed',
        ),
    ],
)
def test_of_a_topic_that_nobody_publishes_the_nearest_is_named_first_with_the_command(
    alone, driver_beside, said, transport, kind, topic, near, words
):
    for name in ('far/away/picture', near):
        offer(driver_beside, kind, name)
    names = {'/alone/far/away/picture', f'/alone/{near}'}
    wait_until(lambda: names <= published_images(alone.node).keys(), 'the topics are known')
    eyes = Eyes(alone, image_transport=transport)
    assert eyes.camera.topic == f'/alone/{topic}'
    wait_until(lambda: 'no image for' in said(), 'a reason')
    assert f'nothing publishes on /alone/{topic};' in said()
    assert f'the nearest topic with images is /alone/{near} ' in said()
    assert '/alone/far/away/picture' in said()
    assert f'flash_vstream.launch.py model:=MODEL {words} namespace:=alone\n' in said()


def test_a_topic_without_a_publisher_is_not_offered_as_a_camera(spun, driver, namespace):
    driver.node.create_subscription(Image, 'image', print, 1)
    offer(driver, Image, 'picture')
    wait_until(
        lambda: f'{namespace}/image' in dict(spun.node.get_topic_names_and_types()), 'the reader'
    )
    wait_until(lambda: f'{namespace}/picture' in published_images(spun.node), 'the camera')
    assert f'{namespace}/image' not in published_images(spun.node)


def test_a_picture_of_a_memory_is_not_offered_as_a_camera(spun, driver, planner, namespace):
    """Else the node would be told to look at its own picture."""
    # A bag that is played may hold all of them.
    for kind, name in ((MemorySnapshot, 'memory'), (Image, 'memory_view'), (Image, 'played')):
        planner.call(planner.node.create_publisher, kind, name, 1)
    offer(driver, Image, 'picture')

    def known():
        return {
            name
            for name, _ in spun.node.get_topic_names_and_types()
            if spun.node.get_publishers_info_by_topic(name)
        }

    names = {f'{namespace}/{name}' for name in ('memory', 'memory_view', 'played', 'picture')}
    wait_until(lambda: names <= known(), 'all topics')
    only = {f'{namespace}/picture', f'{namespace}/played'}
    wait_until(lambda: published_images(spun.node).keys() & names == only, 'who publishes what')


def test_where_no_topic_has_images_the_driver_and_the_domain_are_named(alone, said):
    Eyes(alone)
    wait_until(lambda: 'no image for' in said(), 'a reason')
    assert 'nothing publishes on /alone/image; no topic has images: start the camera' in said()
    assert f'ROS_DOMAIN_ID={DOMAIN_ID}' in said()


def test_a_topic_of_another_type_is_named_with_both_types_and_the_command(
    alone, driver_beside, said
):
    offer(driver_beside, CompressedImage)
    Eyes(alone)
    wait_until(lambda: 'carries' in said(), 'a reason')
    assert "['sensor_msgs/msg/CompressedImage'], expected sensor_msgs/msg/Image" in said()
    assert 'image_transport (raw)' in said()
    assert '-r image/compressed:=/alone/image' in said()


def test_a_camera_that_offers_less_than_was_asked_for_is_named_once_with_the_remedy(
    spun, driver, said, namespace
):
    publisher = offer(driver)
    eyes = Eyes(spun, image_reliability='reliable')
    refused = f'no image of {namespace}/driver arrives on {namespace}/image'
    wait_until(lambda: refused in said(), 'the fault')
    assert 'Best effort publisher and reliable subscription' in said()
    assert '-p image_reliability:=auto' in said()
    assert 'image_reliability' in eyes.camera.fault, 'the diagnostics tell it as long as it is so'
    publisher.publish(image_message(picture(1), S))

    second = SpunNode(namespace, 'second')  # until it is named, the first could be once more
    offer(second)
    wait_until(lambda: f'no image of {namespace}/second' in said(), 'the second fault')
    second.close()
    assert said().count(refused) == 1
    assert 'New publisher discovered' not in said(), 'rclpy says it as well, without a remedy'
    assert 'no image for' not in said(), 'the reason for the silence was said'
    assert eyes.images == []


def test_a_camera_that_restarts_as_it_was_asked_is_heard_and_named_again_when_it_errs_again(
    spun, driver, said, namespace
):
    publisher = offer(driver)
    eyes = Eyes(spun, image_reliability='reliable')
    refused = f'no image of {namespace}/driver'
    wait_until(lambda: refused in said(), 'the fault')
    driver.node.destroy_publisher(publisher)
    publisher = offer(driver, reliability=RELIABLE)
    show_until(publisher, lambda: eyes.images, 'images')
    wait_until(lambda: not eyes.camera.fault, 'all is well')
    driver.node.destroy_publisher(publisher)
    offer(driver)
    wait_until(lambda: said().count(refused) == 2, 'the fault again')


def test_a_camera_whose_images_do_not_come_is_told_how_to_start(spun, driver, said, namespace):
    offer(driver)
    Eyes(spun)
    wait_until(lambda: 'no image arrives' in said(), 'a reason')
    assert f'{namespace}/driver offers {namespace}/image' in said()
    assert f'FASTDDS_DEFAULT_PROFILES_FILE={fastdds_profile_path()}' in said()
    assert 'FASTRTPS_DEFAULT_PROFILES_FILE' in said()


def test_a_reliable_camera_that_is_silent_does_not_lose_its_images(spun, driver, said):
    offer(driver, reliability=RELIABLE)
    Eyes(spun)
    wait_until(lambda: 'is the camera running?' in said(), 'a reason')
    assert 'PROFILES_FILE' not in said()


def test_a_reason_is_said_once_and_another_one_when_it_comes(spun, driver, said):
    """A camera that starts after the node, and wrongly, must not stay unexplained."""
    eyes = Eyes(spun)
    wait_until(lambda: 'nothing publishes' in said(), 'the first reason')
    publisher = offer(driver)
    wait_until(lambda: 'no image arrives' in said(), 'the second reason')
    show_until(publisher, lambda: eyes.images, 'images')
    wait_until(lambda: 'images arrive on' in said(), 'the good news')
    wait_until(lambda: said().count('no image arrives') == 2, 'silence again')
    assert said().count('nothing publishes') == 1
    assert said().count('no image for') == 3


def test_reliability_follows_what_the_cameras_offer(spun, driver, said):
    eyes = Eyes(spun)
    wait_until(lambda: eyes.reliability == BEST_EFFORT, 'best effort at first')
    reliable = offer(driver, reliability=RELIABLE)
    wait_until(lambda: eyes.reliability == RELIABLE, 'reliable as the camera')
    wait_until(lambda: 'reliability RELIABLE as the camera offers' in said(), 'it is said')
    wait_until(reliable.get_subscription_count, 'the camera is heard')
    reliable.publish(image_message(picture(1), S))
    wait_until(lambda: len(eyes.images) == 1, 'the image of a reliable camera')

    other = offer(driver)
    wait_until(lambda: eyes.reliability == BEST_EFFORT, 'best effort for the sake of the second')
    show_until(other, lambda: len(eyes.images) > 1, 'images of a best-effort camera')
    driver.node.destroy_publisher(other)
    wait_until(lambda: eyes.reliability == RELIABLE, 'reliable again')


def test_a_camera_that_restarts_with_another_quality_of_service_is_heard_again(spun, driver, said):
    eyes = Eyes(spun)
    for reliability in (RELIABLE, BEST_EFFORT, RELIABLE):
        publisher = offer(driver, reliability=reliability)
        wait_until(lambda wanted=reliability: eyes.reliability == wanted, f'{reliability.name}')
        before = len(eyes.images)
        show_until(publisher, lambda n=before: len(eyes.images) > n, f'images, {reliability.name}')
        driver.node.destroy_publisher(publisher)
    assert 'New publisher discovered' not in said(), 'a warning of what was mended at once'


@pytest.mark.parametrize(
    'durability', [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL]
)
@pytest.mark.parametrize('reliability', [RELIABLE, BEST_EFFORT])
def test_a_camera_of_any_durability_is_heard(spun, driver, durability, reliability):
    eyes = Eyes(spun)
    qos = QoSProfile(depth=5, reliability=reliability, durability=durability)
    publisher = driver.node.create_publisher(Image, 'image', qos)
    show_until(publisher, lambda: eyes.images, 'images')


@pytest.mark.parametrize('asked', ['reliable', 'best_effort'])
def test_a_reliability_that_was_asked_for_stays(spun, driver, said, asked):
    wanted = {'reliable': RELIABLE, 'best_effort': BEST_EFFORT}[asked]
    eyes = Eyes(spun, image_reliability=asked)
    offer(driver, reliability=RELIABLE)
    wait_until(lambda: 'no image for' in said(), 'a check')
    assert eyes.reliability == wanted


def test_images_lost_on_their_way_are_noticed_and_the_remedy_is_said(spun, said):
    """Of 640x480 a few arrive all the same, so that there is no long silence to notice."""
    eyes = Eyes(spun, silence_timeout=1.0)
    sent = drive(eyes.camera.topic, {}, '--size', '640', '480', '--seconds', '3')
    if len(eyes.images) > sent / 2:
        pytest.skip(f'of images of this size this machine lost only {eyes.camera.lost} of {sent}')
    assert eyes.camera.lost > sent / 2
    # A driver that took its time until the first image was silent before: then that was said.
    said_so = re.search(r'images are lost on their way: (\d+) of (\d+)', said())
    assert said_so or 'no image arrives' in said()
    if said_so:
        lost, of = map(int, said_so.groups())
        assert camera.LOST_SHARE * of < lost <= of <= sent
    remedy = f'FASTDDS_DEFAULT_PROFILES_FILE={fastdds_profile_path()}'
    assert said().count(remedy) == 1, 'one fault, said once'


def test_with_the_profile_none_is_lost(spun, said):
    eyes = Eyes(spun)
    sent = drive(eyes.camera.topic, camera_environment(), '--size', '640', '480', '--seconds', '2')
    # On a busy machine a newer image may take the place of one that nobody has taken yet.
    wait_until(lambda: eyes.camera.received > sent / 2, f'most of {sent} images')
    assert eyes.camera.lost == 0
    assert 'lost' not in said()


def test_a_camera_that_cannot_be_subscribed_leaves_nothing(spun, monkeypatch):
    def refuse(*given: object, **options: object) -> None:
        raise RuntimeError('no such quality of service')

    monkeypatch.setattr(spun.node, 'create_subscription', refuse)
    before = len(list(spun.node.timers))
    opening = partial(camera.Camera, spun.node, FrameHandlerConfig(), print)
    assert 'no such quality' in str(spun.call(caught, opening))
    assert len(list(spun.node.timers)) == before
