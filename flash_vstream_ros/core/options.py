# SPDX-License-Identifier: Apache-2.0
"""Verbs of the command line, and the options that several have. Quick to import: no torch."""

import argparse
from collections.abc import Callable
from typing import Any


def add_verb(verbs: Any, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    """Add a verb to the command line.

    :param summary: for the list of all verbs.
    """
    return verbs.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def count(text: str) -> int:
    """Read a whole number from 1 on.

    :raises argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1 on, got {text!r}')
    return int(text)


def add_batch(parser: argparse.ArgumentParser, default: int, text: str) -> None:
    """Add the option ``--batch``, at least 1."""
    text += ' (default: %(default)s)'
    parser.add_argument('--batch', type=count, default=default, metavar='N', help=text)


def add_tunable(
    parser: argparse.ArgumentParser, flag: str, config: type, name: str, metavar: str, text: str
) -> None:
    """Add an option whose default and range are those of a configuration's field.

    :param config: class of the configuration.
    :param name: of its field, and of the option's value.
    """
    parser.add_argument(
        flag,
        dest=name,
        type=_tunable_type(config, name),
        default=getattr(config, name),
        metavar=metavar,
        help=f'{text} (default: %(default)s)',
    )


def _tunable_type(config: type, name: str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = type(getattr(config, name))(text)
            config(**{name: value})
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return value

    return parse
