# SPDX-License-Identifier: Apache-2.0
"""Image and CompressedImage messages <-> RGB pictures, both directions side by side.

Messages are taken by their fields alone, so those of rclpy (``data`` is an array.array), those of
rosbags (an ndarray) and stand-ins all do, and nothing here needs ROS. A picture is always an
(H, W, 3) uint8 RGB array, C-contiguous, that shares no memory with the message.

Sixteen bits become eight by rounding x / 257, which sends 0 to 0 and 65535 to 255 and undoes
v * 257; a camera of fewer bits must fill the upper ones. Transparency is dropped. Rows are
``step`` bytes apart whatever is in the padding; as the pixels' places are certain, the last row
may lack its padding, and bytes after it are ignored (drivers publish whole capture buffers).
``is_bigendian`` counts for 16 bits only.
"""

import array
import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.nodes.cv_bridge_trial import cv_bridge_reads, find_cv_bridge
from flash_vstream_ros.nodes.image_encodings import (
    ENCODINGS,
    check_layout,
    check_sides,
    find_encoding,
    is_depth,
)
from flash_vstream_ros.nodes.image_files import checked_file

# BT.601, limited range: rows Y, U, V; columns R, G, B and the offset.
_YUV_FROM_RGB = np.array(
    [
        [65.481 / 255, 128.553 / 255, 24.966 / 255, 16],
        [-37.797 / 255, -74.203 / 255, 112 / 255, 128],
        [112 / 255, -93.786 / 255, -18.214 / 255, 128],
    ]
)


def image_to_rgb(message: Any) -> np.ndarray:
    """Convert an Image message to a picture.

    :param message: sensor_msgs/Image or anything with its fields.
    :returns: the picture, (H, W, 3) uint8 RGB.
    :raises ValueError: if the encoding shows no picture or the sizes do not fit the data.
    """
    find_encoding(message.encoding)
    check_layout(message)
    bridge, _ = find_cv_bridge()
    if bridge is not None and cv_bridge_reads(message):
        return bridge.imgmsg_to_cv2(message, 'rgb8')
    return _convert(message)


def rgb_to_image(frame: np.ndarray, message: Any, encoding: str = 'rgb8') -> None:
    """Fill an Image message with a picture; its header is left alone.

    :param frame: the picture, (H, W, 3) uint8 RGB.
    :param message: an empty sensor_msgs/Image; gets all fields but the header, without padding.
    :param encoding: rgb8, bgr8, mono8, one of the four 4:2:2 names, nv12, nv21 or nv24.
    :raises ValueError: if the frame is no such array, or the encoding is not one of these or
        cannot hold a picture of this size.
    """
    _check_frame(frame)
    if encoding not in _WRITERS:
        raise ValueError(
            f'cannot write image encoding {encoding!r}; can write: {", ".join(_WRITERS)}'
        )
    height, width = frame.shape[:2]
    check_sides(encoding, height, width)
    message.height, message.width, message.encoding = height, width, encoding
    message.is_bigendian = 0
    message.step = width * ENCODINGS[encoding].pixel_bytes
    _set_data(message, _WRITERS[encoding](frame))


