# SPDX-License-Identifier: Apache-2.0
"""The frame handler: camera images in, memory out, all the time."""

import logging
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future as Job
from dataclasses import dataclass
from functools import partial

import torch
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.sampler import Decision, FrameSampler
from flash_vstream_ros.core.still_frames import StillFrames
from flash_vstream_ros.nodes.camera import Camera
from flash_vstream_ros.nodes.camera_poses import CameraPoses
from flash_vstream_ros.nodes.conversions import check_frame_id, time_to_ns
from flash_vstream_ros.nodes.diagnostics import Diagnostics
from flash_vstream_ros.nodes.frame_diagnostics import FrameDiagnostics
from flash_vstream_ros.nodes.image_conversions import (
    compressed_to_rgb,
    converter_name,
    image_to_rgb,
)
from flash_vstream_ros.nodes.key_frames import KeyFrames
from flash_vstream_ros.nodes.live_memory import LiveMemory
from flash_vstream_ros.nodes.managed import ManagedNode
from flash_vstream_ros.nodes.memory_services import MemoryServices
from flash_vstream_ros.nodes.memory_view import MemoryView
from flash_vstream_ros.nodes.running import Worker, run_node
from flash_vstream_ros.nodes.seen_frames import SeenFrames

logger = logging.getLogger(__name__)

_TO_RGB = {Image: image_to_rgb, CompressedImage: compressed_to_rgb}


@dataclass
class Switch:
    """Whether images are taken while the node is active.

    It outlives the work: a camera that was switched off stays off until it is switched on.
    """

    is_on: bool | None = None  # None: as the parameter has it


