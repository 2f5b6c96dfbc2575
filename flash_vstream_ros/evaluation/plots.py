# SPDX-License-Identifier: Apache-2.0
"""Plots of an evaluation: accuracy against age, reliability of the probabilities."""

import io
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import Any

from flash_vstream_ros.core.memory_file import write_atomically

AGE_PLOT = 'accuracy_against_age.png'
RELIABILITY_PLOT = 'reliability.png'


def import_pyplot() -> ModuleType:
    """Import matplotlib for files; here, as nothing else of the package needs it.

    :raises ModuleNotFoundError: it is not installed.
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    return pyplot


def write_plots(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """Draw what there is to draw.

    :param summary: of the report.
    :returns: names of the files.
    :raises OSError: they cannot be written.
    """
    inputs, written = summary['inputs'], []
    if any(item['by_age'] for item in inputs.values()):
        _save(folder / AGE_PLOT, _draw_ages(inputs))
        written.append(AGE_PLOT)
    if any(item['reliability'] for item in inputs.values()):
        _save(folder / RELIABILITY_PLOT, _draw_reliability(inputs))
        written.append(RELIABILITY_PLOT)
    return written


def _draw_ages(inputs: Mapping[str, Any]) -> Any:
    figure, axes = import_pyplot().subplots(figsize=(9, 5), layout='constrained')
    edges: dict[float, str] = {}  # places on the axis, and what they are called
    for number, (name, item) in enumerate(inputs.items()):
        bins = [(*_ends(low, high), accuracy) for low, high, accuracy in item['by_age']]
        for (low, high, _), (from_s, to_s, _) in zip(bins, item['by_age'], strict=True):
            edges |= {low: _time(from_s), high: _time(to_s)}
        # Side by side within the bin, so that bars stay apart.
        share = (number + 1) / (len(inputs) + 1)
        places = [low ** (1.0 - share) * high**share for low, high, _ in bins]
        shares = [accuracy['share'] for _, _, accuracy in bins]
        below = [accuracy['share'] - accuracy['low'] for _, _, accuracy in bins]
        above = [accuracy['high'] - accuracy['share'] for _, _, accuracy in bins]
        axes.errorbar(places, shares, (below, above), label=name, **_look(number))
    axes.set(
        xscale='log',
        xlim=(min(edges), max(edges)),
        ylim=(0, 1),
        xlabel='time since the event',
        ylabel='share right (95 % intervals)',
        title='Accuracy against age',
    )
    axes.set_xticks(list(edges), list(edges.values()))
    axes.minorticks_off()
    figure.legend(loc='outside right upper', fontsize='small')
    return figure


def _ends(low: float, high: float) -> tuple[float, float]:
    """Ends of a bin on a logarithmic axis: the first and the last bin have one only."""
    return (low or high / 2.0, high if isfinite(high) else 2.0 * low)


def _time(seconds: float) -> str:
    if not isfinite(seconds):
        return 'older'
    return f'{seconds:g} s' if seconds < 60.0 else f'{seconds / 60.0:g} min'


def _draw_reliability(inputs: Mapping[str, Any]) -> Any:
    figure, axes = import_pyplot().subplots(figsize=(7, 5), layout='constrained')
    axes.plot([0, 1], [0, 1], color='grey', linestyle=':')
    for number, (name, item) in enumerate(inputs.items()):
        if item['reliability']:
            bins = item['reliability']['bins']
            error = item['reliability']['error']
            sure, right = [b[0] for b in bins], [b[1] for b in bins]
            axes.plot(sure, right, label=f'{name} ({error:.3f})', **_look(number))
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel='probability of the chosen answer',
        ylabel='share right',
        title='Reliability (expected calibration error)',
    )
    figure.legend(loc='outside right upper', fontsize='small')
    return figure


def _look(number: int) -> dict[str, Any]:
    return {
        'color': f'C{number % 10}',
        'linestyle': ('-', '--')[number // 10 % 2],
        'marker': 'o',
        'markersize': 4,
        'linewidth': 2.0 if number == 0 else 1.0,
    }


def _save(path: Path, figure: Any) -> None:
    data = io.BytesIO()
    figure.savefig(data, format='png', dpi=120)
    import_pyplot().close(figure)
    write_atomically(path, data.getvalue())
