# SPDX-License-Identifier: Apache-2.0
"""The frame handler as a process: which frames it memorises, what it says of those it does not."""

import itertools
import os
import subprocess
import sys
import time
from array import array
from collections import Counter
from concurrent.futures import Future as Job
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
from robots import S, image_message, picture, wait_until
from sensor_msgs.msg import CompressedImage

from flash_vstream_ros.core.sampler import Decision, FrameSampler
from flash_vstream_ros.nodes import frame_handler
from flash_vstream_ros.nodes.conversions import ns_to_time, time_to_ns
from flash_vstream_ros.nodes.environment import (
    PROFILE_VARIABLES,
    camera_environment,
    fastdds_profile_path,
)

DRIVER = Path(__file__).with_name('camera_program.py')
HOUR = 3600


def image(stamp_s: float, frame_id: str = 'camera', **fields):
    """A good image, unless fields of it are changed."""
    pixels = picture(round(stamp_s * 10))
    message = image_message(pixels, round(stamp_s * S), frame_id=frame_id)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def jpeg(stamp_s: int) -> CompressedImage:
    _, data = cv2.imencode('.jpg', picture(stamp_s))
    message = CompressedImage(format='rgb8; jpeg compressed bgr8', data=array('B', data.tobytes()))
    message.header.stamp = ns_to_time(stamp_s * S)
    return message


def stamps(messages) -> list[int]:
    return [time_to_ns(message) for message in messages]


def test_it_says_what_it_does(robot):
    log = robot.log('frame_handler')
    assert f'encoder {robot.memory.encoder_id} on cpu memorises /robot/image at 5 Hz' in log


def test_each_frame_that_is_due_is_published_with_the_memory(robot):
    for number in range(1, 6):
        memory = robot.show(image(number))
        assert memory.frames_written == number
        assert memory.header.frame_id == 'camera'
        assert time_to_ns(memory.oldest_stamp) == S
    assert len({message.memory_id for message in robot.memories[-5:]}) == 1


def test_a_frame_between_two_that_are_due_is_left_out(robot):
    """A frame a fifth of a second: a rate given as a whole number is one."""
    robot.show(image(1.0))
    robot.show_in_vain(image(1.1))
    memory = robot.show(image(1.2))
    assert stamps(memory.temporal_first_stamps) == [S, 1_200_000_000]


def test_reset_empties_the_memory_and_takes_older_stamps(robot):
    robot.see(3, start_s=100)
    former = robot.memory.memory_id
    memory_id = robot.reset()
    assert memory_id != former
    assert (robot.memory.memory_id, robot.memory.frames_written) == (memory_id, 0)
    assert len(robot.memory.features) == 0
    memory = robot.show(image(5))
    assert (memory.memory_id, memory.frames_written) == (memory_id, 1)


@pytest.mark.parametrize(
    ('name', 'stamp_s'),
    [('late', 2.0), ('repeated', 3.0), ('zero', 0.0), ('an hour ahead', 3.0 + HOUR)],
)
def test_a_single_faulty_stamp_is_dropped_and_the_memory_goes_on(robot, name, stamp_s):
    robot.see(3)
    memory_id, log = robot.memory.memory_id, robot.follow('frame_handler')
    robot.show_in_vain(image(stamp_s))
    memory = robot.show(image(4))
    assert 'refused' not in log(), 'it never comes to the memory'
    assert memory.memory_id == memory_id
    assert stamps(memory.temporal_first_stamps) == [S, 2 * S, 3 * S, 4 * S]


def test_a_faulty_stamp_is_reported_with_its_value(robot):
    log = robot.follow('frame_handler')
    robot.see(3)
    # At most one line in ten seconds, and the tests before may have had theirs.
    faulty = image(0.5)
    wait_until(lambda: robot.camera.publish(faulty) or 'image dropped' in log(), 'a warning')
    assert 'image dropped: stamp before the newest (500000000 ns)' in log()
    assert robot.memory.frames_written == 3


def test_a_stream_that_begins_again_begins_a_new_memory(robot):
    """A bag played in a loop: the stamps jump back and stay there."""
    log = robot.follow('frame_handler')
    robot.see(3, start_s=100_000)
    former = robot.memory.memory_id
    stamps_s = iter(range(1, 100_000))
    wait_until(
        lambda: robot.camera.publish(image(next(stamps_s))) or robot.memory.memory_id != former,
        'a new memory',
    )
    memory = robot.show(image(next(stamps_s)))
    assert memory.memory_id != former
    assert memory.frames_written < 100
    assert max(stamps(memory.temporal_last_stamps)) < 100_000 * S
    assert 'stamps jumped back' in log()
    assert 'a new stream begins' in log()


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'encoding': 'tri-colour'}, ['tri-colour', 'rgb8']),
        ({'data': array('B', bytes(100))}, ['100', '9216']),
        ({'frame_id': 'f' * 257}, ['header.frame_id', 'at most 256', '257']),
    ],
)
def test_a_bad_image_is_refused_with_its_reason_and_the_next_good_one_taken(robot, fields, words):
    """Also one that would not have been due after a good one: it takes the bad one's turn."""
    log = robot.follow('frame_handler')
    robot.show(image(1.0))
    stamps_ns = itertools.count(1_200_000_000, 1000)
    # At most one line in ten seconds: bad images come until one is said.
    wait_until(
        lambda: robot.camera.publish(image(next(stamps_ns) / S, **fields)) or 'refused' in log(),
        'the image is refused',
    )
    memory = robot.show(image(1.37))
    assert memory.frames_written == 2
    line = next(line for line in log().split('\n') if 'image refused' in line)
    for word in words:
        assert word in line
    assert 'Traceback' not in log()


