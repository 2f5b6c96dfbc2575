# SPDX-License-Identifier: Apache-2.0
"""Images that cannot be due are not taken; those that are due, and the counts, stay the same."""

import threading
import time

import pytest
from eyes import Eyes, offer
from robots import S, image_message, picture, wait_until

from flash_vstream_ros.core.sampler import Decision, FrameSampler
from flash_vstream_ros.nodes.dozing import KNOWN_FROM, LONGEST_S, Pace

EPOCH_NS = 1_763_640_000 * S


def look(rate_hz=30.0, seconds=20.0, speed=1.0, sample_rate=1.0, start_ns=EPOCH_NS):
    """Play a camera to a sampler as the frame handler does, a rest where it may have one.

    :param speed: of the stamps against the clock; a function of the time in seconds, or constant.
    :returns: all stamps, those looked at, and those taken.
    """
    speed_at = speed if callable(speed) else lambda _: speed
    sampler, pace = FrameSampler(sample_rate), Pace()
    stamps, seen, taken = [], [], []
    awake_at_s, stamp_s, skipped = 0.0, 0.0, 0
    for number in range(round(rate_hz * seconds)):
        clock_s = number / rate_hz
        stamps.append(start_ns + round(stamp_s * S))
        stamp_s += speed_at(clock_s) / rate_hz
        if clock_s < awake_at_s:
            skipped += 1
            continue
        seen.append(stamps[-1])
        if sampler.decide(stamps[-1], skipped) is Decision.TAKE:
            taken.append(stamps[-1])
        skipped = 0
        pace.note(clock_s, stamps[-1], number)
        awake_at_s = clock_s + pace.rest_s(sampler.until_due_ns)
    return stamps, seen, taken


def taken_of_all(stamps, sample_rate=1.0):
    sampler = FrameSampler(sample_rate)
    return [stamp for stamp in stamps if sampler.decide(stamp) is Decision.TAKE]


