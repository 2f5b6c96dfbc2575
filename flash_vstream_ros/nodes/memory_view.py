# SPDX-License-Identifier: Apache-2.0
"""The topic ``memory_view``: a picture of the memory for people, drawn while somebody looks."""

from concurrent.futures import Future as Job

from rclpy._rclpy_pybind11 import RCLError
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.nodes.image_conversions import rgb_to_compressed, rgb_to_image
from flash_vstream_ros.nodes.live_memory import LiveMemory, Shown
from flash_vstream_ros.nodes.running import Worker
from flash_vstream_ros.nodes.times import ns_to_time
from flash_vstream_ros.replay.picture import draw_memory

PERIOD_S = 1.0


class MemoryView:
    """Publishes ``memory_view`` and ``memory_view/compressed``, at most once a second.

    Drawn by a thread of its own, and only what somebody subscribes: nothing is spent otherwise.

    :param live: the memory.
    :param worker: where everything that touches it runs.
    """

    def __init__(
        self, node: Node, live: LiveMemory, worker: Worker, geometry: MemoryGeometry
    ) -> None:
        self._node = node
        self._live = live
        self._worker = worker
        self._geometry = geometry
        self._painter = Worker(node)
        qos = QoSProfile(depth=1)
        self._raw = node.create_publisher(Image, 'memory_view', qos)
        self._compressed = node.create_publisher(CompressedImage, 'memory_view/compressed', qos)
        self._drawn: object = None  # what was drawn last, and for how many
        self._is_busy = False
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(PERIOD_S, self._look, clock=steady)

    def stop(self) -> None:
        """Draw no more."""
        self._painter.stop()

    def _look(self) -> None:
        """Timer: draw what is new, or for whom is new."""
        counts = [p.get_subscription_count() for p in (self._raw, self._compressed)]
        wanted = (*self._live.newest.key, *counts)
        if not any(counts):
            self._drawn = None
        elif wanted != self._drawn and not self._is_busy:
            self._drawn, self._is_busy = wanted, True
            self._worker.submit(self._live.show).add_done_callback(self._hand_over)

    def _hand_over(self, job: Job) -> None:
        if job.cancelled() or job.exception() is not None:
            self._report(job)
        else:
            self._painter.submit(self._paint, job.result()).add_done_callback(self._report)

    def _paint(self, shown: Shown) -> None:
        picture = draw_memory(shown.snapshot, shown.thumbnails, self._geometry)
        for publisher, kind, fill in (
            (self._raw, Image, rgb_to_image),
            (self._compressed, CompressedImage, rgb_to_compressed),
        ):
            if publisher.get_subscription_count():
                message = kind()
                fill(picture, message)
                message.header.stamp = ns_to_time(shown.snapshot.newest_stamp_ns)
                message.header.frame_id = shown.frame_id
                publisher.publish(message)

    def _report(self, job: Job) -> None:
        self._is_busy = False
        if job.cancelled() or job.exception() is None:
            return
        if isinstance(job.exception(), RCLError):
            why = 'somebody who looks is too slow'
        else:
            why = 'it could not be drawn'
        self._node.get_logger().error(
            f'memory_view not published, {why}: {job.exception()!r}', throttle_duration_sec=10.0
        )
