# SPDX-License-Identifier: Apache-2.0
"""What a running memory shows of itself: key frames, moments in answers, a picture."""

import cv2
import numpy as np
import pytest
from flash_vstream_ros.msg import MemoryMoment
from flash_vstream_ros.srv import GetKeyFrames
from robots import S, image_message, picture, result_of, wait_until
from sensor_msgs.msg import CompressedImage, Image

from flash_vstream_ros.nodes.conversions import ns_to_time, time_to_ns
from flash_vstream_ros.replay.picture import WIDTH


def stamps(frames):
    return [time_to_ns(frame.moment.key_stamp) // S for frame in frames]


def pixels(frame):
    decoded = cv2.imdecode(np.asarray(frame.image.data), cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def difference(one, other) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.fixture
def get_key_frames(robot):
    node = robot.station.node
    client = node.create_client(GetKeyFrames, 'frame_handler/get_key_frames')
    wait_until(client.service_is_ready, 'the service get_key_frames')

    def get(from_s=0, to_s=0, max_frames=0):
        request = GetKeyFrames.Request(max_frames=max_frames)
        request.from_stamp, request.to_stamp = ns_to_time(from_s * S), ns_to_time(to_s * S)
        return result_of(client.call_async(request))

    yield get
    node.destroy_client(client)


def test_of_an_empty_memory_there_are_no_key_frames(robot, get_key_frames):
    response = get_key_frames()
    assert response.success
    assert (response.memory_id, response.frames_written) == (robot.memory.memory_id, 0)
    assert list(response.key_frames) == []


def test_key_frames_are_the_frames_that_were_shown(robot, get_key_frames):
    shown = dict(enumerate(robot.see(5), start=1))
    response = get_key_frames()
    assert (response.success, response.frames_written) == (True, 5)
    clusters = [f for f in response.key_frames if f.moment.part == MemoryMoment.TEMPORAL]
    retrieved = [f for f in response.key_frames if f.moment.part == MemoryMoment.RETRIEVED]
    assert sum(f.moment.frames for f in clusters) == 5
    assert len(retrieved) == robot.memory.retrieved_slots
    assert stamps(response.key_frames) == sorted(stamps(response.key_frames))
    for frame in response.key_frames:
        first, key, last = (
            time_to_ns(stamp)
            for stamp in (
                frame.moment.first_stamp,
                frame.moment.key_stamp,
                frame.moment.last_stamp,
            )
        )
        assert first <= key <= last
        assert frame.image.header.stamp == frame.moment.key_stamp
        assert frame.image.header.frame_id == 'camera'
        unlike = {s: difference(pixels(frame), other) for s, other in shown.items()}
        assert min(unlike, key=unlike.get) == key // S, 'another frame'


def test_key_frames_of_a_stretch_and_the_newest_of_them(robot, get_key_frames):
    robot.see(5)
    assert set(stamps(get_key_frames(to_s=2).key_frames)) <= {1, 2}
    late = get_key_frames(from_s=4).key_frames
    assert late
    assert min(time_to_ns(f.moment.last_stamp) for f in late) >= 4 * S
    all_frames = get_key_frames().key_frames
    assert stamps(get_key_frames(max_frames=2).key_frames) == stamps(all_frames)[-2:]
    response = get_key_frames(from_s=4, to_s=2)
    assert not response.success
    expected = f'to_stamp: expected 0 or at least {4 * S} ns, got {2 * S} ns'
    assert response.message == expected


def test_pictures_of_a_stream_end_with_it(robot, get_key_frames):
    robot.see(3)
    robot.reset()
    assert list(get_key_frames().key_frames) == []
    robot.see(1, start_s=7)
    assert set(stamps(get_key_frames().key_frames)) == {7}


def test_an_answer_says_what_it_was_read_from(robot):
    robot.see(5)
    answer = robot.ask('What is there?', max_new_tokens=2, min_stamp_ns=5 * S)
    clusters = [m for m in answer.moments if m.part == MemoryMoment.TEMPORAL]
    frames = [m for m in answer.moments if m.part == MemoryMoment.RETRIEVED]
    assert sum(m.frames for m in clusters) == 5
    assert [m.key_stamp for m in frames] == list(answer.key_stamps)
    assert {time_to_ns(m.key_stamp) // S for m in clusters} <= {1, 2, 3, 4, 5}
    assert {m.pose.header.frame_id for m in answer.moments} == {''}, 'no poses are recorded'
    early = robot.ask('What was there?', max_new_tokens=2, to_stamp=ns_to_time(2 * S))
    assert early.moments
    assert max(time_to_ns(m.first_stamp) for m in early.moments) <= 2 * S


@pytest.fixture
def look(robot):
    """Look at a topic; returns what has come."""
    node = robot.station.node
    looking = []

    def subscribe(kind, topic):
        seen = []
        looking.append(node.create_subscription(kind, topic, seen.append, 1))
        return seen

    yield subscribe
    for subscription in looking:
        node.destroy_subscription(subscription)


def test_a_picture_of_the_memory_is_drawn_while_somebody_looks(robot, look):
    robot.see(3)
    seen = look(Image, 'memory_view')
    wait_until(lambda: seen, 'a picture of the memory')
    first = seen[-1]
    assert (first.width, first.encoding, first.step) == (WIDTH, 'rgb8', 3 * WIDTH)
    assert time_to_ns(first.header.stamp) == 3 * S
    robot.show(image_message(picture(9), 9 * S))
    wait_until(lambda: time_to_ns(seen[-1].header.stamp) == 9 * S, 'a picture of the next memory')
    assert seen[-1].data != first.data

    compressed = look(CompressedImage, 'memory_view/compressed')
    wait_until(lambda: compressed, 'a compressed picture')
    shape = (first.height, first.width, 3)
    newest = np.frombuffer(seen[-1].data, np.uint8).reshape(shape)
    decoded = cv2.imdecode(np.frombuffer(compressed[-1].data, np.uint8), cv2.IMREAD_COLOR)
    assert difference(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), newest) < 4
