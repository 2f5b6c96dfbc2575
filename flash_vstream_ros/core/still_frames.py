# SPDX-License-Identifier: Apache-2.0
"""Tells frames that show nothing new before they cost a pass of the encoder."""

import numpy as np

CELLS = 32  # along each side of the grid that frames are compared on
_SAMPLES = 8  # of each cell, along each side


class StillFrames:
    """Compares frames with the one encoded last, by the mean colours of a grid of cells.

    The largest difference counts, so that a small thing that moves is noticed, and the frame
    *encoded* last is what is compared with, so that slow changes add up until they are noticed.

    :param threshold: grey levels, 0 to 255; a frame none of whose cells differs by more shows
        nothing new. 0: no frame is compared.
    :raises ValueError: the threshold is out of range.
    """

    def __init__(self, threshold: float) -> None:
        if not 0.0 <= threshold <= 255.0:
            raise ValueError(f'still_threshold: expected 0 to 255, got {threshold}')
        self.threshold = threshold
        self._shape: tuple[int, ...] = ()
        self._cells: np.ndarray | None = None  # of the frame encoded last

    def shows_nothing_new(self, frame: np.ndarray) -> bool:
        """Compare a frame; one that shows something new is what the next are compared with.

        :param frame: (H, W, 3) uint8 RGB.
        """
        if not self.threshold:
            return False
        cells = mean_colours(frame)
        is_alike = (
            self._cells is not None
            and frame.shape == self._shape
            and np.abs(cells - self._cells).max() <= self.threshold
        )
        if not is_alike:
            self._cells, self._shape = cells, frame.shape
        return bool(is_alike)

    def forget(self) -> None:
        """Have the next frame encoded, whatever it shows: the last one could not be used."""
        self._cells = None


def mean_colours(frame: np.ndarray) -> np.ndarray:
    """Mean colours of the cells of a grid, over a sample of their pixels.

    :param frame: (H, W, 3) uint8 RGB.
    :returns: (h, w, 3) float32, h and w at most :data:`CELLS`.
    """
    row_step, column_step = (max(size // (CELLS * _SAMPLES), 1) for size in frame.shape[:2])
    sums = frame[::row_step, ::column_step].astype(np.float32)
    for axis in (0, 1):
        size = sums.shape[axis]
        starts = np.unique(np.arange(CELLS) * size // CELLS)
        counts = np.diff(starts, append=size).astype(np.float32)
        means = np.add.reduceat(sums, starts, axis)
        sums = means / counts.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return sums
