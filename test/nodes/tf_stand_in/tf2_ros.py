# SPDX-License-Identifier: Apache-2.0
"""What the nodes use of tf2_ros, which has no wheel: transforms at their very stamps only.

They come as TransformStamped on ``tf_stand_in``; what is looked up must have come just so.
"""

from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile


class TransformException(Exception):
    """A transform is not known."""


class Buffer:
    def __init__(self, cache_time=None, node=None):
        del cache_time, node
        self.known = {}

    def clear(self):
        self.known.clear()

    def lookup_transform(self, target_frame, source_frame, time):
        seconds, nanoseconds = time.seconds_nanoseconds()
        wanted = (target_frame, source_frame, seconds, nanoseconds)
        if wanted not in self.known:
            raise TransformException(f'no transform {wanted}')
        return self.known[wanted]


class TransformListener:
    def __init__(self, buffer, node):
        self.buffer = buffer
        qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(TransformStamped, 'tf_stand_in', self.note, qos)

    def note(self, message):
        stamp = message.header.stamp
        frames = (message.header.frame_id, message.child_frame_id)
        self.buffer.known[(*frames, stamp.sec, stamp.nanosec)] = message
