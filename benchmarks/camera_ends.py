# SPDX-License-Identifier: Apache-2.0
"""A camera in a process of its own: `camera_ends.py NAMESPACE --size W H --rate HZ --seconds S`.

It waits for a reader and publishes at a steady rate. At the end it prints as JSON the stamps of
its frames in nanoseconds, those of the steady clock that all processes of a machine share.
"""

import argparse
import json
import sys
import time
from array import array

import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from flash_vstream_ros.nodes.conversions import ns_to_time
from flash_vstream_ros.nodes.running import initialised

SETTLE_S = 3.0  # a frame handler matches the reliability with another reader


def main() -> int:
    """Be a camera."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('namespace')
    parser.add_argument('--size', type=int, nargs=2, default=(1280, 720))
    parser.add_argument('--rate', type=float, default=30.0)
    parser.add_argument('--seconds', type=float, default=10.0)
    parser.add_argument('--reliability', default='BEST_EFFORT')
    options = parser.parse_args()
    with initialised():
        node = Node('camera', namespace=options.namespace)
        print(json.dumps(publish(node, options)))
    return 0


def publish(node: Node, options: argparse.Namespace) -> list[int]:
    """Publish for a time; returns the stamps."""
    width, height = options.size
    image = Image(width=width, height=height, step=3 * width, encoding='rgb8')
    image.data = array('B', bytes(range(256)) * (3 * width * height // 256))
    image.header.frame_id = options.namespace
    qos = QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=5,
        reliability=ReliabilityPolicy[options.reliability],
    )
    publisher = node.create_publisher(Image, 'image', qos)
    while not publisher.get_subscription_count():
        time.sleep(0.05)
    time.sleep(SETTLE_S)
    stamps, started = [], time.monotonic()
    for index in range(round(options.rate * options.seconds)):
        time.sleep(max(0.0, started + index / options.rate - time.monotonic()))
        stamps.append(time.monotonic_ns())
        image.header.stamp = ns_to_time(stamps[-1])
        try:
            publisher.publish(image)
        except RCLError:
            if rclpy.ok():
                raise
            return stamps  # terminated
    time.sleep(1.0)  # what is on its way must not die with us
    return stamps


if __name__ == '__main__':
    sys.exit(main())
