# SPDX-License-Identifier: Apache-2.0
"""A frame handler's camera in a node of the test's own, and camera drivers for it to see."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robots import S, SpunNode, image_message, picture, wait_until
from sensor_msgs.msg import Image

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.nodes.camera import Camera
from flash_vstream_ros.nodes.environment import PROFILE_VARIABLES

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
DRIVER = Path(__file__).with_name('camera_program.py')


class Eyes:
    """A camera in the test's own node, and what it took."""

    def __init__(self, spun: SpunNode, **config: object) -> None:
        self.images = []
        self.until_due_ns = 0  # what a camera is told of each image
        self.skipped = 0
        config = FrameHandlerConfig(**{'silence_timeout': 0.3} | config)
        self.camera = spun.call(Camera, spun.node, config, self._take)
        self._node = spun.node

    def _take(self, image: Image, skipped: int) -> int:
        self.images.append(image)
        self.skipped += skipped
        return self.until_due_ns

    @property
    def reliability(self) -> ReliabilityPolicy | None:
        """What the rest of the world sees us ask for; None while that changes."""
        readers = self._node.get_subscriptions_info_by_topic(self.camera.topic)
        return readers[0].qos_profile.reliability if len(readers) == 1 else None


def offer(driver, kind=Image, topic='image', reliability=BEST_EFFORT) -> Publisher:
    """Make a publisher of a camera driver's node."""
    return driver.node.create_publisher(kind, topic, QoSProfile(depth=5, reliability=reliability))


def show_until(publisher: Publisher, condition: Callable[[], Any], what: str) -> None:
    """Publish images, one a second of their stamps, until a condition holds."""
    stamps = iter(range(S, 10_000 * S, S))
    wait_until(
        lambda: publisher.publish(image_message(picture(1), next(stamps))) or condition(), what
    )


def start_driver(topic: str, environment: dict[str, str], *arguments: str) -> subprocess.Popen:
    """Start a camera driver in a process of its own; it prints a line for each image it sends.

    :param environment: on top of this process's own without a Fast DDS profile.
    """
    bare = {k: v for k, v in os.environ.items() if k not in PROFILE_VARIABLES}
    return subprocess.Popen(
        [sys.executable, DRIVER, topic, *arguments],
        env=bare | environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def drive(topic: str, environment: dict[str, str], *arguments: str) -> int:
    """Run a camera driver; returns how many images it sent."""
    process = start_driver(topic, environment, *arguments)
    try:
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    return len(output.split())
