# SPDX-License-Identifier: Apache-2.0
"""A picture of the memory for people: its clusters along time, their key frames, its details."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.replay.canvas import BOLD, Canvas, Colour
from flash_vstream_ros.replay.recorded_frame import NS_PER_S
from flash_vstream_ros.replay.retrieved import retrieved_clusters
from flash_vstream_ros.replay.thumbnails import ThumbnailStore
from flash_vstream_ros.replay.time_scale import date_text, duration_text, offset_text, ticks

if TYPE_CHECKING:
    from flash_vstream_ros.core.snapshot import MemorySnapshot

WIDTH = 1600
MARGIN = 40
CONTENT = WIDTH - 2 * MARGIN
HEADER = 110
CARD_TOP, CARD_GAP, MOST_CARDS = 124, 24, 4
CARD_CAPTION, CARD_HEIGHT = 30, 204
AXIS_TOP = CARD_TOP + CARD_CAPTION + CARD_HEIGHT + 40
ROWS_TOP = AXIS_TOP + 30
ROW = 36
FOOTER = 92
WEIGHT_COLUMN, WEIGHT_BAR = 130, 38
NUMBER_COLUMN = 34
BAR = 16
MOST_TICKS = 10
TENTHS_BELOW_NS = 600 * NS_PER_S  # a longer memory needs no tenths of seconds

PAPER: Colour = (250, 249, 246)
STRIPE: Colour = (243, 242, 237)
GRID: Colour = (224, 222, 214)
CARD: Colour = (236, 234, 228)
FAINT: Colour = (176, 178, 182)
GREY: Colour = (116, 122, 132)
INK: Colour = (38, 46, 58)
THIN: Colour = (190, 210, 216)  # of a bar whose frames lie far apart
DENSE: Colour = (38, 102, 122)
RETRIEVED: Colour = (206, 122, 56)
NEWEST: Colour = (84, 142, 96)


@dataclass(frozen=True)
class _Layout:
    """Where things are, in pixels."""

    rows: int
    thumbnail: tuple[int, int]
    left: float  # of the time axis
    right: float
    oldest_ns: int
    span_ns: int

    @property
    def rows_end(self) -> int:
        return ROWS_TOP + self.rows * ROW

    def y(self, row: int) -> float:
        return ROWS_TOP + (row + 0.5) * ROW

    def x(self, stamp_ns: int) -> float:
        share = (stamp_ns - self.oldest_ns) / self.span_ns if self.span_ns else 0.0
        return self.left + share * (self.right - self.left)


def draw_memory(
    snapshot: 'MemorySnapshot', thumbnails: ThumbnailStore, geometry: MemoryGeometry
) -> np.ndarray:
    """Draw a memory. The size of the picture depends on the geometry alone.

    :param thumbnails: of the frames written to it.
    :param geometry: of the memory: how much it would hold when full.
    :returns: (H, 1600, 3) uint8 RGB.
    """
    rows = geometry.temporal_slots
    canvas = Canvas(WIDTH, ROWS_TOP + rows * ROW + FOOTER, PAPER)
    _draw_header(canvas, snapshot, geometry)
    if snapshot.frames_written == 0:
        canvas.text('No frame has been memorised yet.', MARGIN, CARD_TOP + 40, 14, GREY)
        return canvas.pixels
    layout = _layout(snapshot, thumbnails, rows)
    sources = retrieved_clusters(snapshot, geometry)
    _draw_cards(canvas, snapshot, thumbnails, sources)
    _draw_axis(canvas, layout)
    _draw_marks(canvas, layout, snapshot)
    _draw_clusters(canvas, layout, snapshot, thumbnails, sources)
    _draw_legend(canvas, layout)
    return canvas.pixels


def save_picture(picture: np.ndarray, path: str | os.PathLike) -> None:
    """Write a picture as PNG: all of it or nothing.

    :param picture: (H, W, 3) uint8 RGB.
    :raises OSError: the file cannot be written; what was there before is unharmed.
    """
    path = Path(path)
    png = cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    partial = path.with_name(f'{path.name}.{os.getpid()}.partial')
    try:
        partial.write_bytes(png)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _draw_header(canvas: Canvas, snapshot: 'MemorySnapshot', geometry: MemoryGeometry) -> None:
    canvas.text('What the memory holds', MARGIN, 46, 22, INK, weight=BOLD)
    parts = (snapshot.abstract, snapshot.temporal, snapshot.retrieved, snapshot.spatial)
    tokens = sum(part.shape[0] * part.shape[1] for part in parts)
    span_ns = snapshot.newest_stamp_ns - snapshot.oldest_stamp_ns
    facts = (
        (f'{snapshot.frames_written:,}', 'frame' if snapshot.frames_written == 1 else 'frames'),
        (duration_text(span_ns), 'from oldest to newest'),
        (f'{len(snapshot.temporal)}', f'of {geometry.temporal_slots} clusters'),
        (f'{tokens}', f'of {geometry.tokens} tokens'),
    )
    x = float(MARGIN)
    for value, name in facts:
        x += canvas.text(value, x, 88, 13, INK, weight=BOLD) + 10
        x += canvas.text(name, x, 88, 12, GREY) + 44
    since = date_text(snapshot.oldest_stamp_ns)
    if since:
        canvas.text(f'since {since}', WIDTH - MARGIN, 88, 12, GREY, anchor='right')


def _layout(snapshot: 'MemorySnapshot', thumbnails: ThumbnailStore, rows: int) -> _Layout:
    newest = thumbnails.at(snapshot.newest_stamp_ns)
    aspect = 16 / 9 if newest is None else newest.shape[1] / newest.shape[0]
    height = 2 * ROW - 6
    width = round(height * min(max(aspect, 0.75), 2.0))
    oldest_ns = snapshot.oldest_stamp_ns
    return _Layout(
        rows=rows,
        thumbnail=(width, height),
        left=MARGIN + 2 * (width + 6) + NUMBER_COLUMN + 30,
        right=WIDTH - MARGIN - WEIGHT_COLUMN,
        oldest_ns=oldest_ns,
        span_ns=snapshot.newest_stamp_ns - oldest_ns,
    )


def _draw_cards(
    canvas: Canvas, snapshot: 'MemorySnapshot', thumbnails: ThumbnailStore, sources: list[int]
) -> None:
    """The newest frame and the retrieved ones, enlarged."""
    newest_ns = snapshot.newest_stamp_ns
    cards = [(NEWEST, 'N', 'newest', '', newest_ns)]
    for number, stamp_ns in enumerate(snapshot.retrieved_stamps_ns.tolist(), start=1):
        cluster = sources[number - 1]
        cards.append((RETRIEVED, str(number), 'retrieved', f'cluster {cluster + 1}', stamp_ns))
    cards = cards[:MOST_CARDS]
    decimals = int(newest_ns - snapshot.oldest_stamp_ns < TENTHS_BELOW_NS)
    width = (CONTENT - CARD_GAP * (MOST_CARDS - 1)) / MOST_CARDS
    for index, (colour, sign, name, why, stamp_ns) in enumerate(cards):
        x, y = MARGIN + index * (width + CARD_GAP), CARD_TOP + CARD_CAPTION / 2 - 4
        canvas.badge(sign, x + 10, y, colour)
        end = x + 30 + canvas.text(name, x + 30, y, 11, INK, weight=BOLD)
        canvas.text(why, end + 10, y, 11, GREY)
        offset = offset_text(stamp_ns - snapshot.oldest_stamp_ns, decimals)
        canvas.text(f'at {offset}', x + width, y, 11, GREY, anchor='right')
        box = (x, CARD_TOP + CARD_CAPTION, width, CARD_HEIGHT)
        _draw_thumbnail(canvas, thumbnails.at(stamp_ns), *box)


def _draw_thumbnail(
    canvas: Canvas, picture: np.ndarray | None, x: float, y: float, width: float, height: float
) -> None:
    canvas.rectangle(x, y, width, height, CARD)
    if picture is None:
        canvas.text('no picture', x + width / 2, y + height / 2, 9, GREY, anchor='middle')
    else:
        canvas.picture(picture, x, y, width, height)


def _draw_axis(canvas: Canvas, layout: _Layout) -> None:
    for row in range(0, layout.rows, 2):
        left, top = layout.left - NUMBER_COLUMN - 14, ROWS_TOP + row * ROW
        canvas.rectangle(left, top, WIDTH - MARGIN - left, ROW, STRIPE)
    offsets_ns, decimals = ticks(layout.span_ns, MOST_TICKS)
    for offset_ns in offsets_ns:
        x = round(layout.x(layout.oldest_ns + offset_ns))
        canvas.rectangle(x, ROWS_TOP, 1, layout.rows * ROW + 6, GRID)
        label = offset_text(offset_ns, decimals)
        canvas.text(label, x, layout.rows_end + 20, 10, GREY, anchor='middle')
    canvas.text('key frames', MARGIN, AXIS_TOP, 10, GREY)
    canvas.text('frames', layout.right + 26, AXIS_TOP, 10, GREY)


def _draw_marks(canvas: Canvas, layout: _Layout, snapshot: 'MemorySnapshot') -> None:
    """Upright lines where the newest and the retrieved frames lie."""
    marks = [(snapshot.newest_stamp_ns, 'N', NEWEST)]
    for number, stamp_ns in enumerate(snapshot.retrieved_stamps_ns.tolist(), start=1):
        marks.append((stamp_ns, str(number), RETRIEVED))
    marks.sort()
    places = spread([layout.x(stamp_ns) for stamp_ns, _, _ in marks], 25, layout.right + 12)
    for (stamp_ns, sign, colour), place in zip(marks, places, strict=True):
        x = layout.x(stamp_ns)
        canvas.line((place, AXIS_TOP), (x, ROWS_TOP - 2), colour)
        canvas.line((x, ROWS_TOP - 2), (x, ROWS_TOP + len(snapshot.temporal) * ROW), colour)
        canvas.badge(sign, place, AXIS_TOP, colour)


def spread(places: Sequence[float], apart: float, end: float) -> list[float]:
    """Move marks to the left, no further than needed, until they are ``apart``.

    :param places: in growing order.
    :param end: the last one may not lie beyond.
    """
    moved: list[float] = []
    limit = end
    for place in reversed(places):
        moved.append(min(place, limit))
        limit = moved[-1] - apart
    return moved[::-1]


def _draw_clusters(
    canvas: Canvas,
    layout: _Layout,
    snapshot: 'MemorySnapshot',
    thumbnails: ThumbnailStore,
    sources: list[int],
) -> None:
    weights = snapshot.temporal_weights.tolist()
    firsts = snapshot.temporal_first_stamps_ns.tolist()
    lasts = snapshot.temporal_last_stamps_ns.tolist()
    means = snapshot.temporal_mean_stamps_ns.tolist()
    rate = (snapshot.frames_written - 1) / max(layout.span_ns, 1)  # frames per nanosecond
    for row, picture in enumerate(thumbnails.key_frames(snapshot)):
        _draw_key_frame(canvas, layout, row, picture)
    for row, (weight, first, last, mean) in enumerate(
        zip(weights, firsts, lasts, means, strict=True)
    ):
        y = layout.y(row)
        density = min(weight / (1 + (last - first) * rate), 1.0)
        colour = _mix(THIN, DENSE, density**0.5)
        canvas.bar(layout.x(first), layout.x(last), y, BAR, colour)
        canvas.dot(layout.x(mean), y, 4, PAPER)
        canvas.text(f'{weight:,}', layout.right + 58, y, 11, INK, anchor='right')
        length = max(WEIGHT_BAR * weight / max(weights), 3)
        canvas.rectangle(layout.right + 68, y - 4, length, 8, FAINT)
    for number, row in enumerate(sources, start=1):
        canvas.badge(str(number), WIDTH - MARGIN - 8, layout.y(row), RETRIEVED, radius=8)
    free = layout.rows - len(weights)
    if free > 2:
        y = layout.y(len(weights)) + free * ROW / 2
        middle = (MARGIN + layout.left - NUMBER_COLUMN) / 2
        canvas.text(f'{free} clusters free', middle, y, 11, FAINT, anchor='middle')


def _draw_key_frame(canvas: Canvas, layout: _Layout, row: int, picture: np.ndarray | None) -> None:
    """Key frames are two rows high, so they stand in two columns by turns."""
    width, height = layout.thumbnail
    x = MARGIN + row % 2 * (width + 6)
    y = layout.y(row)
    number_x = layout.left - NUMBER_COLUMN
    canvas.line((x + width, y), (number_x - 16, y), GRID)
    _draw_thumbnail(canvas, picture, x, y - height / 2, width, height)
    canvas.text(str(row + 1), number_x + 12, y, 10, GREY, anchor='right')


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _draw_legend(canvas: Canvas, layout: _Layout) -> None:
    y = layout.rows_end + FOOTER - 32
    x = float(MARGIN)
    canvas.bar(x, x + 34, y, BAR, THIN)
    canvas.bar(x + 40, x + 74, y, BAR, DENSE)
    x += 86
    x += canvas.text('a cluster, from its first to its last frame; darker: frames closer together',
                     x, y, 10.5, GREY) + 34  # fmt: skip
    canvas.bar(x, x + 34, y, BAR, DENSE)
    canvas.dot(x + 17, y, 4, PAPER)
    x += 46
    x += canvas.text('mean time', x, y, 10.5, GREY) + 34
    canvas.badge('N', x + 10, y, NEWEST)
    x += 30
    x += canvas.text('newest frame', x, y, 10.5, GREY) + 34
    canvas.badge('1', x + 10, y, RETRIEVED)
    x += 30
    canvas.text('a heaviest cluster and the frame retrieved for it', x, y, 10.5, GREY)
