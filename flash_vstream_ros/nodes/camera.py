# SPDX-License-Identifier: Apache-2.0
"""The frame handler's camera: the right QoS, and what is wrong when it is silent."""

import time
from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.nodes.environment import fastdds_profile_path

IMAGE_TYPES = {'raw': Image, 'compressed': CompressedImage}
TOPICS = {'raw': 'image', 'compressed': 'image/compressed'}
CHECK_PERIOD_S = 0.5
PATIENCE = 10  # silence of so many times the usual one is too long for the slowest camera
LOSSES = 3  # as many are no fault yet: a camera that starts or ends


class Camera:
    """One image topic. The newest image counts, so that the queue is one deep.

    :param on_image: called with each message.
    """

    def __init__(
        self, node: Node, config: FrameHandlerConfig, on_image: Callable[[Image], None]
    ) -> None:
        self._node = node
        self._config = config
        self._on_image = on_image
        self.type = IMAGE_TYPES[config.image_transport]
        self.received = 0
        self.lost = 0
        self._heard = time.monotonic()
        self._interval_s = 0.0  # between the newest two images: a slow camera is no silent one
        self._why = ''  # there is no image, as far as is known; and since when that holds
        self._why_since = self._heard
        self._said = ''  # the reason that was said last; nothing while images arrive
        self._window = (self._heard, 0, 0)  # when it began; received and lost until then
        self._loss_reported = False
        is_reliable = config.image_reliability == 'reliable'
        self._subscribe(
            ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(CHECK_PERIOD_S, self._check, clock=steady)

    def close(self) -> None:
        """Take no more images."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self, reliability: ReliabilityPolicy) -> None:
        self._reliability = reliability
        self._subscription = self._node.create_subscription(
            self.type,
            TOPICS[self._config.image_transport],
            self._receive,
            QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability),
            event_callbacks=SubscriptionEventCallbacks(message_lost=self._count_lost),
        )
        self.topic: str = self._subscription.topic_name  # in full, after remapping

    def _receive(self, message: Image | CompressedImage) -> None:
        self.received += 1
        now = time.monotonic()
        self._interval_s, self._heard = now - self._heard, now
        if self._said:
            self._said = ''
            self._node.get_logger().info(f'images arrive on {self.topic}')
        self._on_image(message)

    def _count_lost(self, event: object) -> None:
        self.lost += event.total_count_change

    def _check(self) -> None:
        """Twice a second: match the QoS, and say what is wrong. Each fault is said once."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if self._config.image_reliability == 'auto' and publishers:
            self._match(publishers)
        self._check_silence(publishers)
        self._check_loss()

    def _check_silence(self, publishers: list[TopicEndpointInfo]) -> None:
        """Say why there is no image, and again where the reason has become another one."""
        now = time.monotonic()
        why = self._why_silent(publishers)
        if why != self._why:
            self._why, self._why_since = why, now
        lasts_s = now - max(self._heard, self._why_since)
        usual_s = self._config.silence_timeout
        # A gap may have been a fault itself: patience has an end.
        patience_s = min(max(usual_s, 2.0 * self._interval_s), PATIENCE * usual_s)
        if lasts_s > patience_s and why != self._said:
            self._said = why
            self._node.get_logger().error(f'no image for {now - self._heard:.0f} s: {why}')

    def _check_loss(self) -> None:
        """Say that most images are lost, once until all arrive again."""
        now = time.monotonic()
        began, received, lost = self._window
        if now - began < self._config.silence_timeout:
            return
        self._window = (now, self.received, self.lost)
        received, lost = self.received - received, self.lost - lost
        if lost > max(LOSSES, received) and not self._loss_reported:
            self._loss_reported = True
            self._node.get_logger().error(
                f'most images are lost on their way: {lost} of {lost + received} on {self.topic} '
                f'in {now - began:.0f} s; {_how_to_keep_images()}'
            )
        elif received and not lost:
            self._loss_reported = False

    def _match(self, publishers: list[TopicEndpointInfo]) -> None:
        """Ask for reliable images where all publishers offer them: fewer are lost."""
        offered = {publisher.qos_profile.reliability for publisher in publishers}
        all_reliable = offered == {ReliabilityPolicy.RELIABLE}
        wanted = ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT
        if wanted != self._reliability:
            before = self._subscription
            self._subscribe(wanted)
            self._node.destroy_subscription(before)
            self._node.get_logger().info(
                f'{self.topic}: reliability {wanted.name} as the camera offers'
            )

    def _why_silent(self, publishers: list[TopicEndpointInfo]) -> str:
        type_name = f'sensor_msgs/msg/{self.type.__name__}'
        if not publishers:
            topics = self._node.get_topic_names_and_types()
            others = sorted(name for name, types in topics if type_name in types)
            others.remove(self.topic) if self.topic in others else None
            seen = f'topics with images are {others}' if others else 'no topic has images'
            return (
                f'nothing publishes on {self.topic}; {seen}. Remap the topic, as in: ros2 launch '
                f'flash_vstream_ros flash_vstream.launch.py image:=/camera/image_raw'
            )
        types = sorted({publisher.topic_type for publisher in publishers})
        if type_name not in types:
            return (
                f'{self.topic} carries {types}, expected {type_name}; choose the topic or the '
                f'parameter image_transport ({self._config.image_transport}) to match'
            )
        nodes = {f'{p.node_namespace.rstrip("/")}/{p.node_name}' for p in publishers}
        names = ', '.join(sorted(nodes))
        best_effort = any(
            p.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for p in publishers
        )
        if self._reliability == ReliabilityPolicy.BEST_EFFORT:
            return (
                f'{names} offers {self.topic}, but no image arrives. If the camera is running: '
                f'{_how_to_keep_images()}'
            )
        if best_effort:
            return (
                f'{names} offers {self.topic} as best effort, but image_reliability asks for '
                f'reliable; set image_reliability to auto'
            )
        return f'{names} offers {self.topic}, but sends nothing; is the camera running?'


def _how_to_keep_images() -> str:
    return (
        "an image is larger than the default shared memory of the camera's process. Start the "
        f'camera driver with FASTDDS_DEFAULT_PROFILES_FILE={fastdds_profile_path()} (on ROS 2 '
        'Jazzy FASTRTPS_DEFAULT_PROFILES_FILE), or let it publish reliable images'
    )
