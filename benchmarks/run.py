# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks that need no GPU: `make bench`, or with names of some of them."""

import argparse
import sys
from pathlib import Path

if __name__ == '__main__':
    # The benchmarks are no installed package. At the end, so that a built one comes first.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import answers, decoding, loading, memory, message, quantization, transport
from benchmarks.machine import describe_machine
from benchmarks.measure import Figure
from benchmarks.program import make_parser, measure_apart, parse
from benchmarks.report import write_report


def measure_replaying(quick: bool) -> list[Figure]:
    """Measure replay."""
    # Here, because what reads no recordings must run without what reads them.
    from benchmarks import replaying

    return replaying.measure(quick)


def measure_asking(quick: bool) -> list[Figure]:
    """Measure the way through ROS."""
    from benchmarks import asking  # here, because what needs no ROS must run without

    return asking.measure(quick)


BENCHMARKS = {
    'memory': lambda options: memory.measure(options.frames, options.quick),
    'message': lambda options: message.measure(options.quick),
    'transport': lambda options: transport.measure(options.quick),
    'replaying': lambda options: measure_replaying(options.quick),
    'answers': lambda options: answers.measure(options.quick),
    'decoding': lambda options: decoding.measure(options.quick),
    'stream_length': lambda options: answers.measure_ages(options.frames, options.quick),
    'asking': lambda options: measure_asking(options.quick),
    'quantization': lambda options: quantization.measure(options.quick),
    'loading': lambda options: loading.measure(options.quick),
}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, BENCHMARKS, 'few rounds')
    parser.add_argument('--frames', type=int, default=100_000, help='age of the old memory')
    options = parse(parser, BENCHMARKS)
    if options.frames <= memory.YOUNG_FRAMES:
        parser.error(f'--frames: expected more than {memory.YOUNG_FRAMES}, got {options.frames}')
    return options


def run(name: str, options: argparse.Namespace) -> list[Figure]:
    """Run one benchmark."""
    return BENCHMARKS[name](options)


def main() -> int:
    """Run what was asked for, print it, and keep it."""
    options = parse_arguments()
    machine = describe_machine()
    for name in options.names:
        figures = measure_apart(run, name, options)
        if not options.quick:
            command = f'python3 benchmarks/run.py {name}'
            if name in ('memory', 'stream_length'):
                command += f' --frames {options.frames}'
            write_report(options.out, name, figures, machine, command)
    return 0


if __name__ == '__main__':
    sys.exit(main())
