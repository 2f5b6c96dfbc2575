# SPDX-License-Identifier: Apache-2.0
"""The drawing board."""

import numpy as np
import pytest

from flash_vstream_ros.replay.canvas import Canvas

PAPER, INK = (250, 240, 230), (10, 20, 30)


def inked(canvas: Canvas) -> np.ndarray:
    """Where something was drawn, (H, W) bool."""
    return (canvas.pixels != PAPER).any(-1)


def columns(canvas: Canvas) -> np.ndarray:
    return np.flatnonzero(inked(canvas).any(0))


@pytest.mark.parametrize('anchor', ['left', 'middle', 'right'])
def test_text_lies_where_its_anchor_says(anchor: str) -> None:
    canvas = Canvas(400, 60, PAPER)
    width = canvas.text('HHHHHHHH', 200, 30, 12, INK, anchor=anchor)
    left = {'left': 200, 'middle': 200 - width / 2, 'right': 200 - width}[anchor]
    drawn = columns(canvas)
    assert drawn[0] == pytest.approx(left, abs=4)
    assert drawn[-1] == pytest.approx(left + width, abs=4)
    rows = np.flatnonzero(inked(canvas).any(1))
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(30, abs=1.5)
    assert rows[-1] - rows[0] == pytest.approx(12, abs=3)


def test_text_has_its_colour_and_smooth_edges() -> None:
    canvas = Canvas(100, 60, PAPER)
    canvas.text('HI', 20, 30, 20, INK)
    colours = np.unique(canvas.pixels.reshape(-1, 3), axis=0)
    assert (colours[0] <= np.array(INK) + 3).all()
    assert len(colours) > 8


def test_letters_that_reach_below_the_line_are_whole() -> None:
    """Cut-off tails of g and p look as if the picture were broken."""
    canvas, tall = Canvas(100, 80, PAPER), Canvas(100, 80, PAPER)
    canvas.text('gpqyj', 10, 40, 20, INK)
    tall.text('H', 10, 40, 20, INK)
    below = np.flatnonzero(inked(canvas).any(1))[-1] - np.flatnonzero(inked(tall).any(1))[-1]
    assert below >= 5


def test_what_lies_beyond_the_edge_is_cut_off() -> None:
    canvas = Canvas(40, 20, PAPER)
    canvas.text('A long text', -20, 3, 12, INK)
    canvas.text('A long text', 500, 300, 12, INK)
    assert inked(canvas)[:, :30].any()


def test_a_bar_reaches_from_end_to_end_and_is_a_dot_at_least() -> None:
    canvas = Canvas(200, 60, PAPER)
    canvas.bar(40, 160, 30, 16, INK)
    drawn = columns(canvas)
    assert drawn[0] == pytest.approx(40, abs=2)
    assert drawn[-1] == pytest.approx(160, abs=2)
    dot = Canvas(200, 60, PAPER)
    dot.bar(100, 100, 30, 16, INK)
    assert len(columns(dot)) == pytest.approx(16, abs=3)


@pytest.mark.parametrize('shape', [(90, 160), (160, 90), (10, 10), (1, 300)])
def test_a_picture_fills_its_box_undistorted(shape: tuple[int, int]) -> None:
    canvas = Canvas(200, 200, PAPER)
    width, height = canvas.picture(np.zeros((*shape, 3), np.uint8), 20, 40, 120, 100)
    assert width == 120 or height == 100
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.05) or 1 in (width, height)
    rows = np.flatnonzero(inked(canvas).any(1))
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(90, abs=1)
    assert inked(canvas).sum() == width * height
