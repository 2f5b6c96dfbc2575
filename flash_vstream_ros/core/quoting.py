# SPDX-License-Identifier: Apache-2.0
"""Values of others in our messages: recognisable, on one line, and never longer than a line or so.

A message or a file may hold a name of 100 MB; its error must not go to the log at that length.
"""

import reprlib
from typing import Any

LONGEST = 500  # characters: the sizes of a memory, written out, fit in

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 450
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 10
_REPR.maxlevel = 2


def quote(value: Any) -> str:
    """Show a value as ``repr`` does, with ``...`` for what is too long.

    :param value: anything that came from outside: text, numbers, parsed JSON, arrays.
    :returns: at most :data:`LONGEST` characters.
    """
    return _cut(_REPR.repr(value).replace('\n', ' '))


def shorten(text: Any) -> str:
    """Put a text, as another library's error, on one line and cut it where it is too long.

    :returns: at most :data:`LONGEST` characters, all of which a log and a message can carry.
    """
    return _cut(printable(' '.join(str(text).split())))


def printable(text: str) -> str:
    """Text that UTF-8 can encode: half a surrogate, as JSON may hold one, is written out."""
    return text.encode(errors='backslashreplace').decode()


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else f'{line[: LONGEST - 3]}...'
