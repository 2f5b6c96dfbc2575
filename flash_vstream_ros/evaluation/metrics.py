# SPDX-License-Identifier: Apache-2.0
"""Accuracies with their intervals, from the records of an evaluation."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np

from flash_vstream_ros.evaluation.judges import normalise

Record = Mapping[str, Any]
Z = 1.959964  # of 95 %
RESAMPLES = 4000
KEPT_SHARE = 0.5  # an event is kept if at least so much of it lies in one cluster
# Seconds since the asked-about event, doubling.
AGE_EDGES = (0.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3840.0, 7680.0, np.inf)


@dataclass(frozen=True)
class Accuracy:
    """How many of n answers are right.

    :param low: lower end of the 95 % interval (Wilson), as if answers were independent.
    """

    n: int
    right: int
    share: float
    low: float
    high: float

    @classmethod
    def of(cls, records: Sequence[Record]) -> 'Accuracy | None':
        """Count; None: there are no answers."""
        if not records:
            return None
        right = sum(bool(record['correct']) for record in records)
        low, high = wilson(right, len(records))
        return cls(len(records), right, right / len(records), low, high)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over streams, whose questions hang together.

    :param streams: drawn again and again, with replacement, whole; clips that are cut from one
        source are one of them.
    :param low: None where there is one stream only, which says nothing of others.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    streams: int


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of a share, 95 %.

    :param n: at least 1.
    """
    share = right / n
    scale = 1.0 + Z**2 / n
    centre = (share + Z**2 / (2.0 * n)) / scale
    half = Z * sqrt(share * (1.0 - share) / n + Z**2 / (4.0 * n**2)) / scale
    # Rounded, an end may come to lie on the wrong side of a share of 0 or 1.
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)


def over_streams(values: Sequence[float], streams: Sequence[Hashable]) -> Estimate:
    """Mean of values, with a bootstrap over the streams they are of.

    :param values: one a question.
    :param streams: the stream of each.
    """
    sums: dict[Hashable, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for value, stream in zip(values, streams, strict=True):
        sums[stream][0] += value
        sums[stream][1] += 1.0
    table = np.array(list(sums.values()))  # (streams, 2): sum, count
    mean = float(table[:, 0].sum() / table[:, 1].sum())
    if len(table) < 2:
        return Estimate(mean, None, None, len(values), len(table))
    random = np.random.default_rng(0)
    drawn = random.multinomial(len(table), np.full(len(table), 1 / len(table)), RESAMPLES)
    total, count = (drawn @ table).T
    low, high = np.quantile(total / count, (0.025, 0.975))
    return Estimate(mean, float(low), float(high), len(values), len(table))


def accuracy_over_streams(records: Sequence[Record]) -> Estimate:
    """Accuracy of one input, with its interval over streams."""
    return over_streams([float(r['correct']) for r in records], [source_of(r) for r in records])


def difference(first: Sequence[Record], second: Sequence[Record]) -> Estimate | None:
    """How much more often the first input is right than the second, on the same questions.

    :returns: None: they have no question in common.
    """
    other = {_question(record): record for record in second}
    pairs = [(r, other[_question(r)]) for r in first if _question(r) in other]
    if not pairs:
        return None
    values = [float(a['correct']) - float(b['correct']) for a, b in pairs]
    return over_streams(values, [source_of(a) for a, _ in pairs])


def source_of(record: Record) -> Hashable:
    """What a record's stream was cut from: clips of one source hang together, in all sets alike.

    Records of older runs do not name it, and their streams count as sources of their own.
    """
    return record.get('video_name') or (record['set'], record['video'])


def _question(record: Record) -> tuple[str, str]:
    return (record['set'], record['id'])


def grouped(records: Sequence[Record], name: str) -> dict[Any, list[Record]]:
    """Records by one of their values."""
    groups: dict[Any, list[Record]] = defaultdict(list)
    for record in records:
        groups[record[name]].append(record)
    return groups


def by_age(records: Sequence[Record]) -> list[tuple[float, float, Accuracy]]:
    """Accuracy against how long ago the event was, in bins that double.

    :returns: (from seconds, to seconds, accuracy) of each bin that holds anything.
    """
    aged = [record for record in records if record['event_age'] is not None]
    bins = []
    for low, high in pairwise(AGE_EDGES):
        accuracy = Accuracy.of([r for r in aged if low <= r['event_age'] < high])
        if accuracy is not None:
            bins.append((low, high, accuracy))
    return bins


def by_kept(records: Sequence[Record]) -> dict[bool, list[Record]]:
    """Records about events that a cluster kept, and that none did; about no event: in neither."""
    eventful = [record for record in records if record['kept_share'] is not None]
    return {
        kept: [r for r in eventful if (r['kept_share'] >= KEPT_SHARE) == kept]
        for kept in (True, False)
    }


@dataclass(frozen=True)
class Reliability:
    """How far the probability of a chosen answer is how often it is right.

    :param bins: (mean probability, share right, answers) of each bin that holds anything.
    :param error: expected calibration error: mean distance of the two, weighted by answers.
    """

    bins: list[tuple[float, float, int]]
    error: float

    @classmethod
    def of(cls, records: Sequence[Record], bins: int = 10) -> 'Reliability | None':
        """Compute it of the answers that were chosen among choices; None: there are none."""
        chosen = [record for record in records if record['choice_probabilities']]
        if not chosen:
            return None
        sure = np.array([max(record['choice_probabilities']) for record in chosen])
        right = np.array([float(record['correct']) for record in chosen])
        # The chosen of k answers has a probability of 1 / k at least.
        lowest = 1.0 / max(len(record['choice_probabilities']) for record in chosen)
        place = np.clip(((sure - lowest) / (1.0 - lowest) * bins).astype(int), 0, bins - 1)
        found = [
            (float(sure[inside].mean()), float(right[inside].mean()), int(inside.sum()))
            for inside in (place == number for number in range(bins))
            if inside.any()
        ]
        error = sum(n * abs(share - mean) for mean, share, n in found) / len(chosen)
        return cls(found, error)


def refused(records: Sequence[Record]) -> list[Record]:
    """Answers that say that something was not seen although it was."""
    refusals = {normalise(r['truth']) for r in records if r['group'] == 'unanswerable'}
    answerable = [r for r in records if r['group'] != 'unanswerable']
    return [r for r in answerable if normalise(r['answer']) in refusals]
