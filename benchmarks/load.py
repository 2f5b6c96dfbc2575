# SPDX-License-Identifier: Apache-2.0
"""Loads of days and of many: `make load`, or with names of some of them.

They take the better part of an hour; `--quick` shows in minutes that they work.
"""

import argparse
import sys
from pathlib import Path

if __name__ == '__main__':
    # The benchmarks are no installed package. At the end, so that a built one comes first.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import ages, cameras, day, planners
from benchmarks.machine import describe_machine
from benchmarks.measure import Figure
from benchmarks.program import make_parser, measure_apart, parse
from benchmarks.report import write_report

LOADS = {
    'million': lambda options: ages.measure(20_000 if options.quick else 1_000_000),
    'day': lambda options: day.measure(2_000 if options.quick else options.frames),
    'planners': lambda options: planners.measure(
        100, *((20.0, 10.0) if options.quick else (60.0 * options.minutes, 60.0))
    ),
    'cameras': lambda options: cameras.measure_four(5.0 if options.quick else 60.0),
    'camera': lambda options: cameras.measure_one(5.0 if options.quick else 10.0),
}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, LOADS, 'short loads')
    parser.add_argument('--frames', type=int, default=86_400, help='of the day')
    parser.add_argument('--minutes', type=float, default=10.0, help='that the planners ask')
    parser.add_argument('--note', default='', help='what else the machine did; kept in the result')
    return parse(parser, LOADS)


def run(name: str, options: argparse.Namespace) -> list[Figure]:
    """Put on one load."""
    return LOADS[name](options)


def main() -> int:
    """Run what was asked for, print it, and keep it."""
    options = parse_arguments()
    for name in options.names:
        machine = describe_machine()
        if options.note:
            machine['note'] = options.note
        figures = measure_apart(run, name, options)
        if not options.quick:
            command = f'python3 benchmarks/load.py {name}'
            if name == 'day':
                command += f' --frames {options.frames}'
            if name == 'planners':
                command += f' --minutes {options.minutes:g}'
            write_report(options.out, f'load_{name}', figures, machine, command)
    return 0


if __name__ == '__main__':
    sys.exit(main())
