# SPDX-License-Identifier: Apache-2.0
"""Finds out whether an installed cv_bridge is right, before anything relies on it.

cv_bridge is tried on a tiny known picture in a process of its own (``python -m`` this module):
one that was built for NumPy 1 imports under NumPy 2 with no more than a warning, and ends the
process by SIGSEGV at the first conversion. It is used only where it does no more than move
samples about; what a robot sees must not depend on what is installed. It has no nv12, nv21,
nv24, uyvy or yuyv, skews the rows where ``step`` is no multiple of a pixel, and fails at
``is_bigendian`` under NumPy 2. Its reading of compressed images leaves 16 bits as they are and
does not look for mosaics and cut-off JPEG, so that is never used.
"""

import functools
import importlib.util
import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np

# The colour (0 red, 1 green, 2 blue) of each sample of a pixel; the value of alpha is ignored.
_SAMPLE_COLOURS = {
    'mono': [0],
    'rgb': [0, 1, 2],
    'bgr': [2, 1, 0],
    'rgba': [0, 1, 2, 0],
    'bgra': [2, 1, 0, 0],
}
_SAMPLE_BYTES = {'8': 1, '16': 2}
_PIXEL_BYTES = {
    colours + depth: len(order) * sample_bytes
    for depth, sample_bytes in _SAMPLE_BYTES.items()
    for colours, order in _SAMPLE_COLOURS.items()
}
_TRIAL_LIMIT_S = 60.0


def cv_bridge_reads(message: Any) -> bool:
    """Say whether a cv_bridge that passed its trial is right for this Image message.

    :param message: sensor_msgs/Image whose sizes fit its data.
    """
    pixel_bytes = _PIXEL_BYTES.get(message.encoding)
    return (
        pixel_bytes is not None
        and message.step % pixel_bytes == 0
        and not message.is_bigendian
        and len(message.data) >= message.step * message.height
    )


@functools.cache
def find_cv_bridge() -> tuple[Any, str]:
    """Try cv_bridge where it is installed; the first call takes about a second then.

    :returns: a ``CvBridge`` and '', or None and why there is none.
    """
    if importlib.util.find_spec('cv_bridge') is None:
        return None, 'cv_bridge is not installed'
    try:
        trial = subprocess.run(
            [sys.executable, '-P', '-m', __name__],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
            timeout=_TRIAL_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return None, f'cv_bridge gave no picture within {_TRIAL_LIMIT_S:.0f} s'
    if trial.returncode < 0:
        return (
            None,
            f'cv_bridge dies of {signal.Signals(-trial.returncode).name}, as one does '
            f'that was built for another NumPy than {np.__version__}',
        )
    if trial.returncode > 0:
        return None, 'cv_bridge fails: ' + ''.join(trial.stderr.strip().splitlines()[-1:])
    from cv_bridge import CvBridge

    return CvBridge(), ''


def known_picture(encoding: str) -> tuple[Any, np.ndarray]:
    """Make a tiny Image message with padded rows, and the picture it shows.

    :param encoding: one that cv_bridge is used for.
    :returns: the message, and (2, 3, 3) uint8 RGB.
    """
    colours = encoding.rstrip('0123456789')
    picture = np.arange(7, 7 + 18 * 13, 13, dtype=np.uint8).reshape(2, 3, 3)
    if colours == 'mono':
        picture = picture[..., [0, 0, 0]]
    samples = picture[..., _SAMPLE_COLOURS[colours]]
    if encoding.endswith('16'):
        # Rounded, x / 257 is the picture; cut off, or as x >> 8, it is one less.
        samples = samples.astype('<u2') * 257 - 100
    rows = np.pad(samples, ((0, 0), (0, 1), (0, 0)))
    message = SimpleNamespace(
        height=2,
        width=3,
        encoding=encoding,
        is_bigendian=0,
        step=rows[0].nbytes,
        data=rows.tobytes(),
    )
    return message, picture


def main() -> str:
    """Try the installed cv_bridge on every encoding that it would be used for.

    :returns: what it does wrong; '' if nothing.
    """
    from cv_bridge import CvBridge

    for encoding in _PIXEL_BYTES:
        message, picture = known_picture(encoding)
        if not np.array_equal(CvBridge().imgmsg_to_cv2(message, 'rgb8'), picture):
            return f'it converts {encoding} wrongly'
    return ''


if __name__ == '__main__':
    sys.exit(main() or 0)
