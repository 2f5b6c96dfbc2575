# SPDX-License-Identifier: Apache-2.0
"""Plays a recording into the camera topic, as a camera would, and asks questions on the way."""

import argparse
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from rclpy.utilities import remove_ros_args
from std_srvs.srv import Trigger

from flash_vstream_ros.core.model_config import load_geometry
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.msg import MemorySnapshot as MemorySnapshotMessage
from flash_vstream_ros.nodes.camera import IMAGE_TYPES, TOPICS
from flash_vstream_ros.nodes.client import RESPONSES
from flash_vstream_ros.nodes.conversions import message_to_snapshot, ns_to_time
from flash_vstream_ros.nodes.image_conversions import rgb_to_compressed, rgb_to_image
from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.replay_arguments import parse_arguments
from flash_vstream_ros.nodes.replay_playing import FrameHandlerFacts, pace_of, play, play_in_step
from flash_vstream_ros.nodes.replay_results import in_words, score
from flash_vstream_ros.nodes.running import initialised
from flash_vstream_ros.nodes.spinning import Spinning, insist
from flash_vstream_ros.replay.new_output import check_file
from flash_vstream_ros.replay.picture import draw_memory, save_picture
from flash_vstream_ros.replay.questions import Question
from flash_vstream_ros.replay.recorded_frame import NS_PER_S, RecordedFrame
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.result_lines import kept
from flash_vstream_ros.replay.thumbnails import ThumbnailStore
from flash_vstream_ros.srv import Ask

READY_TIMEOUT_S = 1800.0  # a 7B checkpoint takes a while to load
NOTICE_S = 20.0
ANSWER_TIMEOUT_S = 60.0
MEMORY_TIMEOUT_S = 60.0
SENT_FRAMES = 120  # kept small, for the thumbnails of those that the memory takes
SENT_WIDTH_PX = 400
MATCH_TIMEOUT_S = 5.0
# A recording loses nothing, so neither does its replay; the newest image counts all the same.
REPLAY = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE
)
_FILL = {'raw': rgb_to_image, 'compressed': rgb_to_compressed}
_FILL_LOSSLESS = _FILL | {'compressed': partial(rgb_to_compressed, quality=None)}


