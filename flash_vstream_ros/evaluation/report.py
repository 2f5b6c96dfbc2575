# SPDX-License-Identifier: Apache-2.0
"""The report of an evaluation: numbers as JSON, tables as Markdown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from flash_vstream_ros.core.memory_file import write_atomically
from flash_vstream_ros.evaluation.dataset import GROUPS, TYPES
from flash_vstream_ros.evaluation.metrics import KEPT_SHARE

REPORT = 'report.md'
RESULTS = 'results.json'


def write_report(folder: Path, summary: Mapping[str, Any], plots: Sequence[str] = ()) -> None:
    """Write ``results.json`` and ``report.md``.

    :param plots: names of pictures in the folder.
    :raises OSError: they cannot be written.
    """
    data = json.dumps(_without_infinity(summary), indent=1, allow_nan=False)
    write_atomically(folder / RESULTS, data.encode() + b'\n')
    write_atomically(folder / REPORT, to_markdown(summary, plots).encode())


def _without_infinity(value: Any) -> Any:
    """JSON knows no infinity: the last bin of ages has no end."""
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_infinity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinity(item) for item in value]
    return value


def to_markdown(summary: Mapping[str, Any], plots: Sequence[str] = ()) -> str:
    """Write the tables."""
    inputs = summary['inputs']
    parts = [
        '# Evaluation',
        _setting_line(summary),
        _models(inputs),
        '## Overall',
        'Percent right with the 95 % interval: of answers as if independent (Wilson), and over '
        'streams, whose questions hang together (bootstrap; clips of one source count as one '
        'stream). "star minus this" is over streams, on the same questions. "Tokens": shown to '
        'the model, on average. "Trained on it": whether the checkpoint\'s training.json names '
        'this very input.',
        _overall(inputs),
        *_sets(inputs),
        '## By type of question',
        _types(inputs),
        'Star minus each other input, over streams:',
        _differences(inputs),
        '## How long ago the event was',
        _ages(inputs),
        '## Events that a cluster kept',
        f'Kept: at least {KEPT_SHARE:.0%} of the frames of the event (of each, where the question '
        'is about several) lie in one temporal cluster. Purity: how much of that cluster is the '
        "event's. Own: the share of an event's frames in clusters that are at least half its own.",
        _kept(inputs),
        '## Probabilities of chosen answers',
        _reliability(inputs),
        '## What went wrong',
        _failures(summary),
    ]
    parts += [f'![{name}]({name})' for name in plots]
    return '\n\n'.join(parts) + '\n'


def _setting_line(summary: Mapping[str, Any]) -> str:
    settings = {**summary['settings'], 'judge of open answers': summary['judge']}
    if summary['limit'] is not None:
        settings['limit of the last run'] = summary['limit']
    listed = ', '.join(f'{name} {value}' for name, value in settings.items())
    types = ', '.join(f'{count} {name}' for name, count in summary['types'].items())
    sources = f' of {summary["sources"]} sources' * (summary['sources'] < summary['streams'])
    return (
        f'{summary["questions"]} questions to {summary["streams"]} streams{sources} ({types}). '
        f'{listed}.'
    )


def _models(inputs: Mapping[str, Any]) -> str:
    """Which checkpoint read which inputs. Older runs have noted its weights only."""
    readers: dict[tuple[str, str], list[str]] = {}
    for name, item in inputs.items():
        readers.setdefault((item.get('model', 'not noted'), item['weights']), []).append(name)
    rows = ([model, weights, ', '.join(names)] for (model, weights), names in readers.items())
    return _table(['model', 'digest of its weights', 'read'], rows)


def _sets(inputs: Mapping[str, Any]) -> list[str]:
    """A table by question file, where there are several."""
    names = list(dict.fromkeys(name for item in inputs.values() for name in item['sets']))
    if len(names) < 2:
        return []
    rows = [
        [name, *(_set_cell(item['sets'].get(n)) for n in names)] for name, item in inputs.items()
    ]
    return [
        '## By set',
        'Percent right, over streams; mean score.',
        _table(['input', *names], rows),
    ]


def _set_cell(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return ''
    score = '' if part['score'] is None else f'; {part["score"]:.2f}'
    return f'{_estimate(part["over_streams"])} of {part["overall"]["n"]}{score}'


def _types(inputs: Mapping[str, Any]) -> str:
    rows = ([name, *map(_share, item['types'].values())] for name, item in inputs.items())
    return _table(['input', *TYPES], rows)


def _differences(inputs: Mapping[str, Any]) -> str:
    rows = []
    for name, item in inputs.items():
        if item['star_minus_this'] is not None:
            gains = item['star_minus_this_by_type'].values()
            rows.append([name, *(_estimate(gain, signed=True) for gain in gains)])
    return _table(['input', *TYPES], rows) if rows else 'Nothing to compare.'


def _overall(inputs: Mapping[str, Any]) -> str:
    head = ['input', 'what it shows', 'tokens', 'trained on it', 'all', 'over streams', *GROUPS]
    head += ['seen, said not', 'star minus this', 's / answer']
    judged = any(item['score'] is not None for item in inputs.values())
    rows = []
    for name, item in inputs.items():
        rows.append(
            [
                name,
                item['description'],
                f'{item["mean_tokens"]:.0f}',
                _trained_on(name, item),
                _share(item['overall']),
                _estimate(item['overall_over_streams']),
                *(_share(item['groups'][group]) for group in GROUPS),
                str(item['refused_though_seen']),
                _estimate(item['star_minus_this'], signed=True),
                f'{item["seconds_per_answer"]:.3f}',
            ]
        )
        if judged:
            rows[-1].append('' if item['score'] is None else f'{item["score"]:.2f}')
    return _table([*head, 'score, 0 to 5'] if judged else head, rows)


def _trained_on(name: str, item: Mapping[str, Any]) -> str:
    trained_on = item.get('trained_on')
    if trained_on is None:
        return 'not recorded'
    return 'yes' if trained_on == name else 'no'


def _ages(inputs: Mapping[str, Any]) -> str:
    bins = sorted({(low, high) for i in inputs.values() for low, high, _ in i['by_age']})
    if not bins:
        return 'No question says when its event was.'
    rows = []
    for name, item in inputs.items():
        found = {(low, high): accuracy for low, high, accuracy in item['by_age']}
        rows.append([name, *(_share(found.get(b)) for b in bins)])
    return _table(['input', *(f'{low:g} to {high:g} s' for low, high in bins)], rows)


def _kept(inputs: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f'{item["events"]["asked_about"]}',
            f'{item["events"]["kept"]:.1%}',
            f'{item["events"]["purity"]:.1%}',
            f'{item["events"]["own_share"]:.1%}',
            *(_share(item['kept_groups'][group]) for group in ('closed', 'open')),
            _share(item['kept']),
            _share(item['not_kept']),
        ]
        for name, item in inputs.items()
        if item['events']
    ]
    if not rows:
        return 'No question says when its event was, or no input has a temporal memory.'
    head = ['input', 'events', 'kept', 'purity', 'own']
    head += ['right, of kept: closed', 'open', 'all', 'right, of others: all']
    return _table(head, rows)


def _reliability(inputs: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f'{item["reliability"]["error"]:.3f}',
            ', '.join(f'{p:.2f}: {s:.2f} ({n})' for p, s, n in item['reliability']['bins']),
        ]
        for name, item in inputs.items()
        if item['reliability']
    ]
    if not rows:
        return 'No answer was chosen among choices.'
    return _table(['input', 'expected calibration error', 'probability: share right (n)'], rows)


def _failures(summary: Mapping[str, Any]) -> str:
    rows = []
    for name, item in summary['inputs'].items():
        failed = {k: n for k, n in item['statuses'].items() if k != 'OK'}
        if item['failed_judgements']:
            failed['judgement failed (counts as wrong)'] = item['failed_judgements']
        if failed:
            rows.append([name, ', '.join(f'{count} x {what}' for what, count in failed.items())])
    parts = [_table(['input', 'answers'], rows)] if rows else []
    if summary['judge_failure']:
        why = ' '.join(summary['judge_failure'].split())
        parts.append(f'No model has judged, open answers are compared by their words: {why}')
    parts += [
        f'The stream {name} failed: {count} of its questions without an answer.'
        for name, count in summary['unanswered'].items()
    ]
    return '\n\n'.join(parts) or 'Nothing: every question was answered.'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def _share(accuracy: Mapping[str, Any] | None) -> str:
    if accuracy is None:
        return ''
    low, high = accuracy['low'], accuracy['high']
    return f'{100 * accuracy["share"]:.1f} [{100 * low:.1f}, {100 * high:.1f}] of {accuracy["n"]}'


def _estimate(estimate: Mapping[str, Any] | None, signed: bool = False) -> str:
    if estimate is None:
        return ''
    form = '{:+.1f}' if signed else '{:.1f}'
    value, low, high = (
        None if estimate[end] is None else form.format(100 * estimate[end])
        for end in ('value', 'low', 'high')
    )
    return f'{value} (one stream)' if low is None else f'{value} [{low}, {high}]'
