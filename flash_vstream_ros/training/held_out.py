# SPDX-License-Identifier: Apache-2.0
"""Simulated streams that are kept for validation and tests, and not trained on."""

import re
from collections.abc import Iterable
from pathlib import Path

from flash_vstream_ros.simulator.dataset import SPLITS, split_of
from flash_vstream_ros.simulator.description import DESCRIPTION_SUFFIX, PatrolDescription

_NAME = re.compile(r'(?:.*/)?patrol_(\d{1,9})(?:\.\w+)?')  # as the simulator names a stream


def check_trained_on(recordings: Iterable[Path]) -> None:
    """Check that no description beside the questions is of a stream that is kept for later.

    :param recordings: of one stream; those that are no description say nothing.
    :raises ValueError: its seed is one of validation or test.
    """
    for path in recordings:
        if path.suffix != DESCRIPTION_SUFFIX:
            continue
        try:
            seed = PatrolDescription.read(path).seed
        except (OSError, ValueError):
            continue
        if is_held_out(seed):
            raise ValueError(
                f'{path}: expected a seed that is trained on, 0 to {SPLITS["train"][-1]}, got '
                f'{seed}, which is kept for {split_of(seed)}; simulate others to train on'
            )


def is_held_out(seed: int) -> bool:
    """Whether a seed is one of validation or test."""
    return split_of(seed) not in ('', 'train')


def is_named_held_out(name: str) -> bool:
    """Whether a recording has the name that the simulator gives one of validation or test."""
    found = _NAME.fullmatch(name)
    return found is not None and is_held_out(int(found[1]))
