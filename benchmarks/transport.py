# SPDX-License-Identifier: Apache-2.0
"""Publish to receive between two processes, by default and with what the package ships.

Needs the built package. By default Fast DDS loses best-effort images: that is measured here too.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import Figure, milliseconds
from flash_vstream_ros.nodes.environment import (
    MALLOC_SETTINGS,
    PROFILE_VARIABLES,
    camera_environment,
    question_handler_environment,
)

ENDS = Path(__file__).resolve().parent / 'transport_ends.py'
LIMIT_S = 120.0


@dataclass(frozen=True)
class Stream:
    """What is published, how fast, and between which of our processes."""

    kind: str
    label: str
    rate_hz: float
    publisher: Mapping[str, str]  # shipped variables of who publishes it on a robot
    subscriber: Mapping[str, str]


def measure(quick: bool) -> list[Figure]:
    """Measure both streams, each by default and as shipped."""
    bare = bare_environment()
    streams = (
        Stream('memory', 'memory, 1.4 MB, reliable, 10 Hz', 10.0,
               camera_environment(bare), question_handler_environment(bare)),
        Stream('image', 'image, 1280x720, best effort, 30 Hz', 30.0,
               camera_environment(bare), camera_environment(bare)),
    )  # fmt: skip
    seconds = 2.0 if quick else 10.0
    figures = []
    for stream in streams:
        count = int(seconds * stream.rate_hz)
        by_default = measure_stream(stream, count, bare, bare)
        shipped = measure_stream(stream, count, bare | stream.publisher, bare | stream.subscriber)
        figures += describe(f'{stream.label}, default', count, by_default)
        figures += describe(f'{stream.label}, shipped', count, shipped)
    return figures


def bare_environment() -> dict[str, str]:
    """The environment of this process without what the package ships, in a domain of its own."""
    ours = {*PROFILE_VARIABLES, *MALLOC_SETTINGS}
    bare = {name: value for name, value in os.environ.items() if name not in ours}
    isolation = {
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_DOMAIN_ID': str(random.randint(1, 100)),
    }
    return bare | isolation


def measure_stream(
    stream: Stream, count: int, publisher: Mapping[str, str], subscriber: Mapping[str, str]
) -> dict:
    """Run both ends.

    :returns: ``latencies_s`` of the messages that arrived and ``processor_share``.
    :raises subprocess.CalledProcessError: the publisher failed.
    :raises RuntimeError: the subscriber failed.
    """
    command = [sys.executable, str(ENDS)]
    listen = subprocess.Popen(
        [*command, 'subscribe', stream.kind],
        env=dict(subscriber),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        options = ['--count', str(count), '--rate', str(stream.rate_hz)]
        speak = [*command, 'publish', stream.kind, *options]
        subprocess.run(speak, env=dict(publisher), check=True, timeout=LIMIT_S)
        output, _ = listen.communicate(timeout=LIMIT_S)  # ends its standard input
    finally:
        listen.kill()
    if listen.returncode:
        raise RuntimeError(f'the subscriber of {stream.kind} ended with {listen.returncode}')
    return json.loads(output)


def describe(label: str, count: int, seen: Mapping) -> list[Figure]:
    """Figures of one run."""
    figures = [Figure(f'{label}: arrived of {count}', len(seen['latencies_s']), 'messages')]
    if seen['latencies_s']:
        latencies = np.array(seen['latencies_s'])
        figures.append(milliseconds(f'{label}: publish to receive', latencies))
    if seen['processor_share'] is not None:
        share = 100 * seen['processor_share']
        figures.append(Figure(f'{label}: subscriber', share, '% of a core'))
    return figures
