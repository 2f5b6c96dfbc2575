# SPDX-License-Identifier: Apache-2.0
"""Runs the command line in processes of its own, which share one import of all that is heavy."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess

# Before torch is imported: equal threads, equal bits.
ENVIRONMENT = {'OMP_NUM_THREADS': '1', 'ACCELERATE_USE_CPU': 'true'}
_HEAVY = ['flash_vstream_ros.training.tuning', 'torch.utils.tensorboard']


def start_verb(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Start a verb of the command line.

    :param environment: of the process, besides that of the test.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(_HEAVY)
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    try:
        process = context.Process(target=_run, args=(list(arguments), dict(environment or {})))
        process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return process


def _run(arguments: list[str], environment: dict[str, str]) -> None:
    os.environ.update(ENVIRONMENT | environment)
    from flash_vstream_ros.__main__ import main

    sys.exit(main(arguments))
