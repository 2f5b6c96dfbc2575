# SPDX-License-Identifier: Apache-2.0
"""VStream-QA's clip lists, and its times: seconds, or MovieNet's shots."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from flash_vstream_ros.data.json_entries import read_entries

# The question file -> the clip lists that may lie beside it: of vstream/, of vstream-realtime/.
CLIP_LISTS = {
    'test_qa_ego4d.json': ('vs_ego.json', 'rvs_ego.json'),
    'test_qa_movienet.json': ('vs_movie.json', 'rvs_movie.json'),
}
_SHOT = re.compile(r'shot_(\d+)')


@dataclass(frozen=True)
class Moment:
    """A time in a video: seconds, or the number of a shot."""

    value: float
    is_shot: bool

    @classmethod
    def parse(cls, value: Any, is_shot: bool = False) -> 'Moment':
        """Read a number, or a text as ``12.5`` or ``shot_0123``.

        :param is_shot: what a plain number is.
        :raises ValueError: it is neither.
        """
        if isinstance(value, str):
            shot = _SHOT.fullmatch(value.strip())
            if shot:
                return cls(int(shot[1]), True)
            try:
                value = float(value)
            except ValueError:
                raise ValueError(f'expected seconds or shot_0123, got {value!r}') from None
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise ValueError(f'expected seconds or shot_0123, got {value!r}')
        return cls(float(value), is_shot)


@dataclass(frozen=True)
class Clip:
    """A stretch of an original video that is a stream of its own."""

    start: Moment
    end: Moment

    def __post_init__(self) -> None:
        if self.start.is_shot != self.end.is_shot or self.end.value < self.start.value:
            raise ValueError(f'clip: expected start before end, got {self.start} and {self.end}')

    def seconds(self, moment: Moment) -> float | None:
        """Seconds from the clip's begin; None: the time is a shot's.

        :raises ValueError: the moment lies outside the clip.
        """
        self._check(moment)
        return None if moment.is_shot else moment.value - self.start.value

    def share(self, moment: Moment) -> float | None:
        """Share of the clip that is over when a shot is, 0 to 1; None: the time is in seconds.

        MovieNet has no seconds but the same number of key frames for each shot.

        :raises ValueError: the moment lies outside the clip.
        """
        self._check(moment)
        if not moment.is_shot:
            return None
        shots = self.end.value - self.start.value + 1.0
        return (moment.value - self.start.value + 1.0) / shots

    def _check(self, moment: Moment) -> None:
        if moment.is_shot != self.start.is_shot:
            raise ValueError(f'end_time: a clip from {self.start} has no time {moment}')
        if not self.start.value <= moment.value <= self.end.value:
            unit = 'shot' if moment.is_shot else 'second'
            raise ValueError(
                f'end_time: {unit} {moment.value:g} lies beyond the stream, whose clip goes from '
                f'{unit} {self.start.value:g} to {self.end.value:g}'
            )


def read_clips(questions: Path) -> dict[str, Clip] | None:
    """Read the clip list of a question file; None: it needs none, its streams start at 0.

    :param questions: the question file, in whose folder the list is looked for.
    :raises FileNotFoundError: it is a file of VStream-QA and its list is missing.
    :raises ValueError: the list is unreadable; file and line are named.
    """
    names = CLIP_LISTS.get(questions.name)
    if names is None:
        return None
    found = [questions.parent / name for name in names if (questions.parent / name).is_file()]
    if not found:
        raise FileNotFoundError(
            f'{questions}: its clip list is missing: expected {" or ".join(names)} beside it'
        )
    clips: dict[str, Clip] = {}
    for line, entry in read_entries(found[0]):
        try:
            video = _video_id(entry)
            clips[video] = _clip_of(entry)
        except ValueError as error:
            raise ValueError(f'{found[0]}, line {line}: {error}') from error
    return clips


def _video_id(entry: Any) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get('video_id'), str | int):
        raise ValueError(f'video_id: expected a name, got {entry!r}')
    return str(entry['video_id'])


def _clip_of(entry: Mapping[str, Any]) -> Clip:
    return Clip(_bound(entry, 'start'), _bound(entry, 'end'))


def _bound(entry: Mapping[str, Any], which: str) -> Moment:
    for key, is_shot in ((f'{which}_time', False), (f'{which}_shot', True)):
        if key in entry:
            return Moment.parse(entry[key], is_shot)
    raise ValueError(f'{which}_time or {which}_shot is missing')
