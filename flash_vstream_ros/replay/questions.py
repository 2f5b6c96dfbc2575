# SPDX-License-Identifier: Apache-2.0
"""Questions to a recording and the times they are asked at."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from flash_vstream_ros.replay.recorded_frame import NS_PER_S

KEYS = ('at', 'question', 'choices', 'max_new_tokens', 'truth')
# Those of VStream-QA, as the simulator writes them; the first two are at and truth.
VSTREAM_QA_KEYS = (
    'end_time', 'answer', 'question', 'choices', 'id', 'video_id', 'video_name', 'answer_type',
    'start_time', 'gt_duration', 'duration', 'answerable', 'event_times',
)  # fmt: skip
LATEST_S = 1_000_000_000  # 31 years


@dataclass(frozen=True)
class Question:
    """A question that is asked when the recording has run for ``at`` seconds.

    It sees every frame stamped up to ``at`` seconds after the recording's first, and none later.

    :param at: seconds since the first frame.
    :param choices: the answer is one of these, where given.
    :param max_new_tokens: tokens of the answer at most; None: as for all questions.
    :param truth: the right answer, shown beside the given one; empty: not known.
    :raises ValueError: a value is out of range.
    """

    at: float
    question: str
    choices: tuple[str, ...] = ()
    max_new_tokens: int | None = None
    truth: str = ''

    def __post_init__(self) -> None:
        # Written so that NaN fails as well.
        if not _is_number(self.at) or not 0 <= self.at <= LATEST_S:
            raise ValueError(f'at: expected seconds from 0 to {LATEST_S}, got {self.at!r}')
        if not _is_text(self.question):
            raise ValueError(f'question: expected a text, got {self.question!r}')
        if not all(_is_text(choice) for choice in self.choices):
            raise ValueError(f'choices: expected texts, got {list(self.choices)!r}')
        if len(set(self.choices)) < len(self.choices):
            raise ValueError(f'choices: expected different texts, got {list(self.choices)!r}')
        tokens = self.max_new_tokens
        if tokens is not None and (type(tokens) is not int or tokens < 1):
            raise ValueError(f'max_new_tokens: expected a whole number from 1 on, got {tokens!r}')
        if not isinstance(self.truth, str):
            raise ValueError(f'truth: expected a text, got {self.truth!r}')

    @property
    def at_ns(self) -> int:
        """``at`` in nanoseconds."""
        return round(self.at * NS_PER_S)


def pair_questions(texts: Sequence[str], times: Sequence[float]) -> list[Question]:
    """Pair the questions of a command line with their times, in the order given.

    :raises ValueError: not as many times as questions, or a value is out of range.
    """
    if len(texts) != len(times):
        raise ValueError(
            f'expected one --at SECONDS for each --question, got {len(texts)} x --question and '
            f'{len(times)} x --at'
        )
    return [Question(at, text) for text, at in zip(texts, times, strict=True)]


def questions_beside(recording: Path) -> Path | None:
    """Find the questions that the simulator has written beside a recording of its own."""
    path = recording.with_name(f'{_name_of(recording)}.questions.json')
    return path if path.is_file() else None


def _name_of(recording: Path) -> str:
    """What the simulator calls a recording: its name without the suffix of a file."""
    return recording.name.removesuffix('.mp4').removesuffix('.json')


def read_questions(path: Path, recording: Path | None = None) -> list[Question]:
    """Read a JSON file: a list of ``{"at": seconds, "question": text}``.

    Optional keys of an entry are ``"choices": [text, ...]``, ``"max_new_tokens": number`` and
    ``"truth": text``. Entries with VStream-QA's keys, as the simulator writes them, are taken too.

    :param recording: that they are about. Of a file about several, only its own are taken.
    :raises OSError: the file cannot be read.
    :raises ValueError: it is no such list, or none of several streams is the recording; file and
        entry (or line) are named.
    """
    try:
        entries = json.loads(path.read_text(encoding='utf-8'))
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}, line {error.lineno}: not JSON: {error.msg}') from error
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: expected a JSON file in UTF-8: {error}') from error
    if not isinstance(entries, list):
        raise ValueError(
            f'{path}: expected a list [{{"at": 5.0, "question": "..."}}, ...], '
            f'got {_json_kind(entries)}'
        )
    questions = [_read_entry(path, i, entry) for i, entry in enumerate(entries, start=1)]
    names = [entry.get('video_id') for entry in entries]
    if recording is None or len({str(name) for name in names}) < 2:
        return questions
    own = [q for q, name in zip(questions, names, strict=True) if name == _name_of(recording)]
    if not own:
        raise ValueError(
            f'{path}: expected questions about {_name_of(recording)}, got none among those about '
            f'{len({str(name) for name in names})} streams; name one of its recordings'
        )
    return own


def _read_entry(path: Path, number: int, entry: Any) -> Question:
    try:
        return _question_of(entry)
    except ValueError as error:
        raise ValueError(f'{path}, entry {number}: {error}') from error


def _question_of(entry: Any) -> Question:
    if not isinstance(entry, dict):
        raise ValueError(f'expected an object, got {_json_kind(entry)}')
    is_vstream_qa = 'end_time' in entry
    _check_keys(entry, VSTREAM_QA_KEYS if is_vstream_qa else KEYS)
    choices = entry.get('choices') or []
    if not isinstance(choices, list):
        raise ValueError(f'choices: expected a list of texts, got {_json_kind(choices)}')
    if is_vstream_qa:
        return Question(
            entry['end_time'], entry['question'], tuple(choices), truth=entry['answer']
        )
    optional = {key: entry[key] for key in ('max_new_tokens', 'truth') if key in entry}
    return Question(entry['at'], entry['question'], tuple(choices), **optional)


def _check_keys(entry: dict[str, Any], keys: Sequence[str]) -> None:
    for key in entry:
        if key not in keys:
            nearest = get_close_matches(key, keys, n=1)
            hint = f'; did you mean {nearest[0]}?' if nearest else ''
            raise ValueError(f'unknown key {key!r}, expected {", ".join(keys)}{hint}')
    for key in ('at', 'question') if keys is KEYS else ('question', 'answer'):
        if key not in entry:
            raise ValueError(f'{key} is missing')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _json_kind(value: Any) -> str:
    """What a JSON value is, in JSON's words."""
    kinds = {dict: 'an object', list: 'a list', str: 'a text', bool: 'true or false'}
    return kinds.get(type(value), 'null' if value is None else f'the number {value}')
