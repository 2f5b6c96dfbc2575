# SPDX-License-Identifier: Apache-2.0
"""Cameras that go wrong, on a running frame handler: an image is refused, the next one taken."""

from array import array

import cv2
import numpy as np
import pytest
from robots import S, image_message, picture, result_of, wait_until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage

from flash_vstream_ros.nodes.conversions import ns_to_time

NAN = np.full((48, 64, 3), np.nan, np.float32)


def changed(**fields):
    """A good image but for some fields, stamped 2 s."""
    message = image_message(picture(2), 2 * S)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def of_floats(encoding: str, channels: int):
    """An image of numbers that are none."""
    values = NAN[..., :channels]
    return changed(encoding=encoding, step=64 * 4 * channels, data=array('B', values.tobytes()))


BROKEN = {
    'without pixels': (changed(width=0, height=0, step=0, data=array('B')), 'pixels'),
    'without rows': (changed(height=0, data=array('B')), 'pixels'),
    'a step shorter than a row': (changed(step=100), 'step'),
    'a step longer than the data': (changed(step=400), 'bytes'),
    'a step of zero': (changed(step=0), 'step'),
    'no data': (changed(data=array('B')), 'bytes'),
    'a row too little': (changed(data=array('B', bytes(64 * 3 * 47))), '9024'),
    'sizes that nobody has': (changed(width=2**32 - 1, height=2**32 - 1), '4294967295'),
    'depth that is no number': (of_floats('32FC1', 1), 'depth'),
    'colours that are no numbers': (of_floats('32FC3', 3), '32FC3'),
    'an unknown encoding': (changed(encoding='h266'), 'h266'),
    'no encoding': (changed(encoding=''), 'encoding'),
    'an encoding with control characters': (changed(encoding='rgb8\n\x1b[31m'), 'rgb8'),
}


def test_whatever_a_camera_sends_the_frame_handler_goes_on(robot):
    """Each broken image is refused, and the good one right behind it takes its turn."""
    robot.show(image_message(picture(1), S))
    for number, (message, _) in enumerate(BROKEN.values(), start=2):
        message.header.stamp = ns_to_time(number * S)
        robot.show_in_vain(message)
        good = image_message(picture(number), number * S + 1000)
        assert robot.show(good).frames_written == number
    assert 'Traceback' not in robot.log('frame_handler')
    assert not robot.processes['frame_handler'].has_ended


@pytest.mark.parametrize('name', BROKEN)
def test_what_is_broken_is_said_in_words(name):
    from flash_vstream_ros.nodes.image_conversions import image_to_rgb

    message, words = BROKEN[name]
    with pytest.raises(ValueError, match=words) as refused:
        image_to_rgb(message)
    assert '\n' not in str(refused.value)


def test_images_of_8k_are_memorised(robot):
    memory = robot.show(image_message(np.full((4320, 7680), 80, np.uint8), S, 'mono8'))
    assert memory.frames_written == 1
    assert robot.show(image_message(picture(2), 2 * S)).frames_written == 2


def jpeg(stamp_ns: int, pixels: np.ndarray) -> CompressedImage:
    _, data = cv2.imencode('.jpg', pixels)
    message = CompressedImage(format='rgb8; jpeg compressed bgr8', data=array('B', data.tobytes()))
    message.header.stamp = ns_to_time(stamp_ns)
    return message


def damage(data: array, kind: str) -> array:
    """Damage the file of a picture."""
    random, middle = np.random.default_rng(5), len(data) // 2
    noise = array('B', random.integers(0, 256, 200, np.uint8).tobytes())
    return {
        'empty': array('B'),
        'noise': noise,
        'cut off': data[:middle],
        'its start': noise + data[200:],
    }[kind]


def test_corrupt_jpegs_of_all_kinds_are_refused_and_8k_is_memorised(simulated_robot):
    robot = simulated_robot
    robot.show(jpeg(S, picture(1)))
    for number, kind in enumerate(('empty', 'noise', 'cut off', 'its start'), start=2):
        message = jpeg(number * S, picture(number))
        message.data = damage(message.data, kind)
        robot.show_in_vain(message)
        assert robot.show(jpeg(number * S + 1000, picture(number))).frames_written == number
    big = np.full((4320, 7680, 3), 80, np.uint8)
    assert robot.show(jpeg(20 * S, big)).frames_written == 6
    assert 'Traceback' not in robot.log('frame_handler')


def test_a_clock_that_stops_stops_neither_frames_nor_timeouts(simulated_robot):
    robot = simulated_robot
    clock = robot.station.node.create_publisher(Clock, '/clock', 10)
    wait_until(lambda: clock.get_subscription_count() == 2, 'both nodes listen to the clock')
    for second in (1, 2, 3):
        clock.publish(Clock(clock=ns_to_time(second * S)))
    for second in (1, 2, 3, 4):  # the last one after the clock's last word
        robot.show(jpeg(second * S, picture(second)))
    waiting = robot.send('And then?', min_stamp_ns=99 * S, timeout_s=0.3)
    answer = result_of(waiting).answer
    assert 'has not seen min_stamp' in answer.message
    assert robot.ask('And now?', max_new_tokens=1).frames_seen == 4
    robot.station.node.destroy_publisher(clock)
