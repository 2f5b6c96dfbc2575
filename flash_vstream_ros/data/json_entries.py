# SPDX-License-Identifier: Apache-2.0
"""JSON lists whose entries can be named by their line."""

import json
import re
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

_SPACE = re.compile(r'[\s\ufeff]*')


def read_entries(path: Path) -> Iterator[tuple[int, Any]]:
    """Iterate over a JSON list with the line at which each entry begins.

    :raises OSError: the file cannot be read.
    :raises ValueError: no JSON list; file and line are named.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: expected a JSON file in UTF-8: {error}') from error
    decoder = json.JSONDecoder()
    place, line = _skip(text, 0), 1 + text.count('\n', 0, _skip(text, 0))
    if text[place : place + 1] != '[':
        raise ValueError(f'{path}, line {line}: expected a JSON list of objects')
    mark = '['
    while True:
        begin = _skip(text, place + 1)
        line += text.count('\n', place, begin)
        if text[begin : begin + 1] == ']' and mark == '[':
            return
        try:
            entry, end = decoder.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            raise ValueError(f'{path}, line {error.lineno}: not JSON: {error.msg}') from error
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits; [[[[...
            raise ValueError(f'{path}, line {line}: JSON that cannot be read: {error}') from error
        yield line, entry
        place = _skip(text, end)
        line += text.count('\n', begin, place)
        mark = text[place : place + 1]
        if mark == ']':
            return
        if mark != ',':
            raise ValueError(f'{path}, line {line}: not JSON: expected a comma or ] here')


def finite_number(value: Any) -> float | None:
    """Read a JSON number; None: it is none, or no float holds it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number of 400 digits
        return None
    return number if isfinite(number) else None


def read_seconds(value: Any) -> float | None:
    """Read a time: a JSON number, or a text that is one, as ``"36.5"``; None: it is neither."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return finite_number(value)


def _skip(text: str, place: int) -> int:
    return _SPACE.match(text, place).end()
