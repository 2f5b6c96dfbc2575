# SPDX-License-Identifier: Apache-2.0
"""Processes that Ctrl-C does not reach, and what a Ctrl-C does to whoever stops them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from robots import wait_until

from flash_vstream_ros.nodes import processes
from flash_vstream_ros.nodes.processes import NodeProcess

WAITING = 'import time\nprint("ready", flush=True)\ntime.sleep(1000.0)'
# Deaf, and it presses Ctrl-C on its parent as soon as it is told to stop.
PRESSING = """
import os, signal, time
signal.signal(signal.SIGINT, lambda *_: os.kill(os.getppid(), signal.SIGINT))
print('ready', flush=True)
while True:
    time.sleep(1000.0)
"""
PARENT = f"""
import sys, time
from pathlib import Path
from flash_vstream_ros.nodes.processes import NodeProcess
process = NodeProcess('frame_handler', log=Path(sys.argv[1]), apart=True)
process.command = [sys.executable, '-c', {WAITING!r}]
process.__enter__()
print(process.process.pid, flush=True)
time.sleep(1000.0)
"""


def python(log: Path, source: str, **options) -> NodeProcess:
    process = NodeProcess('frame_handler', log=log, **options)
    process.command = [sys.executable, '-c', source]
    return process


def test_a_process_apart_is_in_no_group_of_ours_and_ends_without_a_word(tmp_path):
    with python(tmp_path / 'log', WAITING, apart=True) as process:
        wait_until(lambda: 'ready' in process.output(), 'the process runs')
        assert os.getpgid(process.process.pid) != os.getpgid(0)
        assert process.stop() == -signal.SIGTERM
    assert process.output() == 'ready\n'


def test_a_process_apart_dies_with_its_parent_however_that_dies(tmp_path):
    log = tmp_path / 'log'
    parent = subprocess.Popen([sys.executable, '-c', PARENT, log], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    wait_until(lambda: log.exists() and 'ready' in log.read_text(), 'the child runs')
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: _is_gone(child), 'the child ended')


def _is_gone(number: int) -> bool:
    status = Path(f'/proc/{number}/status')
    try:
        return 'State:\tZ' in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_ctrl_c_while_a_process_is_stopped_is_raised_when_it_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, 'STOP_TIMEOUT_S', 1.0)
    process = python(tmp_path / 'log', PRESSING)
    with process:
        wait_until(lambda: 'ready' in process.output(), 'the process runs')
        with pytest.raises(KeyboardInterrupt):
            process.stop()
        assert process.process.returncode == -signal.SIGKILL
