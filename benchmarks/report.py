# SPDX-License-Identifier: Apache-2.0
"""Figures -> JSON for programs, a table for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Figure

_VERDICTS = {True: 'met', False: '**missed**', None: ''}


def write_report(
    folder: Path, name: str, figures: Sequence[Figure], machine: Mapping[str, str], command: str
) -> None:
    """Write ``NAME.json`` and ``NAME.md``.

    :param folder: made where it does not exist.
    :param machine: what it was measured on.
    :param command: what measures it again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    items = [{k: v for k, v in asdict(figure).items() if v is not None} for figure in figures]
    content = {'command': command, 'machine': dict(machine), 'figures': items}
    (folder / f'{name}.json').write_text(json.dumps(content, indent=1) + '\n')
    about = ''.join(f'- {key}: {value}\n' for key, value in machine.items())
    text = f'# {name}\n\n`{command}`\n\n{about}\n{table(figures)}\n'
    (folder / f'{name}.md').write_text(text)


def table(figures: Sequence[Figure]) -> str:
    """Table in Markdown, aligned; columns that would be empty are left out."""
    columns = {
        'measured': [figure.name for figure in figures],
        'value': [f'{_number(figure.value)} {figure.unit}' for figure in figures],
        '10 % to 90 %': [_range(figure) for figure in figures],
        'floor': ['' if f.floor is None else _number(f.floor) for f in figures],
        'target': [f'{f.target} {_VERDICTS[f.met]}'.strip() for f in figures],
    }
    kept = {title: cells for title, cells in columns.items() if any(cells)}
    widths = [max(map(len, [title, *cells])) for title, cells in kept.items()]
    rows = [list(kept), ['-' * width for width in widths], *zip(*kept.values(), strict=True)]
    lines = (
        ' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return '\n'.join(f'| {line} |' for line in lines)


def _range(figure: Figure) -> str:
    return '' if figure.low is None else f'{_number(figure.low)} to {_number(figure.high)}'


def _number(value: float) -> str:
    """Three digits that count, without an exponent."""
    if float(value).is_integer() or abs(value) >= 100:
        return f'{value:,.0f}'
    if abs(value) < 1e-3:
        return f'{value:.1g}'
    digits = 2 if abs(value) < 10 else 1
    return f'{value:.{digits if abs(value) >= 0.1 else 4}f}'
