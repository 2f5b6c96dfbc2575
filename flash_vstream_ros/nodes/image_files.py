# SPDX-License-Identifier: Apache-2.0
"""What an image file claims to be, looked at before a decoder works on it.

A file of a few hundred bytes can claim billions of pixels, or make a decoder work for hours on a
small picture. Only kinds whose size can be read here reach a decoder: JPEG, PNG, TIFF, WebP, BMP.
"""

import re
import struct
from collections.abc import Callable, Iterator

MOST_PIXELS = 2**26  # 8192 x 8192; decoding takes up to 16 bytes a pixel
MOST_SCANS = 100  # of a JPEG; encoders write about 10, and each costs a pass over all pixels
_MOST_SEGMENTS = 1000  # of a JPEG, before the picture
_PNG = b'\x89PNG\r\n\x1a\n'
# What a picture is made of; of the rest, compressed text alone can cost a second a kilobyte.
_PNG_CHUNKS = (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND')
_JPEG_MARKER = re.compile(rb'\xff+([^\x00\xff])')
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TIFF_TAGS = _WIDTH, _HEIGHT, _COMPRESSION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 259, 322, 323
# None, LZW, deflate, packed bits, deflate under its old number. A TIFF can hold a JPEG as well.
_TIFF_COMPRESSIONS = {1, 5, 8, 32773, 32946}
_TIFF_NUMBERS = {1: 'B', 3: 'H', 4: 'I'}

_Size = tuple[int, int]  # width, height


def checked_file(data: bytes) -> bytes:
    """Check an image file before it is decoded.

    :param data: the file.
    :returns: what to give to a decoder: the file, of a PNG no more than its picture.
    :raises ValueError: it is none that is read here, is cut off, or asks too much of a decoder;
        the message goes on after the name of the file.
    """
    reader = next((read for begin, read in _READERS if data.startswith(begin)), None)
    if reader is None:
        raise ValueError(
            'is corrupt, or no image file that is read here (JPEG, PNG, TIFF, WebP, BMP; no video)'
        )
    try:
        width, height = reader(data)
    except (struct.error, IndexError) as error:
        raise ValueError('is corrupt or cut off: its header is not whole') from error
    if min(width, height) < 1 or width * height > MOST_PIXELS:
        raise ValueError(
            f'claims {width} x {height} pixels; expected 1 to {MOST_PIXELS} pixels in all'
        )
    return b''.join(_picture_of_png(data)) if data.startswith(_PNG) else data


def _jpeg_size(data: bytes) -> _Size:
    if _lacks_end(data):
        raise ValueError('is a JPEG that is cut off: it has no end marker')
    # Within the compressed data this marker cannot occur.
    scans = data.count(b'\xff\xda')
    if scans > MOST_SCANS:
        raise ValueError(f'is a JPEG of {scans} scans; expected at most {MOST_SCANS}')
    place = 2
    for _ in range(_MOST_SEGMENTS):
        found = _JPEG_MARKER.search(data, place)
        if found is None:
            break
        marker, place = found[1][0], found.end()
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from('>HH', data, place + 3)
            return width, height
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # these stand alone
            continue
        if marker in (0xD8, 0xD9, 0xDA):
            break
        place += struct.unpack_from('>H', data, place)[0]
    raise ValueError('is a corrupt JPEG: it does not state its size before its picture')


def _lacks_end(data: bytes) -> bool:
    # Older OpenCV (4.9 for one) returns such a picture with rows that were never written.
    end = data.rfind(b'\xff\xd9')
    # A scan that starts after it: that was the end of the thumbnail in the header.
    return end < 0 or data.find(b'\xff\xda', end) >= 0


def _png_size(data: bytes) -> _Size:
    if data[12:16] != b'IHDR':
        raise ValueError('is a corrupt PNG: it does not begin with its size')
    return struct.unpack_from('>II', data, 16)


def _picture_of_png(data: bytes) -> Iterator[bytes]:
    """Signature and chunks of a PNG without which there is no picture."""
    yield _PNG
    place, kind = len(_PNG), b''
    while kind != b'IEND':
        kind = data[place + 4 : place + 8]
        end = place + 12 + int.from_bytes(data[place : place + 4])
        if end > len(data):
            raise ValueError('is a PNG that is corrupt or cut off: its last chunk is not whole')
        if kind in _PNG_CHUNKS:
            yield data[place:end]
        place = end


def _webp_size(data: bytes) -> _Size:
    kind = data[12:16]
    if data[8:12] == b'WEBP' and kind == b'VP8X':
        width, height = (int.from_bytes(data[at : at + 3], 'little') + 1 for at in (24, 27))
    elif data[8:12] == b'WEBP' and kind == b'VP8L':
        bits = struct.unpack_from('<I', data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif data[8:12] == b'WEBP' and kind == b'VP8 ':
        width, height = (side & 0x3FFF for side in struct.unpack_from('<HH', data, 26))
    else:
        raise ValueError('is no WebP that is read, or a corrupt one')
    return width, height


def _bmp_size(data: bytes) -> _Size:
    if struct.unpack_from('<I', data, 14)[0] == 12:  # the header of OS/2
        return struct.unpack_from('<HH', data, 18)
    width, height = struct.unpack_from('<ii', data, 18)
    return width, abs(height)  # negative: from top to bottom


def _tiff_size(data: bytes) -> _Size:
    order = '<' if data.startswith(b'II') else '>'
    (directory,) = struct.unpack_from(f'{order}I', data, 4)
    (entries,) = struct.unpack_from(f'{order}H', data, directory)
    values: dict[int, int] = {}
    for place in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind = struct.unpack_from(f'{order}HH', data, place)
        if tag in _TIFF_TAGS:
            if kind not in _TIFF_NUMBERS or tag in values:
                raise ValueError(f'is a corrupt TIFF: its tag {tag} is no single number')
            (values[tag],) = struct.unpack_from(f'{order}{_TIFF_NUMBERS[kind]}', data, place + 8)
    compression = values.get(_COMPRESSION, 1)
    if compression not in _TIFF_COMPRESSIONS:
        raise ValueError(f'is a TIFF of compression {compression}, which is not read')
    tile = values.get(_TILE_WIDTH, 1) * values.get(_TILE_HEIGHT, 1)
    if tile > MOST_PIXELS:
        raise ValueError(f'is a TIFF of tiles of {tile} pixels; expected at most {MOST_PIXELS}')
    return values.get(_WIDTH, 0), values.get(_HEIGHT, 0)


_READERS: tuple[tuple[bytes, Callable[[bytes], _Size]], ...] = (
    (b'\xff\xd8', _jpeg_size),
    (_PNG, _png_size),
    (b'RIFF', _webp_size),
    (b'BM', _bmp_size),
    (b'II*\0', _tiff_size),
    (b'MM\0*', _tiff_size),
)
