# SPDX-License-Identifier: Apache-2.0
"""Questions to streams, in VStream-QA's JSON: VStream-QA itself, the simulator's, anybody's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain, count
from pathlib import Path
from typing import Any

from flash_vstream_ros.core.prompt import check_text
from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.data.json_entries import finite_number, read_entries
from flash_vstream_ros.evaluation.clips import CLIP_LISTS, Clip, Moment, read_clips
from flash_vstream_ros.replay.questions import LATEST_S

SCENE = 'Scene Summary'
ACTION = 'Action Description'
OCCURRENCE = 'Event Occurrence'
NARRATIVE = 'Ordered Event Narrative'
SEQUENCE = 'Sequence Validation'
TYPES = (SCENE, ACTION, OCCURRENCE, NARRATIVE, SEQUENCE)
# The paper's names of the types -> the names that stand in VStream-QA's files.
PUBLISHED_TYPES = {
    'Action Caption': ACTION,
    'Whether Something Happened(Y/N)': OCCURRENCE,
    'What event order': NARRATIVE,
    'Order Judging(Y/N)': SEQUENCE,
}
YES_NO_TYPES = (OCCURRENCE, SEQUENCE)
GROUPS = ('closed', 'open', 'unanswerable')
SIMULATED = 'questions.json'
PARTS = ('', 'vstream', 'vstream-realtime')  # folders of VStream-QA
_TEXTS = ('id', 'question', 'answer')


@dataclass(frozen=True)
class StreamQuestion:
    """One question, when it is asked and what is true.

    :param set_name: of the file it is from; (set_name, id) is unique.
    :param video: name of its stream.
    :param video_name: another name the recording may have; of a clip, that of its source.
    :param answer_type: one of :data:`TYPES`.
    :param at_s: when it is asked, seconds after the recording's first frame; or else
    :param at_share: when, as a share of the recording's frames.
    :param choices: the answer is one of these, where given.
    :param answerable: False: what it is about was never seen, and ``answer`` says so.
    :param event_times: first and last second of each event it is about.
    :param clip: what its stream is cut from ``video_name``; None: nothing is said of that.
    :param file: that it is from, and ``line``.
    :raises ValueError: a value is out of range.
    """

    set_name: str
    id: str
    video: str
    video_name: str
    question: str
    answer: str
    answer_type: str
    at_s: float | None
    at_share: float | None = None
    choices: tuple[str, ...] = ()
    answerable: bool = True
    event_times: tuple[tuple[float, float], ...] = ()
    clip: Clip | None = None
    file: Path = Path()
    line: int = 0

    def __post_init__(self) -> None:
        for name in ('id', 'video', 'question', 'answer'):
            if not getattr(self, name).strip():
                raise ValueError(f'{name}: expected a text, got {getattr(self, name)!r}')
        if self.answer_type not in TYPES:
            nearest = get_close_matches(str(self.answer_type), TYPES, n=1)
            hint = f'; did you mean {nearest[0]!r}?' if nearest else ''
            raise ValueError(
                f'answer_type: expected one of {list(TYPES)}, got {self.answer_type!r}{hint}'
            )
        if (self.at_s is None) == (self.at_share is None):
            raise ValueError(f'at: expected seconds or a share, got {self.at_s}, {self.at_share}')
        if self.at_s is not None and not 0.0 <= self.at_s <= LATEST_S:
            raise ValueError(f'end_time: expected 0 or more seconds of stream, got {self.at_s}')
        are_texts = all(map(str.strip, self.choices))
        # A single choice would be chosen whatever the stream shows.
        if len(self.choices) == 1 or len(set(self.choices)) < len(self.choices) or not are_texts:
            raise ValueError(
                f'choices: expected different texts, two or more or none, got {list(self.choices)}'
            )
        if self.choices and self.answer not in self.choices:
            raise ValueError(f'answer: expected one of {list(self.choices)}, got {self.answer!r}')
        for first, last in self.event_times:
            latest_s = LATEST_S if self.at_s is None else self.at_s
            if not 0.0 <= first <= last <= latest_s:
                raise ValueError(
                    f'event_times: expected 0 <= first <= last <= {latest_s:g}, the moment of the '
                    f'question at most, got {[first, last]}'
                )

    @property
    def source(self) -> str:
        """File and line, for messages."""
        return f'{self.file}, line {self.line}'

    @property
    def group(self) -> str:
        """One of :data:`GROUPS`: how it is judged."""
        if not self.answerable:
            return 'unanswerable'
        return 'closed' if self.choices or self.answer_type in YES_NO_TYPES else 'open'


def find_question_files(data: Path) -> list[Path]:
    """Find the question files of a data folder; a JSON file is one itself.

    :raises FileNotFoundError: there are none.
    """
    if data.is_file():
        return [data]
    names = (SIMULATED, *CLIP_LISTS)
    places = [data / part / name for part in PARTS for name in names]
    found = [place for place in places if place.is_file()]
    if not found:
        raise FileNotFoundError(
            f'{data}: expected a JSON file of questions, or a folder with {SIMULATED}, or with '
            f'{" or ".join(CLIP_LISTS)} (also in {" or ".join(PARTS[1:])})'
        )
    return found


def read_dataset(data: Path) -> list[StreamQuestion]:
    """Read all questions of a data folder or file.

    :raises OSError: a file is missing or cannot be read.
    :raises ValueError: a file is no JSON, or an entry is wrong; file and line are named.
    """
    questions: list[StreamQuestion] = []
    for path in find_question_files(data):
        root = data if data.is_dir() else path.parent
        questions += read_questions(path, path.relative_to(root).with_suffix('').as_posix())
    return questions


def read_questions(path: Path, set_name: str) -> list[StreamQuestion]:
    """Read one question file. Where an id is used again, ``~2`` and so on is put behind it.

    :param set_name: its name in the results.
    :raises OSError: it, or its clip list, cannot be read.
    :raises ValueError: it is no JSON, or an entry is wrong; file and line are named.
    """
    clips = read_clips(path)
    found: list[StreamQuestion] = []
    used: set[str] = set()
    for line, entry in read_entries(path):
        try:
            question = _question_of(entry, set_name, clips)
        except ValueError as error:
            raise ValueError(f'{path}, line {line}: {error}') from error
        question = replace(question, file=path, line=line)
        # Answers are told apart by their ids, and none of the questions is to be lost.
        names = chain([question.id], (f'{question.id}~{number}' for number in count(2)))
        name = next(name for name in names if name not in used)
        used.add(name)
        found.append(replace(question, id=name))
    if not found:
        raise ValueError(f'{path}: expected at least one question, got none')
    return found


def _question_of(entry: Any, set_name: str, clips: Mapping[str, Clip] | None) -> StreamQuestion:
    if not isinstance(entry, dict):
        raise ValueError(f'expected an object, got {entry!r}')
    texts = {key: _text(entry, key) for key in _TEXTS}
    name = _text(entry, 'video_name')
    video = _text(entry, 'video_id') if 'video_id' in entry else name
    clip = None if clips is None else _clip(clips, video)
    at_s, at_share = _asked_at(entry, clip)
    kind = _text(entry, 'answer_type')
    return StreamQuestion(
        set_name,
        video=video,
        video_name=name,
        answer_type=PUBLISHED_TYPES.get(kind, kind),
        at_s=at_s,
        at_share=at_share,
        choices=_choices(entry),
        answerable=_answerable(entry),
        event_times=_event_times(entry),
        clip=clip,
        **texts,
    )


def _clip(clips: Mapping[str, Clip], video: str) -> Clip:
    if video not in clips:
        raise ValueError(f'video_id: {video!r} is not in the clip list')
    return clips[video]


def _asked_at(entry: Mapping[str, Any], clip: Clip | None) -> tuple[float | None, float | None]:
    """When a question is asked: seconds, or a share of the stream."""
    if 'end_time' not in entry:
        raise ValueError('end_time is missing: when the question is asked')
    try:
        moment = Moment.parse(entry['end_time'])
    except ValueError as error:
        raise ValueError(f'end_time: {error}') from error
    if clip is not None:
        return clip.seconds(moment), clip.share(moment)
    if moment.is_shot:
        raise ValueError(f'end_time: {entry["end_time"]!r} needs the clip list of VStream-QA')
    length_s = finite_number(entry.get('duration'))
    if length_s is not None and moment.value > length_s:
        raise ValueError(
            f'end_time: {moment.value:g} s lies beyond the stream, whose duration is '
            f'{length_s:g} s'
        )
    return moment.value, None


def _text(entry: Mapping[str, Any], key: str) -> str:
    if key not in entry:
        raise ValueError(f'{key} is missing')
    value = entry[key]
    if key in ('id', 'video_id') and type(value) is int:
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'{key}: expected a text, got {quote(value)}')
    check_text(key, value)
    return value.strip()


def _choices(entry: Mapping[str, Any]) -> tuple[str, ...]:
    choices = entry.get('choices', [])
    if not isinstance(choices, list) or not all(isinstance(c, str) for c in choices):
        raise ValueError(f'choices: expected a list of texts, got {quote(choices)}')
    for choice in choices:
        check_text('choices', choice)
    return tuple(choices)


def _answerable(entry: Mapping[str, Any]) -> bool:
    value = entry.get('answerable', True)
    if not isinstance(value, bool):
        raise ValueError(f'answerable: expected true or false, got {value!r}')
    return value


def _event_times(entry: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    times = entry.get('event_times', [])
    try:
        read = tuple((finite_number(first), finite_number(last)) for first, last in times)
    except (TypeError, ValueError):
        read = ((None, None),)
    if any(None in pair for pair in read):
        raise ValueError(f'event_times: expected [[first, last], ...] seconds, got {quote(times)}')
    return read
