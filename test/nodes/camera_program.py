# SPDX-License-Identifier: Apache-2.0
"""A camera driver in a process of its own, for tests: how it is started decides what arrives.

It waits for a subscriber and publishes frames of one colour each; each line it prints is the stamp
of one, in nanoseconds.
"""

import argparse
import sys
import time
from array import array

import rclpy
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('topic')
    parser.add_argument('--name', default='driver')
    parser.add_argument('--reliability', default='BEST_EFFORT')
    parser.add_argument('--size', type=int, nargs=2, default=(1280, 720))
    parser.add_argument('--rate', type=float, default=30.0)
    parser.add_argument('--seconds', type=float, default=5.0)
    arguments = parser.parse_args()
    width, height = arguments.size
    image = Image(width=width, height=height, step=3 * width, encoding='rgb8')
    image.header.frame_id = 'camera'
    rclpy.init()
    try:
        node = rclpy.create_node(arguments.name)
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=5,
            reliability=ReliabilityPolicy[arguments.reliability],
        )
        publisher = node.create_publisher(Image, arguments.topic, qos)
        while publisher.get_subscription_count() == 0:
            time.sleep(0.02)
        time.sleep(0.5)  # until the subscriber knows us too
        started = time.monotonic()
        for number in range(round(arguments.rate * arguments.seconds)):
            image.data = array('B', bytes([number % 256]) * (3 * width * height))
            image.header.stamp.sec, image.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
            publisher.publish(image)
            stamp = image.header.stamp
            sys.stdout.write(f'{stamp.sec * 10**9 + stamp.nanosec}\n')
            time.sleep(max(0.0, started + (number + 1) / arguments.rate - time.monotonic()))
    finally:
        rclpy.shutdown()


if __name__ == '__main__':
    main()
