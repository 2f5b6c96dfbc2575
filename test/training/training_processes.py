# SPDX-License-Identifier: Apache-2.0
"""Runs the command line in processes of its own, which share one import of all that is heavy."""

import multiprocessing
import os
import resource
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess

# Before torch is imported: equal threads, equal bits.
ENVIRONMENT = {'OMP_NUM_THREADS': '1', 'ACCELERATE_USE_CPU': 'true'}
_HEAVY = ['flash_vstream_ros.training.tuning', 'torch.utils.tensorboard']


def start_verb(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> BaseProcess:
    """Start a verb of the command line.

    :param environment: of the process, besides that of the test.
    :param before: called in the process, first of all.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(_HEAVY)
    given = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    try:
        values = (list(arguments), dict(environment or {}), before)
        process = context.Process(target=_run, args=values)
        process.start()
    finally:
        os.environ.clear()
        os.environ.update(given)
    return process


def _run(
    arguments: list[str], environment: dict[str, str], before: Callable[[], None] | None
) -> None:
    os.environ.update(ENVIRONMENT | environment)
    if before is not None:
        before()
    from flash_vstream_ros.__main__ import main

    sys.exit(main(arguments))


def run_pair(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> list[int]:
    """Run a verb in two processes that know of each other, as a launcher starts them.

    :returns: their exit codes.
    """
    with socket.create_server(('localhost', 0)) as free:
        port = free.getsockname()[1]
    shared = {'MASTER_ADDR': 'localhost', 'MASTER_PORT': str(port), 'WORLD_SIZE': '2'}
    shared |= environment or {}
    processes = [
        start_verb(arguments, shared | {'RANK': rank, 'LOCAL_RANK': rank}, before)
        for rank in ('0', '1')
    ]
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def limit_open_files(most: int) -> None:
    """Let the process open so many files at once."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
