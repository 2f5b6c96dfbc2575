# SPDX-License-Identifier: Apache-2.0
"""What a training run logs of its steps."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """What a batch holds.

    :param labels: over which its loss is summed.
    :param tokens: that the model reads, padding excepted.
    :param cut: answers that did not fit whole.
    """

    labels: int
    tokens: int
    cut: int = 0


class Meter:
    """Adds up what is logged."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._begin = time.perf_counter()
        self._loss, self._labels, self._tokens, self._cut = 0.0, 0, 0, 0
        self._rate, self._norm, self._skipped = 0.0, 0.0, 0

    def add(self, total: Tensor, counts: Counts) -> None:
        """Count a micro-batch and its summed loss."""
        self._loss += float(total)
        self._tokens += counts.tokens
        self._cut += counts.cut

    def end_step(self, rate: float, norm: Tensor, labels: int, is_skipped: bool) -> None:
        """Count a step.

        :param labels: of all processes.
        :param is_skipped: no weight has changed.
        """
        self._rate, self._norm = rate, float(norm)
        self._labels += labels
        self._skipped += is_skipped

    def take(self, total: Callable[[float], Tensor]) -> dict[str, float]:
        """What has been counted since the last time.

        :param total: sums over all processes.
        """
        seconds = time.perf_counter() - self._begin
        values = {
            'loss': float(total(self._loss)) / self._labels,
            'learning_rate': self._rate,
            'gradient_norm': self._norm,
            'tokens_per_second': float(total(self._tokens)) / seconds,
        }
        cut = int(total(self._cut))
        if cut:
            logger.warning('%d answers did not fit into max_length and were cut off', cut)
        if self._skipped:
            logger.warning('%d steps were left out: gradients too large for fp16', self._skipped)
        self._clear()
        return values
