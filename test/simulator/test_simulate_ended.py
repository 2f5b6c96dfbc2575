# SPDX-License-Identifier: Apache-2.0
"""A simulation that is ended in the midst leaves nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.parametrize(
    ('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_what_is_half_written_is_removed(tmp_path, repository, number, status):
    command = [sys.executable, '-m', 'flash_vstream_ros', 'simulate', tmp_path / 'long']
    path = os.pathsep.join([str(repository), os.environ.get('PYTHONPATH', '')])
    with subprocess.Popen(
        [*command, '--minutes', '100', '--size', '320x240'],
        cwd=tmp_path,
        env=os.environ | {'PYTHONPATH': path},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        ends = time.monotonic() + 60.0
        while not any(found.is_file() for found in tmp_path.rglob('*')):
            assert time.monotonic() < ends, 'nothing is written'
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60.0) == status
    assert list(tmp_path.iterdir()) == []
