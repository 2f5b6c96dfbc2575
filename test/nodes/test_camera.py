# SPDX-License-Identifier: Apache-2.0
"""The camera: quality of service as it offers, and silence that is explained."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robots import S, SpunNode, image_message, picture, wait_until
from sensor_msgs.msg import CompressedImage, Image

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.nodes.camera import Camera
from flash_vstream_ros.nodes.environment import (
    PROFILE_VARIABLES,
    camera_environment,
    fastdds_profile_path,
)

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
DRIVER = Path(__file__).with_name('camera_program.py')


@pytest.fixture
def driver(namespace):
    """A camera driver's node, a participant of its own."""
    driver = SpunNode(namespace, 'driver')
    yield driver
    driver.close()


@pytest.fixture
def said(capfd):
    """All that was logged so far."""
    text = []

    def said() -> str:
        text.append(capfd.readouterr().err)
        return ''.join(text)

    return said


class Eyes:
    """A camera in the test's own node, and what it took."""

    def __init__(self, spun: SpunNode, **config: object) -> None:
        self.images = []
        config = FrameHandlerConfig(**{'silence_timeout': 0.3} | config)
        self.camera = spun.call(Camera, spun.node, config, self.images.append)
        self._node = spun.node

    @property
    def reliability(self) -> ReliabilityPolicy | None:
        """What the rest of the world sees us ask for; None while that changes."""
        readers = self._node.get_subscriptions_info_by_topic(self.camera.topic)
        return readers[0].qos_profile.reliability if len(readers) == 1 else None


def offer(driver, kind=Image, topic='image', reliability=BEST_EFFORT):
    return driver.node.create_publisher(kind, topic, QoSProfile(depth=5, reliability=reliability))


def test_images_are_passed_on_and_counted(spun, driver):
    eyes, publisher = Eyes(spun), offer(driver)
    wait_until(publisher.get_subscription_count, 'the camera is heard')
    stamps = iter(range(S, 1000 * S, S))
    wait_until(
        lambda: publisher.publish(image_message(picture(1), next(stamps))) or len(eyes.images) > 3,
        'images',
    )
    assert eyes.camera.received == len(eyes.images)
    assert eyes.camera.lost == 0
    assert bytes(eyes.images[0].data) == picture(1).tobytes()


@pytest.mark.parametrize(
    ('transport', 'kind', 'topic'),
    [('raw', Image, 'image'), ('compressed', CompressedImage, 'image/compressed')],
)
def test_a_topic_that_nobody_publishes_is_named_with_those_that_have_images(
    spun, driver, said, namespace, transport, kind, topic
):
    offer(driver, kind, 'elsewhere/picture')
    eyes = Eyes(spun, image_transport=transport)
    assert eyes.camera.topic == f'{namespace}/{topic}'
    wait_until(lambda: 'no image for' in said(), 'a reason')
    assert f'nothing publishes on {namespace}/{topic};' in said()
    assert f'{namespace}/elsewhere/picture' in said()
    assert 'image:=' in said(), 'how to mend it'


def test_a_topic_of_another_type_is_named_with_both_types(spun, driver, said):
    offer(driver, CompressedImage)
    Eyes(spun)
    wait_until(lambda: 'carries' in said(), 'a reason')
    assert "['sensor_msgs/msg/CompressedImage'], expected sensor_msgs/msg/Image" in said()
    assert 'image_transport (raw)' in said()


def test_a_reliability_that_the_camera_does_not_offer_is_named(spun, driver, said):
    publisher = offer(driver)
    eyes = Eyes(spun, image_reliability='reliable')
    wait_until(lambda: 'as best effort' in said(), 'a reason')
    assert 'image_reliability asks for reliable; set image_reliability to auto' in said()
    publisher.publish(image_message(picture(1), S))
    assert eyes.reliability == RELIABLE
    assert eyes.images == []


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
    stamps = iter(range(S, 1000 * S, S))
    wait_until(
        lambda: publisher.publish(image_message(picture(1), next(stamps))) or eyes.images, 'images'
    )
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
    stamps = iter(range(2 * S, 1000 * S, S))
    wait_until(
        lambda: other.publish(image_message(picture(2), next(stamps))) or len(eyes.images) > 1,
        'images of a best-effort camera',
    )
    driver.node.destroy_publisher(other)
    wait_until(lambda: eyes.reliability == RELIABLE, 'reliable again')


@pytest.mark.parametrize('asked', ['reliable', 'best_effort'])
def test_a_reliability_that_was_asked_for_stays(spun, driver, said, asked):
    wanted = {'reliable': RELIABLE, 'best_effort': BEST_EFFORT}[asked]
    eyes = Eyes(spun, image_reliability=asked)
    offer(driver, reliability=RELIABLE)
    wait_until(lambda: 'no image for' in said(), 'a check')
    assert eyes.reliability == wanted


def drive(topic: str, environment: dict[str, str], *arguments: str) -> int:
    """Run a camera driver; returns how many images it sent."""
    bare = {k: v for k, v in os.environ.items() if k not in PROFILE_VARIABLES}
    done = subprocess.run(
        [sys.executable, DRIVER, topic, *arguments],
        env=bare | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return len(done.stdout.split())


def test_images_lost_on_their_way_are_noticed_and_the_remedy_is_said(spun, said):
    """Of 640x480 a few arrive all the same, so that there is no long silence to notice."""
    eyes = Eyes(spun, silence_timeout=1.0)
    sent = drive(eyes.camera.topic, {}, '--size', '640', '480', '--seconds', '3')
    if len(eyes.images) > sent / 2:
        pytest.skip(f'of images of this size this machine lost only {eyes.camera.lost} of {sent}')
    assert eyes.camera.lost > sent / 2
    lost, of = re.search(r'most images are lost on their way: (\d+) of (\d+)', said()).groups()
    assert int(of) / 2 < int(lost) <= int(of) <= sent
    assert f'FASTDDS_DEFAULT_PROFILES_FILE={fastdds_profile_path()}' in said()
    assert said().count('most images are lost') == 1


def test_with_the_profile_none_is_lost(spun, said):
    eyes = Eyes(spun)
    sent = drive(eyes.camera.topic, camera_environment(), '--size', '640', '480', '--seconds', '2')
    wait_until(lambda: eyes.camera.received == sent, f'{sent} images')
    assert eyes.camera.lost == 0
    assert 'lost' not in said()