class ReplayClient(Node):
    """The camera and the planner of a replay, spun by a thread of its own.

    :param lossless: whether compressed images are PNG in place of JPEG.
    """

    def __init__(self, lossless: bool = False) -> None:
        super().__init__('replay_client')
        self._fill = _FILL_LOSSLESS if lossless else _FILL
        self.thumbnails = ThumbnailStore()
        self._thumbnail_ns = 0  # stamp of the newest thumbnail
        self.corrupt = 0  # frames that could not be decoded
        self.fault: BaseException | None = None  # of the thread that spins
        self._sent: deque[tuple[int, np.ndarray]] = deque(maxlen=SENT_FRAMES)
        self._ask = self.create_client(Ask, 'ask', qos_profile=RESPONSES)
        self._reset = self.create_client(Trigger, 'frame_handler/reset_memory')
        self._parameters = AsyncParameterClient(self, 'frame_handler')
        self.snapshot: MemorySnapshot | None = None  # the newest memory published
        self.create_subscription(MemorySnapshotMessage, 'memory', self._on_memory, LATCHED)

    def _on_memory(self, message: MemorySnapshotMessage) -> None:
        """Keep the memory, and a thumbnail of its newest frame, whose feature it holds."""
        self.snapshot = snapshot = message_to_snapshot(message)
        if snapshot.newest_stamp_ns < self._thumbnail_ns:  # a new stream has begun
            self.thumbnails.clear()
            self._thumbnail_ns = 0
        features = dict(zip(snapshot.spatial_stamps_ns.tolist(), snapshot.spatial, strict=True))
        for stamp_ns, pixels in tuple(self._sent):
            if stamp_ns in features and stamp_ns > self._thumbnail_ns:
                self.thumbnails.add(stamp_ns, pixels, features[stamp_ns], lambda: snapshot)
                self._thumbnail_ns = stamp_ns

    def wait_for_nodes(self) -> FrameHandlerFacts:
        """Wait until both nodes serve.

        :raises TimeoutError: one does not; it is named.
        """
        self._find('frame_handler', self._parameters.wait_for_services)
        self._find('question_handler', self._ask.wait_for_service)
        names = ['model', 'sample_rate', 'image_transport']
        read = insist(lambda: self._parameters.get_parameters(names), self.wait, READY_TIMEOUT_S)
        model, rate, transport = read.values
        sample_rate = rate.double_value or float(rate.integer_value)
        facts = FrameHandlerFacts(model.string_value, sample_rate, transport.string_value)
        self._publisher = self.create_publisher(
            IMAGE_TYPES[facts.image_transport], TOPICS[facts.image_transport], REPLAY
        )
        self._wait_for_subscriber()
        self.reset()  # what was seen before would be in the answers
        return facts

    def reset(self) -> None:
        """Empty the memory."""
        insist(lambda: self._reset.call_async(Trigger.Request()), self.wait, READY_TIMEOUT_S)

    def wait_for_memory(self, stamp_ns: int) -> None:
        """Wait until a memory with the frame of this stamp has been published.

        :raises TimeoutError: none is; the frame handler has refused the frame, or died.
        """
        ends = time.monotonic() + MEMORY_TIMEOUT_S
        while self.snapshot is None or stamp_ns not in self.snapshot.spatial_stamps_ns:
            self._check_fault()
            if time.monotonic() > ends:
                raise TimeoutError(
                    f'no memory has the frame stamped {stamp_ns} ns after {MEMORY_TIMEOUT_S:g} s; '
                    f'the log of the frame handler says what became of it'
                )
            time.sleep(0.001)

    def _find(self, name: str, wait_s: Callable[[float], bool]) -> None:
        started = time.monotonic()
        while time.monotonic() - started < READY_TIMEOUT_S:
            if wait_s(min(NOTICE_S, READY_TIMEOUT_S)):
                return
            print(f'waiting for {name} in {self.get_namespace()}', file=sys.stderr, flush=True)
        raise TimeoutError(f'no {name} in {self.get_namespace()} after {READY_TIMEOUT_S:g} s')

    def _wait_for_subscriber(self) -> None:
        """Wait until somebody subscribes, and a little for the reliability that is offered."""
        topic = self._publisher.topic_name
        started = time.monotonic()
        while True:
            readers = self.get_subscriptions_info_by_topic(topic)
            if any(r.qos_profile.reliability == ReliabilityPolicy.RELIABLE for r in readers):
                return
            waited_s = time.monotonic() - started
            if readers and waited_s > MATCH_TIMEOUT_S:
                return
            if waited_s > READY_TIMEOUT_S:
                raise TimeoutError(f'nobody subscribes to {topic} after {READY_TIMEOUT_S:g} s')
            time.sleep(0.05)

    def play_frame(self, frame: RecordedFrame, image_transport: str) -> bool:
        """Decode and publish one frame; a corrupt one is counted and left out.

        :returns: whether it was published.
        """
        try:
            pixels = frame.decode()
        except ValueError as error:
            self.corrupt += 1
            if self.corrupt == 1:
                print(f'a frame is left out: {error}', file=sys.stderr)
            return False
        self.publish(pixels, frame.stamp_ns, image_transport)
        return True

    def publish(self, pixels: np.ndarray, stamp_ns: int, image_transport: str) -> None:
        """Publish one frame under its own stamp."""
        message = IMAGE_TYPES[image_transport]()
        self._fill[image_transport](pixels, message)
        message.header.stamp = ns_to_time(stamp_ns)
        message.header.frame_id = 'camera'
        height = max(round(SENT_WIDTH_PX * pixels.shape[0] / pixels.shape[1]), 1)
        small = cv2.resize(pixels, (SENT_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        self._sent.append((stamp_ns, small))
        self._publisher.publish(message)

    def show_in_vain(self, frame: RecordedFrame, image_transport: str) -> None:
        """Publish one frame that is not memorised, and wait until it has been looked at.

        A newer one would take its place while it waits. The frame handler's callbacks have one
        thread: it has come to the image when it has answered something else, twice to be sure.
        """
        self.play_frame(frame, image_transport)
        for _ in range(2):
            self.wait(self._parameters.get_parameters(['model']), MEMORY_TIMEOUT_S)

    def ask(self, question: Question, min_stamp_ns: int) -> 'AskedQuestion':
        """Send a question."""
        request = Ask.Request(question=question.question, choices=list(question.choices))
        request.min_stamp = ns_to_time(max(min_stamp_ns, 1))  # at least one frame
        request.timeout.sec = int(ANSWER_TIMEOUT_S)
        request.max_new_tokens = question.max_new_tokens or 0
        return AskedQuestion(self._ask.call_async(request), self.wait)

    def wait(self, future: Future, timeout_s: float) -> Any:
        """Wait for a response; TimeoutError says that there is none."""
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        ends = time.monotonic() + timeout_s
        while not done.wait(0.2):
            self._check_fault()
            if time.monotonic() > ends:
                raise TimeoutError(f'no response after {timeout_s:g} s; has a node died?')
        return future.result()

    def _check_fault(self) -> None:
        if self.fault is not None:
            raise RuntimeError(f'the replay client failed: {self.fault!r}') from self.fault


class AskedQuestion:
    """A question on its way to the question handler.

    :param wait: waits for the response of a future.
    """

    def __init__(self, response: Future, wait: Callable[[Future, float], Any]) -> None:
        self._response = response
        self._wait = wait

    def is_answered(self) -> bool:
        """Whether the answer is there."""
        return self._response.done()

    def answer(self) -> Answer:
        """Wait for the answer; TimeoutError says that there is none."""
        return self._wait(self._response, 2 * ANSWER_TIMEOUT_S).answer


def run(client: ReplayClient, arguments: argparse.Namespace) -> int:
    """Play, print, save. Returns the exit status: 1 where a question got no answer."""
    recording = open_recording(arguments.recording, arguments.topic)
    for path in (arguments.out, arguments.picture):
        check_file(path, arguments.recording)
    questions = arguments.all_questions
    if not questions and recording.duration_ns:
        questions = [Question(recording.duration_ns / NS_PER_S, 'What have you seen?')]
    facts = client.wait_for_nodes()
    pace = '' if arguments.in_step else pace_of(recording, arguments.speed)
    print(f'playing {recording.description}{pace}', flush=True)
    if arguments.in_step:
        coming = play_in_step(client, facts, recording, questions)
    else:
        coming = play(client, facts, recording, questions, arguments.speed)
    results = []
    for result in kept(coming, arguments.out):
        print(in_words(result), flush=True)
        results.append(result)
    if said := score(results):
        print(said)
    if client.corrupt:
        print(f'{client.corrupt} corrupt frames were left out', file=sys.stderr)
    if recording.ended_early:
        print(f'the recording ended early: {recording.ended_early}', file=sys.stderr)
    snapshot = client.snapshot
    if arguments.picture and snapshot is not None:
        geometry = load_geometry(facts.model)
        save_picture(draw_memory(snapshot, client.thumbnails, geometry), arguments.picture)
        print(f'picture of the memory: {arguments.picture}')
    return int(any(result['status'] != 'OK' for result in results))


def main() -> int:
    """Run the client; the exit status is for the shell."""
    arguments = parse_arguments(remove_ros_args(sys.argv)[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends either way alike
    with initialised():
        client = ReplayClient(lossless=arguments.in_step)
        executor = SingleThreadedExecutor()
        executor.add_node(client)
        spinning = Spinning(executor)
        thread = threading.Thread(target=_spin, args=(spinning, client), daemon=True)
        thread.start()
        try:
            return run(client, arguments)
        except (ValueError, OSError, RuntimeError) as error:  # TimeoutError is an OSError
            print(f'replay failed: {error}', file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 1
        finally:
            spinning.end(thread)


def _spin(spinning: Spinning, client: ReplayClient) -> None:
    try:
        spinning.spin()
    except (ExternalShutdownException, KeyboardInterrupt):
        client.fault = InterruptedError('told to stop')
    except (ValueError, RuntimeError) as error:
        client.fault = error
        raise


if __name__ == '__main__':
    sys.exit(main())