def compressed_to_rgb(message: Any) -> np.ndarray:
    """Convert a CompressedImage message to a picture.

    The colours are those that the file itself states, whatever pixel format ``format`` names: the
    JPEG and PNG of compressed_image_transport and of cameras are ordinary files, also where they
    say 'rgb8; jpeg compressed rgb8'. Two files of compressed_image_transport are not what they
    seem: a mosaic, stored as grey ('bayer_rggb8; png compressed '), and a TIFF of rgb8 or rgba8,
    in which red and blue are exchanged. An EXIF orientation is not applied, so that the picture
    lies as in the raw topic.

    :param message: sensor_msgs/CompressedImage or anything with its fields.
    :returns: the picture, (H, W, 3) uint8 RGB.
    :raises ValueError: if the data is empty, cut off, corrupt, shows no picture, is a file of
        another kind than JPEG, PNG, TIFF, WebP and BMP, or asks too much of a decoder.
    """
    original, codec, stored = _parse_format(message.format)
    if original.startswith('bayer_') and not stored:
        return _demosaic(_decode(message, cv2.IMREAD_UNCHANGED), original)
    picture = _decode(
        message, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if codec == 'tiff' and original.startswith('rgb'):
        return _to_8_bits(picture)
    return _to_8_bits(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def rgb_to_compressed(frame: np.ndarray, message: Any, quality: int | None = 90) -> None:
    """Fill a CompressedImage message with a picture; its header is left alone.

    :param frame: the picture, (H, W, 3) uint8 RGB.
    :param message: an empty sensor_msgs/CompressedImage; gets ``format`` and ``data``.
    :param quality: of a JPEG, from 1 to 100; None: a PNG, which loses nothing.
    :raises ValueError: if the frame is no such array or the quality is out of range.
    """
    _check_frame(frame)
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f'JPEG quality {quality} is not from 1 to 100')
    kind, suffix, options = 'jpeg', '.jpg', [cv2.IMWRITE_JPEG_QUALITY, quality]
    if quality is None:
        kind, suffix, options = 'png', '.png', []
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
    message.format = f'rgb8; {kind} compressed bgr8'
    _set_data(message, encoded)


def converter_name() -> str:
    """Say what converts Image messages, for diagnostics.

    The first call tries cv_bridge where it is installed, which takes about a second: call it
    before the first image is due.

    :returns: 'cv_bridge', or OpenCV's version and why cv_bridge is not used.
    """
    bridge, why_not = find_cv_bridge()
    return 'cv_bridge' if bridge else f'OpenCV {cv2.__version__} ({why_not})'


def _convert(message: Any) -> np.ndarray:
    code = ENCODINGS[message.encoding].to_rgb
    if message.encoding == 'nv24':
        return cv2.cvtColor(_nv24_as_yuyv(message), code)[:, ::2].copy()
    samples = _samples(message)
    return _to_8_bits(samples.copy() if code is None else cv2.cvtColor(samples, code))


def _samples(message: Any) -> np.ndarray:
    """Samples of all planes, (rows, W) or (rows, W, channels); a view where they have 8 bits."""
    encoding = ENCODINGS[message.encoding]
    dtype = np.dtype('u1' if encoding.depth == 8 else '>u2' if message.is_bigendian else '<u2')
    shape = (encoding.rows(message.height), message.width, encoding.channels)
    strides = (message.step, encoding.pixel_bytes, dtype.itemsize)
    axes = 2 if encoding.channels == 1 else 3
    samples = np.ndarray(shape[:axes], dtype, message.data, strides=strides[:axes])
    # OpenCV takes neither foreign byte order nor 16-bit rows that start at odd places.
    return samples if encoding.depth == 8 else samples.astype(np.uint16, order='C')


def _nv24_as_yuyv(message: Any) -> np.ndarray:
    """Each pixel as two neighbours that share its U and V, (H, 2 W, 2)."""
    height, width, step = message.height, message.width, message.step
    chroma = np.ndarray(
        (height, width, 2), np.uint8, message.data, height * step, (2 * step, 2, 1)
    )
    yuyv = np.empty((height, width, 2, 2), np.uint8)
    yuyv[..., 0] = _samples(message)[:height, :, np.newaxis]
    yuyv[..., 1] = chroma
    return yuyv.reshape(height, 2 * width, 2)


def _to_8_bits(picture: np.ndarray) -> np.ndarray:
    # x / 257 never lies half way between two integers, so that no rounding rule enters.
    return picture if picture.dtype == np.uint8 else cv2.convertScaleAbs(picture, alpha=1 / 257)


def _write_422(frame: np.ndarray, luma_first: bool) -> np.ndarray:
    """Encode a frame as Y U Y V or U Y V Y, (H, W, 2); a pair of pixels has the mean chroma."""
    height, width = frame.shape[:2]
    yuv = cv2.transform(frame, _YUV_FROM_RGB)
    chroma = cv2.resize(yuv[..., 1:].copy(), (width // 2, height), interpolation=cv2.INTER_AREA)
    luma = yuv[..., 0]
    shared = chroma.reshape(height, width)  # U V U V ...
    return np.stack((luma, shared) if luma_first else (shared, luma), axis=-1)


def _write_semi_planar(frame: np.ndarray, chroma_order: tuple[int, int], group: int) -> np.ndarray:
    """Encode a frame as a plane of Y and one of chroma, flat; ``group`` pixels a side share it."""
    height, width = frame.shape[:2]
    yuv = cv2.transform(frame, _YUV_FROM_RGB)
    chroma = cv2.resize(
        np.ascontiguousarray(yuv[..., chroma_order]),
        (width // group, height // group),
        interpolation=cv2.INTER_AREA,
    )
    return np.concatenate((yuv[..., 0].ravel(), chroma.ravel()))


_WRITERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'rgb8': np.ascontiguousarray,
    'bgr8': functools.partial(cv2.cvtColor, code=cv2.COLOR_RGB2BGR),
    'mono8': functools.partial(cv2.cvtColor, code=cv2.COLOR_RGB2GRAY),
    'uyvy': functools.partial(_write_422, luma_first=False),
    'yuv422': functools.partial(_write_422, luma_first=False),
    'yuyv': functools.partial(_write_422, luma_first=True),
    'yuv422_yuy2': functools.partial(_write_422, luma_first=True),
    'nv12': functools.partial(_write_semi_planar, chroma_order=(1, 2), group=2),
    'nv21': functools.partial(_write_semi_planar, chroma_order=(2, 1), group=2),
    'nv24': functools.partial(_write_semi_planar, chroma_order=(1, 2), group=1),
}


def _check_frame(frame: np.ndarray) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
        raise ValueError(
            f'a frame must be an (H, W, 3) uint8 RGB array, not {frame.shape} of {frame.dtype}'
        )


def _set_data(message: Any, samples: np.ndarray) -> None:
    if isinstance(message.data, np.ndarray):  # rosbags can write nothing else
        message.data = samples.flatten()
        return
    # rclpy takes an array.array a thousand times faster than an ndarray or a memoryview.
    data = array.array('B')
    data.frombytes(samples.data.cast('B'))
    message.data = data


def _parse_format(text: str) -> tuple[str, str, str]:
    """Split '<original>; <codec> compressed <stored>', as compressed_image_transport writes it."""
    original, _, rest = text.partition(';')
    codec, _, stored = rest.partition(' compressed')
    original = original.strip()
    if is_depth(original) or 'compressedDepth' in text:
        raise ValueError(
            f'compressed image of format {quote(text)} is a depth image, not a picture: '
            'subscribe to the colour image of the camera'
        )
    return original, codec.strip(), stored.strip()


def _decode(message: Any, flags: int) -> np.ndarray:
    """Decode the file in a CompressedImage, in OpenCV's channel order, uint8 or uint16."""
    name = f'compressed image of format {quote(message.format)} and {len(message.data)} bytes'
    if not len(message.data):
        raise ValueError(f'{name} is empty: the publisher could not compress it')
    try:
        data = checked_file(np.frombuffer(message.data, np.uint8).tobytes())
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f'{name} cannot be decoded: {str(error).strip()}') from error
    except ValueError as error:
        raise ValueError(f'{name} {error}') from error
    if picture is None:
        raise ValueError(f'{name} is corrupt or cut off')
    if picture.dtype not in (np.uint8, np.uint16):
        raise ValueError(f'{name} holds {picture.dtype} numbers; expected 8 or 16 bits')
    return picture


def _demosaic(mosaic: np.ndarray, encoding: str) -> np.ndarray:
    code = find_encoding(encoding).to_rgb
    if mosaic.ndim != 2:
        raise ValueError(
            f'compressed image of a {encoding} mosaic must be grey, but it has '
            f'{mosaic.shape[2]} channels: the publisher names a wrong format'
        )
    check_sides(encoding, *mosaic.shape)
    return _to_8_bits(cv2.cvtColor(mosaic, code))
