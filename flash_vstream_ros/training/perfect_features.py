# SPDX-License-Identifier: Apache-2.0
"""Features that tell the truth: what a small language model learns to look things up in.

A Vicuna knows how to find an answer in a text before it sees its first picture. A small model that
starts from nothing learns that here, from maps that a perfect encoder could have made of the
simulator's streams: a sum of one fixed random code for each thing that is true of a frame. It
needs no encoder for that; the paper's stage 1 then puts the trained encoder's maps in their place.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.simulator.recording import PatrolRecording
from flash_vstream_ros.simulator.view import View
from flash_vstream_ros.training.labelled_frames import (
    CLASSES,
    OBJECT_LABELS,
    label_objects,
    label_view,
)

# Deviations of an element. What happens weighs more than where, so that events lie apart.
ROOM_GAIN, EVENT_GAIN, OBJECT_GAIN = 0.3, 0.7, 0.7
NOISE = 0.05


class PerfectEncoder:
    """Stands in for a ``FlashVStream`` in an extraction: its frames are maps already.

    :param geometry: of the memory that the maps will go to; they have the side of its details.
    """

    def __init__(self, geometry: MemoryGeometry) -> None:
        self.geometry = replace(geometry, feature_side=geometry.detail_side)
        generator = torch.Generator().manual_seed(0)

        def draw(count: int, gain: float) -> Tensor:
            return gain * torch.randn(count, geometry.feature_width, generator=generator)

        self._codes = {
            name: draw(len(values), ROOM_GAIN if name == 'room' else EVENT_GAIN)
            for name, values in CLASSES.items()
        }
        self._object_codes = draw(OBJECT_LABELS, OBJECT_GAIN)

    def encode(self, frames: Sequence[np.ndarray]) -> Tensor:
        """Put maps together, (B, Q, Q, D) float32."""
        return torch.from_numpy(np.stack(frames))

    def encode_view(self, view: View) -> Tensor:
        """Add up what is true of a view; objects in the cells in which they stand.

        :returns: (Q, Q, D) float32.
        """
        side = self.geometry.detail_side
        labels = label_view(view)
        whole = sum(self._codes[name][label] for name, label in labels.items() if label >= 0)
        if view.action is not None:  # before which nothing else stands
            return whole.expand(side, side, -1)
        objects, _ = label_objects(view, side)  # (Q * Q, labels)
        return whole + (torch.from_numpy(objects) @ self._object_codes).unflatten(0, (side, side))


class PerfectRecording(PatrolRecording):
    """A simulated stream whose frames decode to maps of what is true.

    :param path: of a stream description.
    :raises OSError: it cannot be read.
    :raises ValueError: it is something else, which has no known truth; it is named.
    """

    def __init__(self, path: Path, encoder: PerfectEncoder) -> None:
        super().__init__(path)
        self._perfect_encoder = encoder

    def _draw(self, number: int) -> np.ndarray:
        view = self._patrol.view_at(number / self._about.rate_hz)
        feature = self._perfect_encoder.encode_view(view).numpy()
        noise = np.random.default_rng((self._about.seed, number)).standard_normal(feature.shape)
        return feature + np.float32(NOISE) * noise.astype(np.float32)
