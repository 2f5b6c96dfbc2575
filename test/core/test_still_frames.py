# SPDX-License-Identifier: Apache-2.0
"""Frames that show nothing new are told from those that do."""

import numpy as np
import pytest

from flash_vstream_ros.core.still_frames import CELLS, StillFrames, mean_colours

GENERATOR = np.random.default_rng(0)


def scene(height: int = 480, width: int = 640) -> np.ndarray:
    """(H, W, 3) uint8: patches of colour."""
    patches = GENERATOR.integers(40, 210, (12, 16, 3)).repeat(height // 12 + 1, 0)
    return patches.repeat(width // 16 + 1, 1)[:height, :width].astype(np.uint8)


def noisy(frame: np.ndarray, sigma: float) -> np.ndarray:
    noise = GENERATOR.normal(0.0, sigma, frame.shape)
    return (frame + noise).round().clip(0, 255).astype(np.uint8)


def test_the_first_frame_is_new_and_the_same_with_noise_is_not() -> None:
    still, frame = StillFrames(5.0), scene()
    assert not still.shows_nothing_new(frame)
    for _ in range(5):
        assert still.shows_nothing_new(noisy(frame, 8.0))


def test_a_small_thing_that_comes_is_new() -> None:
    still, frame = StillFrames(5.0), scene()
    still.shows_nothing_new(frame)
    changed = frame.copy()
    changed[200:230, 300:340] = (255, 0, 0)
    assert not still.shows_nothing_new(changed)
    assert still.shows_nothing_new(changed)
    assert not still.shows_nothing_new(frame), 'it went away'


def test_slow_changes_add_up() -> None:
    still, frame = StillFrames(5.5), scene()
    still.shows_nothing_new(frame)
    found = [still.shows_nothing_new(frame + np.uint8(brighter)) for brighter in range(1, 13)]
    assert found == [True] * 5 + [False] + [True] * 5 + [False]


def test_a_frame_of_another_size_is_new_and_so_is_the_next_after_forgetting() -> None:
    still = StillFrames(255.0)
    still.shows_nothing_new(scene())
    assert still.shows_nothing_new(scene())
    assert not still.shows_nothing_new(scene(240, 320))
    still.forget()
    assert not still.shows_nothing_new(scene(240, 320))


def test_without_a_threshold_all_are_new() -> None:
    still, frame = StillFrames(0.0), scene()
    assert [still.shows_nothing_new(frame) for _ in range(3)] == [False] * 3


@pytest.mark.parametrize('size', [(1, 1), (3, 5), (31, 33), (480, 640), (1081, 1921), (2, 4000)])
def test_cells_are_means_whatever_the_size(size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), (10, 20, 30), np.uint8)
    cells = mean_colours(frame)
    assert cells.shape == (min(size[0], CELLS), min(size[1], CELLS), 3)
    np.testing.assert_allclose(cells, np.broadcast_to([10.0, 20.0, 30.0], cells.shape), rtol=1e-6)


def test_cells_are_those_of_the_pixels_in_them() -> None:
    frame = GENERATOR.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    expected = frame.reshape(CELLS, 2, CELLS, 3, 3).mean((1, 3))
    np.testing.assert_allclose(mean_colours(frame), expected, rtol=1e-5)
