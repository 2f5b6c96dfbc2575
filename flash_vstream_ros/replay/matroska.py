# SPDX-License-Identifier: Apache-2.0
"""Whether a Matroska file (.mkv, .webm) is whole: RFC 8794, RFC 9559.

It has no count of frames, only how long its longest track is, which may be sound.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

SUFFIXES = ('.mkv', '.webm')
_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067
_CLUSTER = 0x1F43B675
_ANYWHERE = (0xEC, 0xBF)  # Void, CRC-32
# SeekHead, Info, Tracks, Cues, Attachments, Chapters, Tags
_OF_SEGMENT = (0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367)
# Timestamp, SilentTracks, Position, PrevSize, SimpleBlock, BlockGroup, EncryptedBlock
_OF_CLUSTER = (0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF)


def is_damaged(path: Path) -> bool:
    """Whether a file ends too early, or something else lies where a part of it should begin.

    False where sizes are not said, as by a live recording.

    :raises OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open('rb') as file:
        header = _element(file)
        if header is None or header[0] != _HEADER or header[1] is None:
            return True
        file.seek(header[1], 1)
        segment = _element(file)
        if segment is None or segment[0] != _SEGMENT:
            return True
        if segment[1] is None:
            return False
        end = file.tell() + segment[1]
        return end > size or _has_gap(file, end, (_CLUSTER, *_OF_SEGMENT, *_ANYWHERE))


def _has_gap(file: BinaryIO, end: int, known: Sequence[int]) -> bool:
    """Go over elements of known names, up to where they end; into clusters as well."""
    while file.tell() < end:
        part = _element(file)
        if part is None or part[0] not in known:
            return True
        name, size = part
        if size is None:
            return False
        inner = file.tell() + size
        if name == _CLUSTER and _has_gap(file, inner, (*_OF_CLUSTER, *_ANYWHERE)):
            return True
        file.seek(inner)
    return file.tell() > end


def _element(file: BinaryIO) -> tuple[int, int | None] | None:
    """Read what an element begins with: name, and size or None where it is unknown."""
    name = _bytes_of_number(file)
    size = _bytes_of_number(file)
    if not name or not size:
        return None
    bits = 7 * len(size)
    value = int.from_bytes(size, 'big') & ((1 << bits) - 1)
    return int.from_bytes(name, 'big'), None if value == (1 << bits) - 1 else value


def _bytes_of_number(file: BinaryIO) -> bytes:
    """Read a number of variable length, with its marker; nothing where there is none."""
    first = file.read(1)
    if not first or not first[0]:
        return b''
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    return first + rest if len(rest) == more else b''
