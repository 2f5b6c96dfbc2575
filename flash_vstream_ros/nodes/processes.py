# SPDX-License-Identifier: Apache-2.0
"""Starts the nodes as processes without `ros2 launch`: for the demo, tests and benchmarks."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from flash_vstream_ros.nodes.environment import (
    camera_environment,
    question_handler_environment,
)

_ENVIRONMENTS = {
    'frame_handler': camera_environment,
    'question_handler': question_handler_environment,
    'one_process': question_handler_environment,
    'replay_client': camera_environment,
}
STOP_TIMEOUT_S = 20.0
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class NodeProcess:
    """One program of the package in a process of its own, with the environment launch gives it.

    A context manager: it is stopped at the end, whatever happens.

    :param program: frame_handler, question_handler, one_process or replay_client.
    :param parameters: ROS parameters.
    :param arguments: of the program itself.
    :param remappings: ROS names, from -> to.
    :param environment: variables on top of this process's own and the program's; None takes one
        away.
    :param log: file for its output; None: the output of this process.
    :param apart: Ctrl-C on the terminal does not reach it. It is told to stop with SIGTERM, which
        ends it without a word also while it imports, and so it is when this process dies.
    """

    def __init__(
        self,
        program: str,
        parameters: Mapping[str, object] | None = None,
        arguments: Sequence[str] = (),
        *,
        namespace: str = '/flash_vstream',
        remappings: Mapping[str, str] | None = None,
        environment: Mapping[str, str | None] | None = None,
        log: Path | None = None,
        apart: bool = False,
    ) -> None:
        self.program = program
        self.log = log
        self.apart = apart
        ros = ['-r', f'__ns:={namespace}']
        for name, target in (remappings or {}).items():
            ros += ['-r', f'{name}:={target}']
        for name, value in (parameters or {}).items():
            ros += ['-p', f'{name}:={_yaml(value)}']
        module = f'flash_vstream_ros.nodes.{program}'
        self.command = [sys.executable, '-m', module, *arguments, '--ros-args', *ros]
        # Python would put the working folder first, and a source tree there hides msg and srv.
        added = {'PYTHONSAFEPATH': '1', 'PYTHONUNBUFFERED': '1', **(environment or {})}
        whole = os.environ | _ENVIRONMENTS[program]() | added
        self.environment = {name: value for name, value in whole.items() if value is not None}
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> 'NodeProcess':
        output = self.log.open('ab') if self.log else None
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_go_apart if self.apart else None,
        )
        if output:
            output.close()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended by itself or been stopped."""
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> int:
        """End the process as Ctrl-C would, and kill it where that does not help.

        A Ctrl-C meanwhile is raised when the process has ended, and not before.

        :returns: its exit status, 0 where all went well.
        """
        if not self.has_ended:
            self.process.send_signal(signal.SIGTERM if self.apart else signal.SIGINT)
        ends = time.monotonic() + STOP_TIMEOUT_S
        interruption = None
        while True:
            try:
                status = self._wait_until(ends)
                break
            except KeyboardInterrupt as error:
                interruption = error
        if interruption is not None:
            raise interruption
        return status

    def _wait_until(self, ends: float) -> int:
        """Wait for the end of the process, and kill it after this time of the steady clock."""
        try:
            return self.process.wait(max(ends - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def output(self) -> str:
        """What it has printed so far, where it has a log."""
        return self.log.read_text(errors='replace') if self.log and self.log.exists() else ''


def _go_apart() -> None:
    """In the new process: leave the terminal's group, and end with the thread that started it."""
    os.setpgid(0, 0)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _yaml(value: object) -> str:
    """A parameter's value as YAML, which a command line is read as: text stays text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        return "'" + str(value).replace("'", "''") + "'"
    if isinstance(value, list | tuple):
        return '[' + ', '.join(_yaml(item) for item in value) + ']'
    return str(value)
