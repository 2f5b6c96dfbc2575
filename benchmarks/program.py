# SPDX-License-Identifier: Apache-2.0
"""What `run.py` and `load.py` share: their arguments, and a process for each measurement."""

import argparse
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.measure import Figure
from benchmarks.report import table

RESULTS = Path(__file__).resolve().parent / 'results'


def make_parser(about: str, known: Collection[str], quick: str) -> argparse.ArgumentParser:
    """Make the parser of a program that measures what is named, and without names all of it.

    :param quick: what `--quick` does.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'{", ".join(known)}')
    parser.add_argument('--quick', action='store_true', help=f'{quick}; only printed')
    parser.add_argument('--out', type=Path, default=RESULTS, help='folder of the results')
    return parser


def parse(parser: argparse.ArgumentParser, known: Collection[str]) -> argparse.Namespace:
    """Read the command line; no names become all of them."""
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f'NAME: expected some of {", ".join(known)}, got {unknown[0]!r}')
    options.names = options.names or list(known)
    return options


def measure_apart(
    run: Callable[[str, argparse.Namespace], list[Figure]], name: str, options: argparse.Namespace
) -> list[Figure]:
    """Measure in a process of its own, so that none inherits another one's memory, and print it.

    :param run: a function of a module; it measures what is named.
    """
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as process:
        figures = process.submit(run, name, options).result()
    print(f'\n{name}\n\n{table(figures)}', flush=True)
    return figures