@pytest.mark.parametrize('rate_hz', [10.0, 24.0, 29.97, 30.0, 60.0])
@pytest.mark.parametrize('sample_rate', [0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize('speed', [0.1, 0.5, 1.0, 1.4])
def test_the_same_frames_are_taken_and_fewer_are_looked_at(rate_hz, sample_rate, speed):
    stamps, seen, taken = look(rate_hz, 20.0, speed, sample_rate)
    assert taken == taken_of_all(stamps, sample_rate)
    assert len(seen) < (0.75 if rate_hz / sample_rate >= 10.0 / speed else 1.01) * len(stamps)


def test_a_camera_of_30_hz_costs_a_third_or_less():
    stamps, seen, _ = look(30.0, 60.0)
    assert len(seen) < len(stamps) / 3


@pytest.mark.parametrize('speed', [2.0, 4.0, 10.0])
def test_stamps_that_run_faster_than_the_clock_are_all_looked_at(speed):
    stamps, seen, taken = look(30.0, 20.0, speed)
    assert seen == stamps
    assert taken == taken_of_all(stamps)


def test_stamps_that_begin_to_run_faster_lose_no_frame():
    stamps, _, taken = look(30.0, 20.0, lambda clock_s: 1.0 if clock_s < 10.1 else 2.0)
    assert taken == taken_of_all(stamps)


def test_a_rest_is_never_longer_than_silence_takes_to_be_seen():
    pace = Pace()
    for number in range(KNOWN_FROM):
        pace.note(number / 30.0, EPOCH_NS + number * S // 30, number)
    assert pace.rest_s(3600 * S) == LONGEST_S
    assert pace.rest_s(3600 * S, 0.2) == 0.2


@pytest.mark.parametrize('number', range(KNOWN_FROM - 1))
def test_there_is_no_rest_before_the_pace_is_known(number):
    pace = Pace()
    for seen in range(number + 1):
        pace.note(seen / 30.0, EPOCH_NS + seen * S // 30, seen)
    assert pace.rest_s(S) == 0.0


@pytest.mark.parametrize(('stamp_ns', 'number'), [(EPOCH_NS - S, 100), (EPOCH_NS + S, 3)])
def test_a_clock_that_jumps_back_and_a_new_camera_make_the_pace_unknown(stamp_ns, number):
    pace = Pace()
    for seen in range(KNOWN_FROM):
        pace.note(seen / 30.0, EPOCH_NS + seen * S // 30, seen)
    assert pace.rest_s(S) > 0.0
    pace.note(KNOWN_FROM / 30.0, stamp_ns, number)
    assert pace.rest_s(S) == 0.0


class Shooting:
    """A camera of 30 Hz in a thread."""

    def __init__(self, publisher) -> None:
        self.sent = 0
        self._publisher = publisher
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ends.wait(1.0 / 30.0):
            self._publisher.publish(image_message(picture(1), time.monotonic_ns()))
            self.sent += 1

    def stop(self) -> None:
        self._ends.set()
        self._thread.join()


def test_a_camera_that_rests_counts_what_it_did_not_look_at(spun, driver):
    eyes, publisher = Eyes(spun, silence_timeout=2.0), offer(driver)
    wait_until(publisher.get_subscription_count, 'the camera is heard')
    eyes.until_due_ns = S
    shooting = Shooting(publisher)
    wait_until(lambda: eyes.skipped > 20, 'images that were not looked at')
    eyes.until_due_ns = 0  # now each image may be the one
    before = len(eyes.images)
    wait_until(lambda: len(eyes.images) >= before + 10, 'images are looked at again')
    shooting.stop()
    wait_until(lambda: eyes.camera.received == shooting.sent, 'the last of them')
    assert len(eyes.images) == shooting.sent - eyes.skipped
    assert eyes.camera.passed_over == eyes.skipped
    assert eyes.camera.lost == 0
    assert eyes.camera.fault == ''


def test_a_camera_is_woken_at_once(spun, driver):
    eyes, publisher = Eyes(spun), offer(driver)
    wait_until(publisher.get_subscription_count, 'the camera is heard')
    group = eyes.camera._group
    spun.call(group.doze, 3600.0)
    publisher.publish(image_message(picture(1), S))
    time.sleep(0.3)
    assert not eyes.images, 'it dozes'
    eyes.camera.look()
    wait_until(lambda: eyes.images, 'the image that waited')


def test_a_camera_that_begins_anew_is_counted_on(spun, driver):
    eyes = Eyes(spun)
    for sent in (5, 10):
        publisher = offer(driver)
        wait_until(publisher.get_subscription_count, 'the camera is heard')
        for number in range(5):
            publisher.publish(image_message(picture(1), (sent + number) * S))
            time.sleep(0.05)
        wait_until(lambda sent=sent: eyes.camera.received == sent, f'{sent} images')
        driver.call(driver.node.destroy_publisher, publisher)


def test_a_rest_is_no_silence(spun, driver):
    eyes, publisher = Eyes(spun, silence_timeout=0.3), offer(driver)
    wait_until(publisher.get_subscription_count, 'the camera is heard')
    eyes.until_due_ns = 10 * S
    shooting = Shooting(publisher)
    wait_until(lambda: eyes.skipped > 20, 'images that were not looked at')
    faults = set()
    wait_until(lambda: faults.add(eyes.camera.fault) or eyes.skipped > 100, 'more of them')
    shooting.stop()
    assert faults == {''}


def test_cameras_that_are_not_told_apart_are_counted_one_by_one(spun, driver, monkeypatch):
    """A middleware that numbers messages and does not say whose they are."""
    eyes = Eyes(spun)
    count = eyes.camera._count
    monkeypatch.setattr(
        eyes.camera, '_count', lambda info: count(dict(info) | {'publisher_gid': None})
    )
    first, second = offer(driver), offer(driver)
    wait_until(second.get_subscription_count, 'both are heard')
    wait_until(lambda: eyes.camera._publishers == 2, 'both are known')
    for _ in range(50):
        first.publish(image_message(picture(1), S))
    for number in range(5):
        for publisher in (first, second):
            publisher.publish(image_message(picture(1), (2 + number) * S))
            time.sleep(0.05)
    wait_until(lambda: eyes.images, 'images')
    assert eyes.camera.received == len(eyes.images)
