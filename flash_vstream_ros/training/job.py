# SPDX-License-Identifier: Apache-2.0
"""What the training loop asks of what it trains."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn
from torch.utils.data import Dataset

from flash_vstream_ros.training.meter import Counts


class Job(Protocol):
    """What a run trains: made after the seed is set."""

    model: nn.Module  # forward(batch) -> Loss
    data: Dataset
    steps_an_epoch: float
    origins: dict[str, str]  # digests of what it learns from, by name

    def collate(self, items: Sequence[Any]) -> dict[str, Any]:
        """Make a batch of items of the data."""

    def count(self, batch: dict[str, Any], items: Sequence[Any]) -> Counts:
        """Count what is logged of a batch."""

    def name(self, item: Any) -> str:
        """Name an item in a message."""

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Write the model as a checkpoint in the published layout."""

    def is_saved(self, folder: Path) -> bool:
        """Whether a whole checkpoint lies in a folder, of the type that is asked for."""
