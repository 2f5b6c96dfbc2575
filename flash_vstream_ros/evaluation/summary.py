# SPDX-License-Identifier: Apache-2.0
"""All numbers of an evaluation's report, from its records."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from flash_vstream_ros.evaluation.dataset import GROUPS, TYPES
from flash_vstream_ros.evaluation.metrics import (
    KEPT_SHARE,
    Accuracy,
    Record,
    Reliability,
    accuracy_over_streams,
    by_age,
    by_kept,
    difference,
    grouped,
    refused,
    source_of,
)

REFERENCE = 'star'  # what the others are compared with
_LISTED = ('inputs', 'features', 'recordings', 'sets')  # settings that the report tells otherwise


def summarise(
    records: Sequence[Record],
    settings: Mapping[str, Any],
    judge: str = 'exact',
    limit: int | None = None,
    unanswered: Mapping[str, int] | None = None,
    judge_failure: str = '',
) -> dict[str, Any]:
    """Compute all numbers of the report.

    :param records: answers, at least one, as judged.
    :param settings: of the run.
    :param judge: of open answers: ``exact``, or the model that was asked.
    :param limit: so many questions, the first, were to be answered in the last run; None: all.
    :param unanswered: questions without an answer, of each stream that failed.
    :param judge_failure: why a model that was to judge did not; '': nothing.
    """
    inputs = grouped(records, 'input')
    names = [name for name in settings['inputs'] if name in inputs]
    reference = inputs.get(REFERENCE)
    summary = {
        name: {**settings['inputs'][name], **_of_input(inputs[name], reference)} for name in names
    }
    types = {(r['set'], r['id']): r['type'] for r in records}
    return {
        'settings': {k: value for k, value in settings.items() if k not in _LISTED},
        'judge': judge,
        'judge_failure': judge_failure,
        'limit': limit,
        'questions': len(types),
        'streams': len({(r['set'], r['video']) for r in records}),
        'sources': len({source_of(r) for r in records}),
        'types': dict(Counter(types.values())),
        'unanswered': dict(unanswered or {}),
        'inputs': summary,
    }


def _of_input(records: Sequence[Record], reference: Sequence[Record] | None) -> dict[str, Any]:
    is_reference = reference is None or records[0]['input'] == REFERENCE
    types, kept = grouped(records, 'type'), by_kept(records)
    return {
        'overall': _plain(Accuracy.of(records)),
        'overall_over_streams': asdict(accuracy_over_streams(records)),
        'star_minus_this': None if is_reference else _plain(difference(reference, records)),
        'groups': _of_groups(records),
        'types': {name: _plain(Accuracy.of(types.get(name, []))) for name in TYPES},
        'star_minus_this_by_type': {
            name: None if is_reference else _plain(difference(reference, types.get(name, [])))
            for name in TYPES
        },
        'sets': {name: _of_set(part) for name, part in grouped(records, 'set').items()},
        'refused_though_seen': len(refused(records)),
        'by_age': [[low, high, asdict(accuracy)] for low, high, accuracy in by_age(records)],
        'kept': _plain(Accuracy.of(kept[True])),
        'kept_groups': _of_groups(kept[True]),
        'not_kept': _plain(Accuracy.of(kept[False])),
        'events': _events(records),
        'reliability': _plain(Reliability.of(records)),
        'score': _mean_score(records),
        'failed_judgements': sum(r.get('judgement') == 'failed' for r in records),
        'statuses': dict(Counter(r['status'] for r in records)),
        'tokens': max(r['tokens'] for r in records),
        'mean_tokens': float(np.mean([r['tokens'] for r in records])),
        'seconds_per_answer': float(np.mean([r['total_time'] for r in records])),
    }


def _of_set(records: Sequence[Record]) -> dict[str, Any]:
    return {
        'overall': _plain(Accuracy.of(records)),
        'over_streams': asdict(accuracy_over_streams(records)),
        'score': _mean_score(records),
    }


def _mean_score(records: Sequence[Record]) -> float | None:
    scores = [r['score'] for r in records if r.get('score') is not None]
    return float(np.mean(scores)) if scores else None


def _of_groups(records: Sequence[Record]) -> dict[str, Any]:
    groups = grouped(records, 'group')
    return {name: _plain(Accuracy.of(groups.get(name, []))) for name in GROUPS}


def _events(records: Sequence[Record]) -> dict[str, Any] | None:
    """What the temporal memory held of the asked-about events."""
    events = [event for r in records for event in r['kept']]
    held = [event for event in events if event is not None]
    if not held:
        return None
    return {
        'asked_about': len(events),
        'without_a_frame': len(events) - len(held),
        'kept': sum(event['share'] >= KEPT_SHARE for event in held) / len(events),
        'purity': float(np.mean([event['purity'] for event in held])),
        'own_share': float(np.mean([event['own_share'] for event in held])),
    }


def _plain(value: Any) -> dict[str, Any] | None:
    return None if value is None else asdict(value)
