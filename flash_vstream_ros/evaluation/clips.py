# SPDX-License-Identifier: Apache-2.0
"""VStream-QA's clip lists, and its times: seconds, or MovieNet's shots."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.data.json_entries import read_entries, read_seconds

# The question file -> the clip lists that may lie beside it: of vstream/, of vstream-realtime/.
CLIP_LISTS = {
    'test_qa_ego4d.json': ('vs_ego.json', 'rvs_ego.json'),
    'test_qa_movienet.json': ('vs_movie.json', 'rvs_movie.json'),
}
IMAGES_A_SHOT = 3  # key frames of each shot in MovieNet, 0 to 2
# A shot, or the file name of one of its key frames, as VStream-QA's questions have it.
_SHOT = re.compile(r'shot_(\d{1,9})(?:_img_(\d)\.jpg)?')
_EXPECTED = 'expected seconds, shot_0123 or shot_0123_img_0.jpg'


@dataclass(frozen=True)
class Moment:
    """A time in a video: seconds, the number of a shot, or one of a shot's key frames.

    :param image: which of the shot's key frames, 0 to 2; None: the whole shot, or seconds.
    """

    value: float
    is_shot: bool
    image: int | None = None

    @classmethod
    def parse(cls, value: Any, is_shot: bool = False) -> 'Moment':
        """Read a number, or a text as ``12.5``, ``shot_0123`` or ``shot_0123_img_0.jpg``.

        :param is_shot: what a plain number is.
        :raises ValueError: it is neither.
        """
        if isinstance(value, str):
            shot = _SHOT.fullmatch(value.strip())
            if shot:
                return cls(int(shot[1]), True, _image_of(shot[2]))
        number = read_seconds(value)
        if number is None:
            raise ValueError(f'{_EXPECTED}, got {quote(value)}')
        return cls(number, is_shot)

    @property
    def frames(self) -> tuple[float, float]:
        """First and last key frame of a shot's moment, counted from shot 0; else the seconds."""
        if not self.is_shot:
            return self.value, self.value
        first = self.value * IMAGES_A_SHOT
        if self.image is None:
            return first, first + IMAGES_A_SHOT - 1
        return first + self.image, first + self.image

    def __str__(self) -> str:
        if not self.is_shot:
            return f'second {self.value:g}'
        image = '' if self.image is None else f', image {self.image}'
        return f'shot {self.value:g}{image}'


def _image_of(digit: str | None) -> int | None:
    if digit is None:
        return None
    if int(digit) >= IMAGES_A_SHOT:
        raise ValueError(f'expected image 0 to {IMAGES_A_SHOT - 1} of a shot, got {digit}')
    return int(digit)


@dataclass(frozen=True)
class Clip:
    """A stretch of an original video that is a stream of its own."""

    start: Moment
    end: Moment

    def __post_init__(self) -> None:
        if self.start.is_shot != self.end.is_shot or self.end.frames[1] < self.start.frames[0]:
            raise ValueError(f'clip: expected start before end, got {self.start} and {self.end}')

    def seconds(self, moment: Moment) -> float | None:
        """Seconds from the clip's begin; None: the time is a shot's.

        :raises ValueError: the moment lies outside the clip.
        """
        self._check(moment)
        return None if moment.is_shot else moment.value - self.start.value

    def share(self, moment: Moment) -> float | None:
        """Share of the clip's key frames seen with a moment's last; None: it is in seconds.

        MovieNet has no seconds but the same number of key frames for each shot.

        :raises ValueError: the moment lies outside the clip.
        """
        self._check(moment)
        if not moment.is_shot:
            return None
        first, last = self.start.frames[0], self.end.frames[1]
        newest = min(moment.frames[1], last)  # a clip may end within a shot
        return (newest - first + 1) / (last - first + 1)

    def _check(self, moment: Moment) -> None:
        if moment.is_shot != self.start.is_shot:
            raise ValueError(f'end_time: a clip from {self.start} has no time {moment}')
        if moment.frames[1] < self.start.frames[0] or moment.frames[0] > self.end.frames[1]:
            raise ValueError(
                f'end_time: {moment} lies beyond the stream, whose clip goes from {self.start} '
                f'to {self.end}'
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
