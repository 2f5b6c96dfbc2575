# SPDX-License-Identifier: Apache-2.0
"""Draws the plots of docs/performance.md from results/: `python3 benchmarks/plot.py`."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == '__main__':
    # The benchmarks are no installed package. At the end, so that an installed one comes first.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks.program import RESULTS
from flash_vstream_ros.evaluation.plots import import_pyplot

OUT = RESULTS.parents[1] / 'docs' / 'performance.png'
Figures = dict[str, dict[str, Any]]


def main() -> int:
    """Draw all of them into one picture."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    pyplot = import_pyplot()
    figure, axes = pyplot.subplots(1, 4, figsize=(18, 4), layout='constrained')
    draw_stream_length(axes[0], read('stream_length'))
    draw_answers(axes[1], read('answers'))
    draw_decoding(axes[2], read('decoding'))
    draw_quantization(axes[3], read('quantization'))
    figure.savefig(OUT, dpi=80)
    print(OUT)
    return 0


def read(name: str) -> Figures:
    """Read one result: its figures by name."""
    content = json.loads((RESULTS / f'{name}.json').read_text())
    return {figure['name']: figure for figure in content['figures']}


def draw_stream_length(axes: Any, figures: Figures) -> None:
    """Time of an answer against the frames before it."""
    points = [
        (int(found[1].replace(',', '')), figure)
        for name, figure in figures.items()
        if (found := re.match(r'answer after ([\d,]+) frames', name))
    ]
    frames = [age for age, _ in points]
    medians = [figure['value'] for _, figure in points]
    below = [figure['value'] - figure['low'] for _, figure in points]
    above = [figure['high'] - figure['value'] for _, figure in points]
    axes.errorbar(frames, medians, (below, above), marker='o', capsize=3)
    axes.set(
        xscale='log',
        ylim=(0, None),
        title='An answer, however long the stream',
        xlabel='frames before the question',
        ylabel='ms (median, 10 to 90 %)',
    )
    axes.grid(alpha=0.3)


def draw_answers(axes: Any, figures: Figures) -> None:
    """How many times faster: memory read before the question; several answers at once."""
    wanted = {
        'memory read before\nthe question': 'first question / second question',
        '8 answers\nat once': 'answers one by one / at once',
        '8 choices\nin one pass': 'choices one by one / in one pass',
    }
    draw_times_faster(axes, figures, wanted)
    axes.set(title='Times faster than one at a time, cold')


def draw_times_faster(axes: Any, figures: Figures, wanted: dict[str, str]) -> None:
    """Draw ratios of each size of model.

    :param wanted: what is written below the bars, and how the names of their figures end.
    """
    sizes = list(dict.fromkeys(name.split(' parameters')[0] for name in figures))
    for place, size in enumerate(sizes):
        values = [
            next(f['value'] for n, f in figures.items() if n.startswith(size) and n.endswith(end))
            for end in wanted.values()
        ]
        bars(axes, place, len(sizes), values, f'{size} parameters', '{:.1f}x')
    axes.set_xticks(range(len(wanted)), list(wanted))
    axes.margins(y=0.3)
    axes.legend()


def draw_decoding(axes: Any, figures: Figures) -> None:
    """How many times faster compiled passes are."""
    wanted = {
        'plain,\none answer': 'tokens: plain / compiled',
        'plain,\n8 at once': 'at once: plain / compiled',
        'transformers,\none answer': 'transformers.generate / compiled',
    }
    draw_times_faster(axes, figures, wanted)
    axes.set(title='Compiled passes: times faster than')


def draw_quantization(axes: Any, figures: Figures) -> None:
    """Size and speed of each kind of weights against float32."""
    kinds = list(dict.fromkeys(name.split(':')[0] for name in figures))
    ends = {'size of the layers': 'layers of the language model', 'tokens a second': 'decoding'}
    for place, (label, end) in enumerate(ends.items()):
        values = [figures[f'{kind}: {end}']['value'] for kind in kinds]
        bars(axes, place, len(ends), [v / values[0] for v in values], label, '{:.2f}')
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set(title='Weights of fewer bits against float32 (134 M, CPU)')
    axes.legend()


def bars(
    axes: Any, place: int, places: int, values: Sequence[float], label: str, form: str
) -> None:
    """One of several series of bars side by side."""
    width = 0.8 / places
    left = [x + (place - (places - 1) / 2) * width for x in range(len(values))]
    drawn = axes.bar(left, values, width, label=label)
    axes.bar_label(drawn, [form.format(value) for value in values], fontsize=8)


if __name__ == '__main__':
    sys.exit(main())
