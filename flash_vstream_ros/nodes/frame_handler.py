# SPDX-License-Identifier: Apache-2.0
"""The frame handler: camera images in, memory out, all the time."""

import logging
import sys
import threading
import time
import traceback
from collections import Counter
from concurrent.futures import Future as Job

from rclpy._rclpy_pybind11 import RCLError
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.sampler import Decision, FrameSampler
from flash_vstream_ros.msg import MemorySnapshot
from flash_vstream_ros.nodes.camera import Camera
from flash_vstream_ros.nodes.conversions import snapshot_to_message, time_to_ns
from flash_vstream_ros.nodes.image_conversions import (
    compressed_to_rgb,
    converter_name,
    image_to_rgb,
)
from flash_vstream_ros.nodes.parameters import declare_config
from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.running import Worker, WorkingNode, run_node

logger = logging.getLogger(__name__)

SHORTEST_TIMER_S = 0.02  # one of 1 kHz costs a quarter of a core
_TO_RGB = {Image: image_to_rgb, CompressedImage: compressed_to_rgb}


class FrameHandler(WorkingNode):
    """Samples a camera by its stamps, writes the frames to STAR memory, publishes the memory.

    The newest frame wins: one that waits for the encoder is replaced by the next, and counted.
    """

    def __init__(self) -> None:
        super().__init__('frame_handler')
        self._config = config = declare_config(self, FrameHandlerConfig)
        self._vstream = FlashVStream.from_pretrained(
            config.model, config.device, config.dtype, parts=('vision',)
        )
        self._memory = self._vstream.new_memory()
        self._sampler = FrameSampler(config.sample_rate)
        self.counts: Counter[str] = Counter()
        self._frame_id = ''
        self._lock = threading.Lock()  # guards the sampler and the two below
        self._waiting: Image | CompressedImage | None = None
        self._waiting_begins_stream = False
        self._worker = Worker(self)
        self._publisher = self.create_publisher(MemorySnapshot, 'memory', LATCHED)
        self._published = float('-inf')
        self._is_unpublished = False
        group = ReentrantCallbackGroup()  # a reset awaits the worker
        self.create_service(Trigger, '~/reset_memory', self._reset_memory, callback_group=group)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        period_s = max(1.0 / config.publish_rate, SHORTEST_TIMER_S)
        self.create_timer(period_s, self._publish_rest, clock=steady)
        self._camera = Camera(self, config, self._on_image)
        self._worker.submit(self._publish).add_done_callback(self._report)
        self.get_logger().info(
            f'encoder {self._vstream.encoder_id} on {self._vstream.device} memorises '
            f'{self._camera.topic} at {config.sample_rate:g} Hz, images through {converter_name()}'
        )

    def close(self) -> None:
        """Stop the worker before what it publishes with goes away."""
        self._worker.stop()
        stamps = {decision.name.lower(): n for decision, n in self._sampler.counts.items()}
        # Not the node's logger: after SIGINT it can no longer publish what it logs.
        logger.info(
            f'images received: {self._camera.received}, lost: {self._camera.lost}; '
            f'stamps: {stamps}; frames: {dict(self.counts)}'
        )

    def _on_image(self, message: Image | CompressedImage) -> None:
        with self._lock:  # deciding as well: a reset in between would leave an old frame waiting
            decision = self._sampler.decide(time_to_ns(message.header.stamp))
            is_taken = decision in (Decision.TAKE, Decision.NEW_STREAM)
            replaces = is_taken and self._waiting is not None
            if is_taken:
                self._waiting = message
                self._waiting_begins_stream |= decision is Decision.NEW_STREAM
        if not is_taken:
            self._warn_of_stamp(decision, message)
        elif replaces:  # the job of the frame replaced will find this one
            self.counts['replaced'] += 1
            self.get_logger().warning(
                f'the encoder is slower than sample_rate: {self.counts["replaced"]} frames were '
                f'replaced by newer ones so far; lower sample_rate or use a faster device',
                throttle_duration_sec=60.0,
            )
        else:
            self._worker.submit(self._work).add_done_callback(self._report)

    def _warn_of_stamp(self, decision: Decision, message: Image | CompressedImage) -> None:
        if decision is not Decision.NOT_DUE:
            self.get_logger().warning(
                f'image dropped: {decision.value} ({time_to_ns(message.header.stamp)} ns); '
                f'so far: { {d.value: n for d, n in self._sampler.counts.items()} }',
                throttle_duration_sec=10.0,
            )

    def _work(self) -> None:
        """Memorise the frame that waits. Runs on the worker."""
        with self._lock:
            message, self._waiting = self._waiting, None
            begins_stream, self._waiting_begins_stream = self._waiting_begins_stream, False
        if message is not None:  # a reset may have taken it
            self._memorise(message, begins_stream)

    def _memorise(self, message: Image | CompressedImage, begins_stream: bool) -> None:
        stamp_ns = time_to_ns(message.header.stamp)
        if begins_stream:
            self._memory.reset()
            self._is_unpublished = True
            self.get_logger().warning(
                f'stamps jumped back to {stamp_ns} ns and stayed there: a new stream begins, the '
                f'memory of the one before is dropped'
            )
        try:
            frame = _TO_RGB[type(message)](message)
            self._vstream.write(self._memory, frame, stamp_ns)
        except ValueError as error:
            self._refuse(error)
            return
        self.counts['memorised'] += 1
        self._frame_id = message.header.frame_id
        self._is_unpublished = True
        self._publish_if_due()

    def _refuse(self, error: ValueError) -> None:
        """Count a frame that cannot be memorised, say why, and take the next one instead."""
        self.counts['refused'] += 1
        with self._lock:
            self._sampler.give_back()
        self.get_logger().error(
            f'image refused ({self.counts["refused"]} so far): {error}',
            throttle_duration_sec=10.0,
        )

    def _publish_rest(self) -> None:
        """Timer: publish what was written faster than the publish rate allows."""
        if self._is_unpublished:
            self._worker.submit(self._publish_if_due).add_done_callback(self._report)

    def _publish_if_due(self) -> None:
        period_s = 1.0 / self._config.publish_rate
        if self._is_unpublished and time.monotonic() - self._published >= period_s:
            self._publish()

    def _publish(self) -> None:
        try:
            snapshot = self._memory.snapshot()
        except ValueError as error:  # a frame that the GPU had to refuse is reported here, once
            self.counts['memorised'] -= 1
            self._refuse(error)
            snapshot = self._memory.snapshot()
        message = snapshot_to_message(snapshot, MemorySnapshot(), self._frame_id)
        try:
            self._publisher.publish(message)
        except RCLError as error:  # a reader too slow for a reliable topic; the timer tries again
            self.counts['publish_failed'] += 1
            self._is_unpublished = True
            self.get_logger().error(f'memory not published: {error}', throttle_duration_sec=10.0)
            return
        self._published = time.monotonic()
        self._is_unpublished = False

    async def _reset_memory(
        self, _: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        try:
            await self._worker.run(self._reset)
        except RuntimeError as error:  # of the device, or at shutdown
            response.success = False
            response.message = f'not reset: {error}'
        else:
            response.success = True
            response.message = f'memory {self._memory.memory_id} is empty'
        self.get_logger().info(f'reset: {response.message}')
        return response

    def _reset(self) -> None:
        with self._lock:
            self._waiting, self._waiting_begins_stream = None, False
            self._sampler = FrameSampler(self._config.sample_rate)
        self._memory.reset()
        self._publish()

    def _report(self, job: Job) -> None:
        """Say what went wrong on the worker; it goes on with the next frame."""
        if not job.cancelled() and job.exception() is not None:
            self.counts['failed'] += 1
            error = ''.join(traceback.format_exception(job.exception()))
            self.get_logger().error(f'frame lost ({self.counts["failed"]} so far): {error}')


def main() -> int:
    """Run the node; the exit status is for the shell."""
    return run_node(FrameHandler)


if __name__ == '__main__':
    sys.exit(main())
