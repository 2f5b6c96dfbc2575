# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks that need no GPU: `make bench`, or with names of some of them."""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

if __name__ == '__main__':
    # The benchmarks are no installed package. At the end, so that a built one comes first.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import answers, memory, message, transport
from benchmarks.machine import describe_machine
from benchmarks.measure import Figure
from benchmarks.report import table, write_report

RESULTS = Path(__file__).resolve().parent / 'results'
BENCHMARKS = {
    'memory': lambda options: memory.measure(options.frames, options.quick),
    'message': lambda options: message.measure(options.quick),
    'transport': lambda options: transport.measure(options.quick),
    'answers': lambda options: answers.measure(options.quick),
}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'{", ".join(BENCHMARKS)}')
    parser.add_argument('--quick', action='store_true', help='few rounds; only printed')
    parser.add_argument('--frames', type=int, default=100_000, help='age of the old memory')
    parser.add_argument('--out', type=Path, default=RESULTS, help='folder of the results')
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f'NAME: expected some of {", ".join(BENCHMARKS)}, got {unknown[0]!r}')
    if options.frames <= memory.YOUNG_FRAMES:
        parser.error(f'--frames: expected more than {memory.YOUNG_FRAMES}, got {options.frames}')
    return options


def run(name: str, options: argparse.Namespace) -> list[Figure]:
    """Run one benchmark; in a process of its own, so that none inherits another one's memory."""
    return BENCHMARKS[name](options)


def main() -> int:
    """Run what was asked for, print it, and keep it."""
    options = parse_arguments()
    machine = describe_machine()
    for name in options.names or BENCHMARKS:
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as process:
            figures = process.submit(run, name, options).result()
        print(f'\n{name}\n\n{table(figures)}', flush=True)
        if not options.quick:
            command = f'python3 benchmarks/run.py {name}'
            if name == 'memory':
                command += f' --frames {options.frames}'
            write_report(options.out, name, figures, machine, command)
    return 0


if __name__ == '__main__':
    sys.exit(main())
