# SPDX-License-Identifier: Apache-2.0
"""Loads of days and of many: `make load`, or with names of some of them.

They take the better part of an hour; `--quick` shows in minutes that they work.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

if __name__ == '__main__':
    # The benchmarks are no installed package. At the end, so that a built one comes first.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import ages, cameras, day, planners
from benchmarks.machine import describe_machine
from benchmarks.measure import Figure
from benchmarks.report import table, write_report

RESULTS = Path(__file__).resolve().parent / 'results'
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'{", ".join(LOADS)}')
    parser.add_argument('--quick', action='store_true', help='short loads; only printed')
    parser.add_argument('--frames', type=int, default=86_400, help='of the day')
    parser.add_argument('--minutes', type=float, default=10.0, help='that the planners ask')
    parser.add_argument('--out', type=Path, default=RESULTS, help='folder of the results')
    parser.add_argument('--note', default='', help='what else the machine did; kept in the result')
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in LOADS]
    if unknown:
        parser.error(f'NAME: expected some of {", ".join(LOADS)}, got {unknown[0]!r}')
    return options


def run(name: str, options: argparse.Namespace) -> list[Figure]:
    """Put on one load; in a process of its own, so that none inherits another one's memory."""
    return LOADS[name](options)


def main() -> int:
    """Run what was asked for, print it, and keep it."""
    options = parse_arguments()
    for name in options.names or LOADS:
        machine = describe_machine()
        if options.note:
            machine['note'] = options.note
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as process:
            figures = process.submit(run, name, options).result()
        print(f'\n{name}\n\n{table(figures)}', flush=True)
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
