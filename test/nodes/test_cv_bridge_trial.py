# SPDX-License-Identifier: Apache-2.0
"""Which cv_bridge is used: stand-ins that are right, wrong, broken, deadly or slow.

Guards against a cv_bridge that takes the whole node with it (SIGSEGV under another NumPy), one
that is believed although it is wrong, and messages that a right one would still get wrong.
"""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from flash_vstream_ros.nodes import cv_bridge_trial
from flash_vstream_ros.nodes.image_conversions import converter_name, image_to_rgb

RIGHT = """
import numpy as np
class CvBridge:
    def imgmsg_to_cv2(self, message, wanted):
        assert wanted == 'rgb8' and not message.is_bigendian
        colours = message.encoding.rstrip('0123456789')
        kind = np.dtype('<u2' if message.encoding.endswith('16') else 'u1')
        rows = np.frombuffer(message.data, kind).reshape(message.height, -1, {'mono': 1}.get(
            colours, len(colours)))[:, :message.width]
        order = [colours.index(c) for c in 'rgb'] if colours != 'mono' else [0, 0, 0]
        half, whole = (128, 257) if kind.itemsize == 2 else (0, 1)
        return ((rows[..., order].astype(int) + half) // whole).astype('u1')
"""
SWAPPED = RIGHT.replace("in 'rgb'", "in 'bgr'")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a stand-in of the given source as cv_bridge, for this test."""

    def write(source):
        (tmp_path / 'cv_bridge.py').write_text(source, encoding='utf-8')
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, 'cv_bridge', raising=False)
        cv_bridge_trial.find_cv_bridge.cache_clear()

    yield write
    sys.modules.pop('cv_bridge', None)
    cv_bridge_trial.find_cv_bridge.cache_clear()


def test_a_right_cv_bridge_is_used(install):
    install(RIGHT)
    bridge, why_not = cv_bridge_trial.find_cv_bridge()
    assert type(bridge).__module__ == 'cv_bridge'
    assert why_not == ''
    assert converter_name() == 'cv_bridge'


@pytest.mark.parametrize(
    ('source', 'reason'),
    [
        (SWAPPED, 'cv_bridge fails: it converts rgb8 wrongly'),
        (RIGHT.replace('128, 257', '0, 256'), 'cv_bridge fails: it converts mono16 wrongly'),
        ('raise AttributeError("_ARRAY_API not found")', 'AttributeError: _ARRAY_API not found'),
        ('import no_such_library', "ModuleNotFoundError: No module named 'no_such_library'"),
        ('class CvBridge: pass', "AttributeError: .* no attribute 'imgmsg_to_cv2'"),
        ('import os, signal; os.kill(os.getpid(), signal.SIGSEGV)', 'dies of SIGSEGV, .* NumPy'),
    ],
    ids=['swapped', 'truncating', 'raising', 'incomplete', 'empty', 'deadly'],
)
def test_any_other_is_not_and_the_reason_is_told(install, source, reason):
    install(source)
    bridge, why_not = cv_bridge_trial.find_cv_bridge()
    assert bridge is None
    assert 'cv_bridge' not in sys.modules
    assert re.search(reason, why_not)
    assert converter_name().startswith('OpenCV ')
    assert why_not in converter_name()
    message, picture = cv_bridge_trial.known_picture('bgr8')
    np.testing.assert_array_equal(image_to_rgb(message), picture)


def test_one_that_hangs_is_given_up(install, monkeypatch):
    monkeypatch.setattr(cv_bridge_trial, '_TRIAL_LIMIT_S', 0.2)
    install('import time; time.sleep(60)')
    assert cv_bridge_trial.find_cv_bridge() == (None, 'cv_bridge gave no picture within 0 s')


def test_it_is_tried_once(install):
    install(RIGHT)
    assert cv_bridge_trial.find_cv_bridge()[0] is cv_bridge_trial.find_cv_bridge()[0]


def test_it_is_given_only_what_it_gets_right(install):
    install(RIGHT)
    used = SimpleNamespace(height=2, width=3, encoding='bgr8', is_bigendian=0, step=12,
                           data=bytes(24))  # fmt: skip
    assert cv_bridge_trial.cv_bridge_reads(used)
    for wrong in (
        {'encoding': 'nv12'},
        {'encoding': 'bayer_rggb8'},
        {'is_bigendian': 1},
        {'step': 11},
        {'data': bytes(21)},
    ):
        message = SimpleNamespace(**{**vars(used), **wrong})
        assert not cv_bridge_trial.cv_bridge_reads(message), wrong


def test_image_to_rgb_goes_through_it(install):
    install(RIGHT)
    bridge, _ = cv_bridge_trial.find_cv_bridge()
    asked = []
    original = bridge.imgmsg_to_cv2
    bridge.imgmsg_to_cv2 = lambda *arguments: asked.append(arguments) or original(*arguments)
    for encoding in ('bgr8', 'rgba16'):
        message, picture = cv_bridge_trial.known_picture(encoding)
        np.testing.assert_array_equal(image_to_rgb(message), picture)
    assert len(asked) == 2
