# SPDX-License-Identifier: Apache-2.0
"""The frame handler's camera: the right QoS, and what is wrong when it is silent."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.nodes.conversions import time_to_ns
from flash_vstream_ros.nodes.dozing import LONGEST_S, DozingGroup, Pace
from flash_vstream_ros.nodes.mixed_cameras import (
    APART,
    FrameIds,
    say_frame_ids,
    say_publishers,
)
from flash_vstream_ros.nodes.nearest_images import where_images_are
from flash_vstream_ros.nodes.topic_advice import COMPRESSED, IMAGE, how_to_keep_images
from flash_vstream_ros.nodes.topic_graph import NAME_UNKNOWN, node_of, why_refused

IMAGE_TYPES = {'raw': Image, 'compressed': CompressedImage}
TYPE_NAMES = {'raw': IMAGE, 'compressed': COMPRESSED}
TOPICS = {'raw': 'image', 'compressed': 'image/compressed'}
CHECK_PERIOD_S = 0.5
PATIENCE = 10  # silence of so many times the usual one is too long for the slowest camera
CAMERAS = 16  # that may publish on one topic
LOSSES = 3  # as many are no fault yet: a camera that starts or ends
LOST_SHARE = 0.2  # of the images, beyond which it is said


class Camera:
    """One image topic. The newest image counts, so that the queue is one deep.

    :param on_image: called with a message, and how many of the same camera came since the one
        before it without being looked at; returns the stamp time in nanoseconds from it to the
        next that is due. While none can be due, none is taken.
    """

    def __init__(
        self,
        node: Node,
        config: FrameHandlerConfig,
        on_image: Callable[[Image | CompressedImage, int], int],
    ) -> None:
        self._node = node
        self._config = config
        self._on_image = on_image
        self.type = IMAGE_TYPES[config.image_transport]
        self.lost = 0
        self._taken = 0
        self._sent = 0  # by the cameras, as they number their images
        self._numbers: dict[bytes, int] = {}  # of the newest image of each camera
        self._newest_of = b''
        self._publishers = 0
        self._pace = Pace()
        self._group = DozingGroup(node)
        self._heard = time.monotonic()
        self._interval_s = 0.0  # between the newest two images: a slow camera is no silent one
        self._why = ''  # there is no image, as far as is known; and since when that holds
        self._why_since = self._heard
        self._said = ''  # the reason that was said last; nothing while images arrive
        self._window = (self._heard, 0, 0)  # when it began; received and lost until then
        self._loss_reported = False
        self._lost_at = float('-inf')
        self._refused: dict[bytes, float] = {}  # publishers whose images never come; since when
        self._told: set[bytes] = set()  # those of them that it was said of
        self._frame_ids = FrameIds()
        self.mixed: list[str] = []  # what tells that the images are of several cameras
        is_reliable = config.image_reliability == 'reliable'
        try:
            self._subscribe(
                ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT
            )
        except BaseException:
            self._group.close()
            raise
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(CHECK_PERIOD_S, self._check, clock=steady)

    @property
    def received(self) -> int:
        """Images that came, those not looked at as well."""
        return max(self._sent - self.lost, self._taken)

    @property
    def passed_over(self) -> int:
        """Those of them that were not looked at, because none could be due."""
        return self.received - self._taken

    @property
    def age_s(self) -> float:
        """Seconds since the newest image; before the first one since the camera was opened."""
        return time.monotonic() - self._heard

    @property
    def reliability(self) -> ReliabilityPolicy:
        """What we ask of its publishers."""
        return self._qos.reliability

    @property
    def fault(self) -> str:
        """Why no images arrive, or that many are lost; nothing where all is well."""
        if self._said:
            return self._said
        if self._loss_reported:
            return 'images are lost on their way'
        return 'a camera offers less than image_reliability asks for' if self._told else ''

    def close(self) -> None:
        """Take no more images."""
        self._group.close()
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)

    def look(self) -> None:
        """Take the next image, although none seemed to be due. Any thread."""
        self._group.wake()

    def _subscribe(self, reliability: ReliabilityPolicy) -> None:
        self._qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability)
        self._subscription = self._node.create_subscription(
            self.type,
            TOPICS[self._config.image_transport],
            self._receive,
            self._qos,
            callback_group=self._group,
            # Quality of service that does not fit is ours to match, or to say with the remedy.
            event_callbacks=SubscriptionEventCallbacks(
                message_lost=self._count_lost, use_default_callbacks=False
            ),
        )
        self.topic: str = self._subscription.topic_name  # in full, after remapping

    def _receive(self, message: Image | CompressedImage, info: Mapping[str, Any]) -> None:
        now = time.monotonic()
        skipped = self._count(info)
        self._frame_ids.note(message.header.frame_id, now)
        self._interval_s, self._heard = (now - self._heard) / (skipped + 1), now
        if self._said:
            self._said = ''
            self._node.get_logger().info(f'images arrive on {self.topic}')
        until_due_ns = self._on_image(message, skipped)
        self._pace.note(now, time_to_ns(message.header.stamp), self._sent)
        longest_s = min(LONGEST_S, self._config.silence_timeout / 2.0)
        rest_s = self._pace.rest_s(until_due_ns, longest_s)
        if rest_s > 0.0:
            self._group.doze(rest_s)

    def _count(self, info: Mapping[str, Any]) -> int:
        """Count an image that was taken; returns how many of its camera's were not."""
        self._taken += 1
        camera = (info.get('publisher_gid') or {}).get('data', b'')
        number = info.get('publication_sequence_number')
        if not camera and self._publishers != 1:
            number = None  # ROS 2 before Kilted does not say whose number it is
        # Not every middleware numbers messages; of several cameras each has a pace of its own.
        if number is None or camera != self._newest_of:
            self._pace = Pace()
        if len(self._numbers) > CAMERAS:  # most of them started anew
            self._numbers.clear()
        self._newest_of = camera
        step = 1
        if number is not None:
            step = max(number - self._numbers.get(camera, number - 1), 1)
            self._numbers[camera] = number
        self._sent += step
        return step - 1

    def _count_lost(self, event: object) -> None:
        self.lost += event.total_count_change
        self._lost_at = time.monotonic()

    def _check(self) -> None:
        """Twice a second: match the QoS, and say what is wrong. Each fault is said once."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        self._publishers = len(publishers)
        if self._config.image_reliability == 'auto' and publishers:
            self._match(publishers)
        self._check_refused(publishers)
        self._check_mixing(publishers)
        self._check_loss()
        self._check_silence(publishers)

    def _check_refused(self, publishers: list[TopicEndpointInfo]) -> None:
        """Say whose images never come, once for each such publisher."""
        now = time.monotonic()
        reasons = {bytes(p.endpoint_gid): why_refused(p, self._qos) for p in publishers}
        refused = {gid: reason for gid, reason in reasons.items() if reason}
        self._refused = {gid: self._refused.get(gid, now) for gid in refused}
        self._told &= refused.keys()
        for publisher in publishers:
            gid = bytes(publisher.endpoint_gid)
            if gid not in refused or gid in self._told:
                continue
            # A publisher is found a moment before its node is, where it has one.
            lasts_s = now - self._refused[gid]
            if publisher.node_name != NAME_UNKNOWN or lasts_s > self._config.silence_timeout:
                self._told.add(gid)
                self._node.get_logger().error(
                    f'no image of {node_of(publisher)} arrives on {self.topic}: {refused[gid]}; '
                    f'that is what image_reliability ({self._config.image_reliability}) asks for. '
                    f'Start the frame handler with -p image_reliability:=auto, or set that in '
                    f'params_file'
                )

    def _check_mixing(self, publishers: list[TopicEndpointInfo]) -> None:
        """Say that the images are of several cameras, where that is news."""
        expected = TYPE_NAMES[self._config.image_transport]
        heard = [p for p in publishers if bytes(p.endpoint_gid) not in self._refused]
        nodes = [node_of(p) for p in heard if p.topic_type == expected]
        frame_ids = self._frame_ids.alternating(time.monotonic())
        said = (say_publishers(self.topic, nodes), say_frame_ids(self.topic, frame_ids))
        before, self.mixed = self.mixed, [text for text in said if text]
        for text in set(self.mixed) - set(before):
            self._node.get_logger().warning(f'{text}; {APART}')

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
        if why and lasts_s > patience_s and why != self._said:
            self._said = why
            self._loss_reported |= how_to_keep_images() in why
            self._node.get_logger().error(f'no image for {now - self._heard:.0f} s: {why}')

    def _check_loss(self) -> None:
        """Say that many images are lost, once until all arrive again."""
        now = time.monotonic()
        began, received, lost = self._window
        if now - began < self._config.silence_timeout:
            return
        self._window = (now, self.received, self.lost)
        received, lost = self.received - received, self.lost - lost
        if lost > max(LOSSES, LOST_SHARE * (lost + received)) and not self._loss_reported:
            self._loss_reported = True
            self._node.get_logger().error(
                f'images are lost on their way: {lost} of {lost + received} on {self.topic} '
                f'in {now - began:.0f} s; an image is larger than the default shared '
                f"memory of the camera's process: {how_to_keep_images()}"
            )
        elif received and not lost:
            self._loss_reported = False

    def _match(self, publishers: list[TopicEndpointInfo]) -> None:
        """Ask for reliable images where all publishers offer them: fewer are lost."""
        offered = {publisher.qos_profile.reliability for publisher in publishers}
        all_reliable = offered == {ReliabilityPolicy.RELIABLE}
        wanted = ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT
        if wanted != self._qos.reliability:
            before = self._subscription
            self._subscribe(wanted)
            self._node.destroy_subscription(before)
            self._node.get_logger().info(
                f'{self.topic}: reliability {wanted.name} as the camera offers'
            )

    def _why_silent(self, publishers: list[TopicEndpointInfo]) -> str:
        """Say why there is no image; nothing where that was said already, as losses are."""
        if not publishers:
            return f'nothing publishes on {self.topic}; {self._where_images_are()}'
        expected = TYPE_NAMES[self._config.image_transport]
        types = sorted({publisher.topic_type for publisher in publishers})
        if expected not in types:
            return (
                f'{self.topic} carries {types}, expected {expected} as image_transport '
                f'({self._config.image_transport}) has it; {self._where_images_are()}'
            )
        heard = {node_of(p) for p in publishers if bytes(p.endpoint_gid) not in self._refused}
        is_losing = time.monotonic() - self._lost_at < self._config.silence_timeout
        if not heard or (self._loss_reported and is_losing):
            return ''
        names = ', '.join(sorted(heard))
        if self._qos.reliability == ReliabilityPolicy.BEST_EFFORT:
            return (
                f'{names} offers {self.topic}, but no image arrives. If the camera is running, an '
                f'image is larger than the default shared memory of its process: '
                f'{how_to_keep_images()}'
            )
        return f'{names} offers {self.topic}, but sends nothing; is the camera running?'

    def _where_images_are(self) -> str:
        kind = TYPE_NAMES[self._config.image_transport]
        return where_images_are(self._node, self.topic, kind, self._config.model)