def test_a_corrupt_jpeg_is_refused_and_the_next_good_one_taken(simulated_robot):
    robot = simulated_robot
    log = robot.follow('frame_handler')
    robot.show(jpeg(1))
    bad = jpeg(2)
    bad.data = bad.data[:40]
    robot.show_in_vain(bad)
    wait_until(lambda: 'image refused' in log(), 'the image is refused')
    assert robot.show(jpeg(3)).frames_written == 2


def test_memories_are_published_no_faster_than_asked_and_the_last_one_always(simulated_robot):
    """5 a second at most, and frames come faster: those between are published together."""
    robot = simulated_robot
    before = len(robot.memories)
    for number in range(1, 21):
        robot.camera.publish(jpeg(number))
        time.sleep(0.01)  # or most would be replaced before they are encoded
    wait_until(lambda: robot.has_seen(20 * S), 'the last frame')
    assert len(robot.memories) - before < robot.memory.frames_written


def drive(robot, environment: dict[str, str], *arguments: str) -> list[int]:
    """Run a best-effort camera driver beside the robot's own camera; returns its stamps."""
    bare = {k: v for k, v in os.environ.items() if k not in PROFILE_VARIABLES}
    done = subprocess.run(
        [sys.executable, DRIVER, robot.camera.topic_name, *arguments],
        env=bare | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=90,
    )
    return [int(line) for line in done.stdout.split()]


def test_every_frame_that_is_due_of_a_best_effort_camera_is_memorised(robot):
    """1280x720 at 30 Hz between processes, with the profile: none of them is lost."""
    sent = drive(robot, camera_environment(), '--seconds', '4.5')
    assert len(sent) == 135
    sampler = FrameSampler(5.0)
    due = [stamp for stamp in sent if sampler.decide(stamp) is Decision.TAKE]
    # So few that each has a cluster of its own, which keeps its stamp
    assert 15 < len(due) <= 25
    wait_until(lambda: robot.has_seen(due[-1]), 'the last frame')
    assert robot.memory.frames_written == len(due)
    assert stamps(robot.memory.temporal_first_stamps) == due


def test_a_camera_without_the_profile_is_told_how_to_start(robot):
    log = robot.follow('frame_handler')
    sent = drive(robot, dict.fromkeys(PROFILE_VARIABLES, ''), '--seconds', '6')
    due = 6 * 5  # seconds, frames of each
    assert robot.memory.frames_written < due, 'images are lost, or this test shows nothing'
    lines = [line for line in log().split('\n') if 'PROFILES_FILE' in line]
    assert lines, f'of {len(sent)} images some were lost, and nothing is said'
    assert f'FASTDDS_DEFAULT_PROFILES_FILE={fastdds_profile_path()}' in lines[0]
    assert any('/driver' in line for line in lines) or 'images are lost' in lines[0]


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['model:='], ['RCL', 'model']),
        (["model:=''"], ['model', 'folder', 'hub id', 'none']),
        (['model:=/nowhere/at/all'], ['/nowhere/at/all', 'no such folder']),
        (['sample_rate:=-1.0'], ['sample_rate', '-1.0', '1000']),
        (['sample_rate:=2000'], ['sample_rate', '2000', '1000']),
        (['sample_rate:=fast'], ['sample_rate', "'fast'", 'float']),
        (['image_transport:=theora'], ['image_transport', "'theora'", 'compressed']),
        (['device:=cuda:99', 'model:=MODEL'], ['device', 'cuda:99']),
        (['device:=toaster', 'model:=MODEL'], ['device', 'toaster']),
    ],
)
def test_what_makes_a_start_impossible_is_named(checkpoint, monkeypatch, caplog, arguments, words):
    given = [argument.replace('MODEL', str(checkpoint)) for argument in arguments]
    assert start(monkeypatch, given) == 1
    assert len(caplog.records) == 1
    for word in words[1:] if words[0] == 'RCL' else words:
        assert word in caplog.text


def start(monkeypatch, parameters: list[str]) -> int:
    """Start in this process, as the program would."""
    words = [word for parameter in parameters for word in ('-p', parameter)]
    monkeypatch.setattr(sys, 'argv', ['frame_handler', '--ros-args', *words])
    monkeypatch.setattr('signal.signal', lambda *_: None)  # they stay pytest's
    return frame_handler.main()


def test_a_checkpoint_that_is_cut_off_is_named(checkpoint, tmp_path, monkeypatch, caplog):
    for file in checkpoint.rglob('*'):
        if file.is_file():
            copy = tmp_path / file.relative_to(checkpoint)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    weights = next(tmp_path.glob('*.safetensors'))
    weights.write_bytes(weights.read_bytes()[:10_000])
    assert start(monkeypatch, [f"model:='{tmp_path}'"]) == 1
    assert weights.name in caplog.text
    assert 'cut off' in caplog.text


@pytest.mark.parametrize('name', ['_report', '_report_publishing'])
def test_what_fails_again_and_again_does_not_flood_the_log(spun, said, name):
    """A device that stays full fails each frame, and each try to publish."""
    handler = object.__new__(frame_handler.FrameHandler)
    handler.counts, handler._logger = Counter(), spun.node.get_logger()
    handler._diagnostics = SimpleNamespace(note_error=lambda _: None)
    job = Job()
    job.set_exception(RuntimeError('the device is full'))
    for _ in range(20):
        getattr(handler, name)(job)
    assert handler.counts.total() == 20
    assert said().count('RuntimeError: the device is full') == 1
