# SPDX-License-Identifier: Apache-2.0
"""Training text: LLaVA-style conversations and VStream-QA's questions, as one kind of example."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flash_vstream_ros.core.prompt import check_text
from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.data.json_entries import read_entries, read_seconds

IMAGE_MARKS = ('<image>', '<video>')


@dataclass(frozen=True)
class Example:
    """Questions and right answers about one stream at one moment.

    :param media: name of the recording; '' where the text is about none.
    :param at_s: seconds after the recording's first frame; None: at its end.
    :param turns: (question, answer), at least one.
    :param independent: each turn sees the memory and itself only; else it sees those before it.
    :param source: where it stands, for messages.
    :param video_name: another name the recording may have; '': none.
    """

    media: str
    at_s: float | None
    turns: tuple[tuple[str, str], ...]
    independent: bool
    source: str
    video_name: str = ''

    @property
    def names(self) -> tuple[str, ...]:
        """By which its recording is looked for, in this order, as ``evaluate`` does it."""
        return tuple(dict.fromkeys((self.media, self.video_name or self.media)))

    @property
    def name(self) -> str:
        """For a message about its content."""
        at = '' if self.at_s is None else f' at {self.at_s:g} s'
        return f'{self.source} ({self.media or "no recording"}{at})'


def read_conversations(path: Path) -> list[Example]:
    """Read a LLaVA-style file.

    ``[{"id": ..., "image" or "video": NAME, "conversations": [{"from": "human", "value": "<image>
    and a question"}, {"from": "gpt", "value": ...}, ...]}, ...]``. An image is a video of one
    frame, and null is none. What gpt says before the first question is left out, as in LLaVA.

    :raises OSError: the file cannot be read.
    :raises ValueError: it holds something else; file and line are named.
    """
    return [_read_at(path, line, entry, _conversation_of) for line, entry in read_entries(path)]


def read_questions(path: Path, turns_per_example: int) -> list[Example]:
    """Read a file of VStream-QA's form, as the simulator writes it.

    Questions asked of one recording at one moment share examples.

    :param turns_per_example: the most of them.
    :raises OSError: the file cannot be read.
    :raises ValueError: it holds something else; file and line are named.
    """
    groups: dict[tuple[str, str, float | None], list[Example]] = {}
    for line, entry in read_entries(path):
        example = _read_at(path, line, entry, _question_of)
        key = (example.media, example.video_name, example.at_s)
        groups.setdefault(key, []).append(example)
    return [
        replace(part[0], turns=tuple(e.turns[0] for e in part))
        for group in groups.values()
        for part in _split(group, turns_per_example)
    ]


def _split(items: list[Any], size: int) -> list[list[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def _read_at(path: Path, line: int, entry: Any, read: Any) -> Example:
    source = f'{path}, line {line}'
    try:
        return read(_object(entry), source)
    except ValueError as error:
        name = entry.get('id') if isinstance(entry, dict) else None
        which = '' if name is None else f' (the entry with id {quote(name)})'
        raise ValueError(f'{source}: {error}{which}') from error


def _object(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError(f'expected an object, got {entry!r}')
    return entry


def _question_of(entry: dict[str, Any], source: str) -> Example:
    turn = (_text(entry, 'question'), _text(entry, 'answer'))
    end_s = read_seconds(entry.get('end_time'))
    if end_s is None:
        raise ValueError(f'end_time: expected seconds, got {quote(entry.get("end_time"))}')
    # The stream is the one of video_id; VStream-QA's video_name is what several are cut from.
    name = _text(entry, 'video_name')
    video = entry.get('video_id', name)
    media = str(video) if type(video) is int else _text({'video_id': video}, 'video_id')
    return Example(media, end_s, (turn,), True, source, name)


def _conversation_of(entry: dict[str, Any], source: str) -> Example:
    names = [entry[key] for key in ('image', 'video') if entry.get(key) is not None]
    media = names[0] if names else ''
    if len(names) > 1 or not isinstance(media, str):
        raise ValueError(f'image, video: expected the name of one of them, got {names!r}')
    spoken = entry.get('conversations')
    return Example(media, None, _turns_of(spoken), False, source)


def _turns_of(spoken: Any) -> tuple[tuple[str, str], ...]:
    """Pairs of question and answer; an answer to nothing before them is left out."""
    items = list(enumerate(spoken, start=1)) if isinstance(spoken, list) else []
    if items and isinstance(items[0][1], dict) and items[0][1].get('from') == 'gpt':
        items = items[1:]
    if not items or len(items) % 2:
        raise ValueError('conversations: expected a list of pairs, human and gpt in turn')
    texts = []
    for place, (number, item) in enumerate(items):
        expected = ('human', 'gpt')[place % 2]
        if not isinstance(item, dict) or item.get('from') != expected:
            raise ValueError(f'conversations: expected item {number} to be from {expected}')
        text = _text(item, 'value')
        texts.append(_without_mark(text) if expected == 'human' else text)
        if not texts[-1]:
            raise ValueError(f'conversations: expected item {number} to ask something')
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _without_mark(question: str) -> str:
    for mark in IMAGE_MARKS:
        question = question.replace(mark, '')
    return question.strip()


def _text(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'{key}: expected a text, got {value!r}')
    check_text(key, value)
    return value.strip()