class FrameHandler:
    """Samples a camera by its stamps, writes the frames to STAR memory, publishes the memory.

    The newest frame wins: one that waits for the encoder is replaced by the next, and counted.
    The work of a managed node: the camera is subscribed while the node is active and enabled, the
    memory is there from configure to cleanup.
    """

    def __init__(self, node: ManagedNode, config: FrameHandlerConfig, switch: Switch) -> None:
        self._node = node
        self._config = config
        self._switch = switch
        if switch.is_on is None:
            switch.is_on = config.enabled
        self._logger = node.get_logger()
        self._vstream = FlashVStream.from_pretrained(
            config.model, config.device, config.dtype, parts=('vision',)
        )
        self._vstream.encoder.captures = config.cuda_graphs
        self._sampler = FrameSampler(config.sample_rate)
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()  # guards the sampler and the two below
        self._waiting: Image | CompressedImage | None = None
        self._waiting_begins_stream = False
        self._camera: Camera | None = None
        self._is_active = False
        self._worker = Worker(node)
        poses = CameraPoses(node, config.pose_frame, self._submit) if config.pose_frame else None
        self._live = LiveMemory(
            node,
            self._vstream,
            config.publish_rate,
            self._submit_publishing,
            self.counts,
            self._refuse,
            SeenFrames(self._vstream.geometry, poses),
            StillFrames(config.still_threshold),
        )
        KeyFrames(node, self._live, self._worker)
        self._view = MemoryView(node, self._live, self._worker, self._vstream.geometry)
        self._services = MemoryServices(
            node, config, self._live, self._worker, self._begin, self._note_not_saved
        )
        self._diagnostics = FrameDiagnostics(
            node, config, self._vstream, self._live, self._services, self.counts
        )
        Diagnostics(node, self._statuses)
        node.create_service(SetBool, '~/set_enabled', self._set_enabled)
        if config.restore_at_start:
            self._services.restore()
        self._submit_publishing(self._live.publish)

    def activate(self) -> None:
        """Take images, unless that was disabled."""
        self._is_active = True
        try:
            self._look()
        except BaseException:
            self._is_active = False
            raise

    def deactivate(self) -> None:
        """Take no more images; the memory stays as it is."""
        self._is_active = False
        self._look()
        with self._lock:
            self._waiting, self._waiting_begins_stream = None, False
        self._worker.finish()

    def stop(self) -> None:
        """End the work before what it publishes with goes away."""
        self._is_active = False
        self._look()
        self._worker.stop()
        self._view.stop()
        self._services.stop()
        stamps = {decision.name.lower(): n for decision, n in self._sampler.counts.items()}
        # Not the node's logger: after SIGINT it can no longer publish what it logs.
        logger.info(
            f'images received: {self.counts["received"]}, lost: {self.counts["lost"]}; '
            f'stamps: {stamps}; frames: {dict(self.counts)}'
        )

    def _look(self) -> None:
        """Subscribe the camera, or leave it, as the node's state has it."""
        is_looking = self._is_active and self._switch.is_on
        if is_looking and self._camera is None:
            self._camera = Camera(self._node, self._config, self._on_image)
            self._logger.info(
                f'encoder {self._vstream.encoder_id} on {self._vstream.device} memorises '
                f'{self._camera.topic} at {self._config.sample_rate:g} Hz, images through '
                f'{converter_name()}'
            )
        elif not is_looking and self._camera is not None:
            self._camera.close()
            self.counts['received'] += self._camera.received
            self.counts['lost'] += self._camera.lost
            self.counts['passed_over'] += self._camera.passed_over
            self._camera = None

    def _statuses(self) -> list[DiagnosticStatus]:
        why_none = 'set_enabled is false' if self._is_active else 'the node is not active'
        return self._diagnostics.statuses(self._camera, why_none, dict(self._sampler.counts))

    def _submit(self, work: Callable[[], None]) -> None:
        self._worker.submit(work).add_done_callback(self._report)

    def _submit_publishing(self, work: Callable[[], None]) -> None:
        self._worker.submit(work).add_done_callback(self._report_publishing)

    def _on_image(self, message: Image | CompressedImage, skipped: int) -> int:
        with self._lock:  # deciding as well: a reset in between would leave an old frame waiting
            decision = self._sampler.decide(time_to_ns(message.header.stamp), skipped)
            until_due_ns = self._sampler.until_due_ns
            is_taken = decision in (Decision.TAKE, Decision.NEW_STREAM)
            replaces = is_taken and self._waiting is not None
            if is_taken:
                self._waiting = message
                self._waiting_begins_stream |= decision is Decision.NEW_STREAM
        if not is_taken:
            self._warn_of_stamp(decision, message)
        elif replaces:  # the job of the frame replaced will find this one
            self.counts['replaced'] += 1
            mend = 'lower' if self._config.sample_rate else 'set a'
            self._logger.warning(
                f'the encoder is slower than sample_rate: {self.counts["replaced"]} frames were '
                f'replaced by newer ones so far; {mend} sample_rate or use a faster device',
                throttle_duration_sec=60.0,
            )
        else:
            self._submit(self._work)
        return until_due_ns

    def _warn_of_stamp(self, decision: Decision, message: Image | CompressedImage) -> None:
        if decision is not Decision.NOT_DUE:
            self._logger.warning(
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
        began, stamp_ns = time.monotonic(), time_to_ns(message.header.stamp)
        if begins_stream:
            self._services.save_previous()
            self._live.reset()
            self._logger.warning(
                f'stamps jumped back to {stamp_ns} ns and stayed there: a new stream begins, the '
                f'memory of the one before is dropped'
            )
        try:
            check_frame_id(message.header.frame_id)
            frame = _TO_RGB[type(message)](message)
            self._live.write(frame, stamp_ns, message.header.frame_id)
        except ValueError as error:
            self._refuse(error)
        else:
            self._diagnostics.note_time(time.monotonic() - began)

    def _refuse(self, error: ValueError) -> None:
        """Count a frame that cannot be memorised, say why, and take the next one instead."""
        self.counts['refused'] += 1
        self._diagnostics.note_error(error)
        with self._lock:
            self._sampler.give_back()
        camera = self._camera
        if camera is not None:
            camera.look()
        self._logger.error(
            f'image refused ({self.counts["refused"]} so far): {error}',
            throttle_duration_sec=10.0,
        )

    async def _set_enabled(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        self._switch.is_on = request.data
        self._look()
        state = 'takes images' if self._switch.is_on else 'takes no images'
        response.message = state if self._is_active else f'{state} once the node is active'
        response.success = True
        self._logger.info(f'set_enabled: {response.message}')
        return response

    def _begin(self, after_ns: int) -> None:
        """Another stream begins, behind a stamp; what waits is of the one before."""
        with self._lock:
            self._waiting, self._waiting_begins_stream = None, False
            self._sampler = FrameSampler(self._config.sample_rate, after_ns=after_ns)

    def _report(self, job: Job) -> None:
        """Say what went wrong on the worker; it goes on with the next frame."""
        if not job.cancelled() and job.exception() is not None:
            self.counts['failed'] += 1
            self._diagnostics.note_error(job.exception())
            words = _explain(job.exception())
            self._logger.error(
                f'frame lost ({self.counts["failed"]} so far): {words}', throttle_duration_sec=10.0
            )

    def _report_publishing(self, job: Job) -> None:
        if not job.cancelled() and job.exception() is not None:
            self.counts['publish_failed'] += 1
            self._diagnostics.note_error(job.exception())
            self._logger.error(
                f'memory not published: {_explain(job.exception())}', throttle_duration_sec=10.0
            )

    def _note_not_saved(self, error: BaseException) -> None:
        self.counts['save_failed'] += 1
        self._diagnostics.note_error(error)


def _explain(error: BaseException) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return f'the device is full: free memory on it, or choose a smaller dtype: {error}'
    return ''.join(traceback.format_exception(error))


def make_node() -> ManagedNode:
    """Make the node, unconfigured."""
    make_work = partial(FrameHandler, switch=Switch())
    return ManagedNode('frame_handler', FrameHandlerConfig, make_work)


def main() -> int:
    """Run the node; the exit status is for the shell."""
    return run_node(make_node)


if __name__ == '__main__':
    sys.exit(main())
