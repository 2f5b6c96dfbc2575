# SPDX-License-Identifier: Apache-2.0
"""Descriptions of simulated streams: little JSON files from which all frames can be drawn."""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from flash_vstream_ros.simulator.drawing import LARGEST_PX, SMALLEST_PX

FORMAT = 'flash_vstream patrol'
# Raised when equal seeds begin to make other patrols or other pictures, so that no questions are
# asked about a stream which has become another.
VERSION = 1
DESCRIPTION_SUFFIX = '.json'

SHORTEST_S, LONGEST_S = 30.0, 1e6
HIGHEST_RATE_HZ = 1000.0


@dataclass(frozen=True)
class PatrolDescription:
    """All that decides the frames of a simulated stream.

    :param seed: 0 or more.
    :param seconds: length.
    :param rate_hz: frames a second.
    :param size: of the frames in pixels, (width, height).
    :raises ValueError: a value is out of range.
    """

    seed: int
    seconds: float
    rate_hz: float
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if type(self.seed) is not int or self.seed < 0:
            raise ValueError(f'seed: expected a whole number from 0 on, got {self.seed!r}')
        _check_number('seconds', self.seconds, SHORTEST_S, LONGEST_S)
        _check_number('rate_hz', self.rate_hz, 1.0 / self.seconds, HIGHEST_RATE_HZ)
        sides = self.size if isinstance(self.size, tuple) else ()
        fit = [type(side) is int and SMALLEST_PX <= side <= LARGEST_PX for side in sides]
        if fit != [True, True]:
            raise ValueError(
                f'size: expected width and height from {SMALLEST_PX} to {LARGEST_PX} pixels, got '
                f'{self.size!r}'
            )

    @property
    def frame_count(self) -> int:
        """How many frames there are; the first lies at 0 s, the last before ``seconds``."""
        return max(math.ceil(round(self.seconds * self.rate_hz, 6)), 1)

    def write(self, path: Path) -> None:
        """Write the description as JSON."""
        content = {'format': FORMAT, 'version': VERSION, **asdict(self)}
        path.write_text(json.dumps(content) + '\n', encoding='utf-8')

    @classmethod
    def read(cls, path: Path) -> 'PatrolDescription':
        """Read a description.

        :raises OSError: the file cannot be read.
        :raises ValueError: it is no description, or one of another version; it is named.
        """
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except json.JSONDecodeError as error:
            raise ValueError(f'{path}, line {error.lineno}: not JSON: {error.msg}') from error
        except UnicodeDecodeError as error:
            raise ValueError(f'{path}: expected a JSON file in UTF-8: {error}') from error
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits; [[[[...
            raise ValueError(f'{path}: JSON that cannot be read: {error}') from error
        try:
            return cls._of(content)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error

    @classmethod
    def _of(cls, content: Any) -> 'PatrolDescription':
        if not isinstance(content, dict) or content.get('format') != FORMAT:
            raise ValueError(
                f'expected a stream description, {{"format": "{FORMAT}", "version": {VERSION}, '
                f'"seed": ..., "seconds": ..., "rate_hz": ..., "size": [width, height]}}, got '
                f'another JSON file'
            )
        if content.get('version') != VERSION:
            raise ValueError(
                f'version: expected {VERSION}, got {content.get("version")!r}: the streams of '
                f'another version look different; write it again with simulate'
            )
        keys = [field.name for field in fields(cls)]
        for key in (*keys, *content):
            if key not in content:
                raise ValueError(f'{key} is missing')
            if key not in (*keys, 'format', 'version'):
                raise ValueError(f'unknown key {key!r}, expected {", ".join(keys)}')
        values = {key: content[key] for key in keys}
        if isinstance(values['size'], list):
            values['size'] = tuple(values['size'])
        return cls(**values)


def _check_number(name: str, value: Any, smallest: float, largest: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not smallest <= value <= largest:  # NaN fails as well
        raise ValueError(f'{name}: expected {smallest:g} to {largest:g}, got {value!r}')
