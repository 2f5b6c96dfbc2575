# SPDX-License-Identifier: Apache-2.0
"""How time and memory are measured, and what a figure is."""

import ctypes
import gc
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

CPU = torch.device('cpu')
_STATUS = Path('/proc/self/status')


@dataclass(frozen=True)
class Figure:
    """One measured value, with what it is compared to.

    :param low: 10th percentile, and ``high`` the 90th, where the value is a median of many.
    :param floor: the least this machine could need (largest it could do), in the same unit.
    :param at_most: the target, where there is one; or ``at_least``.
    """

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def target(self) -> str:
        """The target in words; empty where there is none."""
        if self.at_most is not None:
            return f'at most {self.at_most:g}'
        return '' if self.at_least is None else f'at least {self.at_least:g}'

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least


def wait_for(device: torch.device) -> None:
    """Wait until the device has done all it was told to."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int = 2,
    device: torch.device = CPU,
) -> dict[str, np.ndarray]:
    """Time several things in turns, so that what else the machine does hits all of them alike.

    :param contenders: what to call, by name.
    :param rounds: how often each is timed.
    :param warm_up: calls of each before, not timed.
    :param device: waited for before and after each call.
    :returns: per name the seconds of each call, (rounds,).
    """
    seconds = {name: np.empty(rounds) for name in contenders}
    for turn in range(-warm_up, rounds):
        for name, call in contenders.items():
            wait_for(device)
            started = time.perf_counter()
            call()
            wait_for(device)
            if turn >= 0:
                seconds[name][turn] = time.perf_counter() - started
    return seconds


def milliseconds(name: str, seconds: np.ndarray, **comparison: float) -> Figure:
    """Median, 10th and 90th percentile of one contender.

    :param comparison: ``floor``, ``at_most``, ``at_least`` in milliseconds.
    """
    low, median, high = np.percentile(seconds * 1e3, [10, 50, 90])
    return Figure(name, median, 'ms', low, high, **comparison)


def ratio(name: str, above: np.ndarray, below: np.ndarray, **target: float) -> Figure:
    """Median of one contender over the median of another one of the same run."""
    return Figure(name, float(np.median(above) / np.median(below)), 'times', **target)


def resident_bytes() -> int:
    """Memory of this process that is in RAM, after giving back all that can be given back.

    :raises OSError: this system has no /proc.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)  # glibc's alone
    if trim is not None:
        trim(0)
    kilobytes = re.search(r'^VmRSS:\s+(\d+) kB', _STATUS.read_text(), re.MULTILINE)
    return int(kilobytes[1]) * 1024
