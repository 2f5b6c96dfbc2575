# SPDX-License-Identifier: Apache-2.0
"""Whether a Matroska file (.mkv, .webm) ends where it says: RFC 8794, RFC 9559.

It has no count of frames, only how long its longest track is, which may be sound.
"""

from pathlib import Path
from typing import BinaryIO

SUFFIXES = ('.mkv', '.webm')
_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067


def is_cut_off(path: Path) -> bool:
    """Whether the file is shorter than its segment says; False where it does not say.

    :raises OSError: it cannot be read.
    """
    with path.open('rb') as file:
        ends = {}
        while (name := _number(file, keep_marker=True)) is not None:
            size = _number(file)
            if size is None or name not in (_HEADER, _SEGMENT):
                return False  # of unknown size, as a live recording, or no Matroska
            ends[name] = file.tell() + size
            if name == _SEGMENT:
                return path.stat().st_size < ends[name]
            file.seek(ends[name])
    return True  # not even a segment


def _number(file: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """Read a number of variable length; None: unknown, or the file ends."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()  # bytes behind the first one
    rest = file.read(more)
    if len(rest) < more:
        return None
    value = int.from_bytes(first + rest, 'big')
    if keep_marker:
        return value
    bits = 7 * (more + 1)
    value &= (1 << bits) - 1
    return None if value == (1 << bits) - 1 else value
