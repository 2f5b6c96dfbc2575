# SPDX-License-Identifier: Apache-2.0
"""Threads of answers that come from elsewhere: where none can be had, and at the end."""

import subprocess
import sys
import threading

import pytest

from flash_vstream_ros.core import remote_answers
from flash_vstream_ros.core.remote_answers import RemoteAnswer

ENDS = """
import time, torch
from flash_vstream_ros.core.remote_answers import RemoteAnswer, map_in_threads
def compute(_):
    time.sleep(0.001)  # a server's answer
    torch.randn(300, 300) @ torch.randn(300, 300)
def work(put, is_wanted):
    while is_wanted():
        map_in_threads(compute, range(8), 8, is_wanted)
answers = [RemoteAnswer(work) for _ in range(4)]
time.sleep(0.5)
"""


def test_a_process_that_ends_meanwhile_ends_well():
    done = subprocess.run([sys.executable, '-c', ENDS], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')


def test_a_thread_that_cannot_be_had_takes_no_place(monkeypatch):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(remote_answers, '_threads', threading.BoundedSemaphore(1))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, 'start', refuse)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="can't start"):
                RemoteAnswer(lambda put, is_wanted: put((7, -0.5)))
    assert list(RemoteAnswer(lambda put, is_wanted: put((7, -0.5)))) == [(7, -0.5)]
