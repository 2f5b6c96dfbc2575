# SPDX-License-Identifier: Apache-2.0
"""Images of several cameras on one topic are told from those of one."""

from collections import Counter
from types import SimpleNamespace

import pytest
from eyes import RELIABLE, Eyes, offer
from robots import S, SpunNode, image_message, picture, wait_until

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.nodes.diagnostics import WARN
from flash_vstream_ros.nodes.doctor_watching import ImageWatch
from flash_vstream_ros.nodes.frame_diagnostics import FrameDiagnostics
from flash_vstream_ros.nodes.mixed_cameras import (
    MOST,
    RECENT_S,
    FrameIds,
    say_frame_ids,
    say_publishers,
)
from flash_vstream_ros.nodes.topic_advice import IMAGE


def noted(*frame_ids: str) -> FrameIds:
    """Those of images that came one a second."""
    ids = FrameIds()
    for second, frame_id in enumerate(frame_ids):
        ids.note(frame_id, float(second))
    return ids


@pytest.mark.parametrize(
    ('frame_ids', 'alternating'),
    [
        ('ffff', []),
        ('ffrr', []),  # the camera was started anew with another one
        ('frfr', ['f', 'r']),
        ('ffrrff', ['f', 'r']),
        ('xyzx', ['x', 'y', 'z']),
        (['', 'f', ''], ['', 'f']),
    ],
)
def test_frame_ids_that_come_back_are_of_several_cameras(frame_ids, alternating):
    assert noted(*frame_ids).alternating(float(len(frame_ids))) == alternating


def test_one_that_comes_back_after_a_while_is_of_a_camera_that_started_anew():
    ids = noted('f', 'r')
    ids.note('f', RECENT_S + 1.0)
    assert ids.alternating(RECENT_S + 1.0) == []


def test_what_is_mended_is_over_after_a_while():
    ids = noted('f', 'r', 'f')
    ids.note('f', RECENT_S + 1.0)
    assert ids.alternating(RECENT_S + 1.0) == ['f'], 'the last turn was at second 2'
    assert ids.alternating(RECENT_S + 2.0) == []


def test_of_frame_ids_without_end_only_some_are_kept():
    assert len(noted(*map(str, range(10 * MOST)))._heard) <= MOST


def test_who_takes_turns_is_named():
    assert say_publishers('/image', ['/a']) == ''
    text = say_publishers('/image', ['/b', '/a', '/a'])
    assert text.startswith('3 publish images on /image, all into one memory: /a, /a, /b (')
    assert say_frame_ids('/image', []) == ''
    assert say_frame_ids('/image', ['r', 'f']).endswith("by frame_id: ['f', 'r']")


def test_two_cameras_on_one_topic_are_said_and_in_the_diagnostics(spun, driver, said, namespace):
    eyes = Eyes(spun, silence_timeout=60.0)
    second = SpunNode(namespace, 'second')
    cameras = {'front': offer(driver, reliability=RELIABLE)}
    cameras['rear'] = offer(second, reliability=RELIABLE)
    stamps = iter(range(S, 10_000 * S, S))
    names = f'{namespace}/driver, {namespace}/second'

    def both_are_told() -> bool:
        for frame_id, camera in cameras.items():
            camera.publish(image_message(picture(1), next(stamps), frame_id=frame_id))
        return names in said() and "by frame_id: ['front', 'rear']" in said()

    wait_until(both_are_told, 'both signs of it')
    assert said().count('one frame handler for each camera') >= 2
    part = camera_part(spun, eyes)
    assert part.level == WARN
    for words in (names, "['front', 'rear']", 'one frame handler for each camera', 'cameras:='):
        assert words in part.message
    second.close()


def camera_part(spun: SpunNode, eyes: Eyes):
    """What the diagnostics say of a camera."""
    services = SimpleNamespace(fault_at_start=None)
    made = FrameDiagnostics(spun.node, FrameHandlerConfig(), None, None, services, Counter())
    return spun.call(made._camera, eyes.camera, '', {})


def test_the_doctor_sees_which_frame_ids_take_turns(spun):
    watch = spun.call(ImageWatch, spun.node, 'image', IMAGE, True, lambda: None)
    for second, frame_id in enumerate(['front', 'rear', 'front'], start=1):
        watch._receive(image_message(picture(second), second * S, frame_id=frame_id))
    assert watch.facts('', (), ()).frame_ids == ('front', 'rear')


def test_images_of_one_camera_are_not_mixed(spun, driver):
    eyes, camera = Eyes(spun), offer(driver, reliability=RELIABLE)
    stamps = iter(range(S, 10_000 * S, S))
    wait_until(
        lambda: camera.publish(image_message(picture(1), next(stamps))) or len(eyes.images) > 3,
        'images',
    )
    spun.call(eyes.camera._check)
    assert eyes.camera.mixed == []
