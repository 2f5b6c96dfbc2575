# SPDX-License-Identifier: Apache-2.0
"""Writes one simulated patrol: what the camera sees, what truly happened, and questions."""

import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flash_vstream_ros.replay.new_output import new_outputs
from flash_vstream_ros.replay.recording_writer import check_kind, write_recording
from flash_vstream_ros.simulator.description import DESCRIPTION_SUFFIX, PatrolDescription
from flash_vstream_ros.simulator.events import Event
from flash_vstream_ros.simulator.language import clause_of, sentence
from flash_vstream_ros.simulator.questions import EARLIEST_S, TYPES, Questioner
from flash_vstream_ros.simulator.recording import draw_frame
from flash_vstream_ros.simulator.world import Patrol

logger = logging.getLogger(__name__)

Progress = Callable[..., Iterable[int]]  # (numbers, unit=what they count), as tqdm

# What the names of recordings end with in each format; folders end with none of them.
SUFFIXES = {'frames': '', 'bag': '', 'mp4': '.mp4', 'description': DESCRIPTION_SUFFIX}
FILE_SUFFIXES = ('.mp4', '.json', '.mcap', '.db3', '.bag')
LOG_FORMAT = 'flash_vstream patrol log'
LOG_VERSION = 1
MOST_AT_ONCE = 20
LOWEST_ASKED_HZ = 1.0


@dataclass(frozen=True)
class Form:
    """How patrols are written, and how much is asked about each.

    :param format: one of :data:`SUFFIXES`; ``description``: only what frames are drawn from.
    :param storage: of a bag: ``mcap`` or ``sqlite3``.
    :param compressed: JPEG; else what loses nothing: raw images in a bag, PNG frames.
    :param questions: to each patrol.
    :param at_once: questions asked at the same moment.
    :param asked_until_s: the moment before which all of them are asked.
    :param clear_cut: what did not happen is easily told from what did.
    :param types: of questions; see :data:`~flash_vstream_ros.simulator.questions.TYPES`.
    :raises ValueError: a value is out of range.
    """

    format: str = 'bag'
    storage: str = 'mcap'
    compressed: bool = True
    questions: int = 40
    at_once: int = 4
    asked_until_s: float = math.inf
    clear_cut: bool = False
    types: tuple[str, ...] = TYPES

    def __post_init__(self) -> None:
        if self.format not in SUFFIXES:
            raise ValueError(f'format: expected one of {list(SUFFIXES)}, got {self.format!r}')
        if self.questions < 0:
            raise ValueError(f'questions: expected 0 or more, got {self.questions}')
        if not 1 <= self.at_once <= MOST_AT_ONCE:
            raise ValueError(f'at_once: expected 1 to {MOST_AT_ONCE}, got {self.at_once}')
        if not self.types or set(self.types) - set(TYPES):
            raise ValueError(f'types: expected some of {list(TYPES)}, got {list(self.types)}')
        if not self.asked_until_s > EARLIEST_S:
            raise ValueError(
                f'asked_until: expected more than {EARLIEST_S:g} seconds, got {self.asked_until_s}'
            )

    def check(self, about: PatrolDescription) -> None:
        """Check that a stream can be written so.

        :raises ValueError: it cannot.
        """
        if self.questions and about.rate_hz < LOWEST_ASKED_HZ:
            # Who looks less often misses short events and knows no scene at its moment.
            raise ValueError(
                f'rate_hz: questions need 1 frame a second or more, got {about.rate_hz}'
            )
        if self.format != 'description':
            check_kind(self.format, self.storage, about.rate_hz, about.size)


def no_bar(numbers: Iterable[int], *, unit: str) -> Iterable[int]:
    """Show no progress."""
    del unit
    return numbers


def write_patrol(
    path: Path, about: PatrolDescription, form: Form | None = None, progress: Progress = no_bar
) -> None:
    """Write a recording, ``NAME.events.json`` and ``NAME.questions.json``: all three or none.

    :param path: of the recording, ``NAME`` with the suffix of its format.
    :param progress: goes around the numbers of the frames, as tqdm does.
    :raises FileExistsError: one of the three exists.
    :raises OSError: one cannot be written; the disk is full, say.
    :raises ValueError: the stream cannot be written in this form.
    """
    form = form or Form()
    form.check(about)
    name = name_of(path, form.format)
    log, questions = (path.with_name(f'{name}.{kind}.json') for kind in ('events', 'questions'))
    with new_outputs(path, log, questions) as (path_now, log_now, questions_now):
        patrol = Patrol(about.seed, about.seconds)
        write_json(log_now, log_of(patrol))
        write_json(questions_now, question_entries(patrol, name, form, about.size))
        write_stream(path_now, patrol, about, form, progress)


def name_of(path: Path, file_format: str) -> str:
    """The name of a recording, without its suffix.

    :raises ValueError: the format needs another suffix.
    """
    suffix = SUFFIXES[file_format]
    if suffix and path.suffix != suffix:
        raise ValueError(f'{path}: expected a name with {suffix}, as its format is {file_format}')
    if not suffix and path.suffix in FILE_SUFFIXES:
        raise ValueError(
            f'{path}: expected the name of a folder, without {path.suffix}, as its format is '
            f'{file_format}'
        )
    return path.name.removesuffix(suffix)


def write_stream(
    path: Path, patrol: Patrol, about: PatrolDescription, form: Form, progress: Progress = no_bar
) -> None:
    """Write what the camera of a patrol sees. If that fails, what is half written stays."""
    if form.format == 'description':
        about.write(path)
        return
    frames = (
        draw_frame(patrol, about, i) for i in progress(range(about.frame_count), unit='frame')
    )
    write_recording(
        path,
        form.format,
        frames,
        about.rate_hz,
        storage=form.storage,
        compressed=form.compressed,
    )


def log_of(patrol: Patrol) -> dict[str, Any]:
    """The true log of a patrol: what happened, and where the robot was; in seconds."""
    visits = [
        {
            'room': v.room,
            'start': _seconds(v.start_s),
            'end': _seconds(min(v.end_s, patrol.seconds)),
        }
        for v in patrol.visits
    ]
    return {
        'format': LOG_FORMAT,
        'version': LOG_VERSION,
        'seed': patrol.seed,
        'seconds': patrol.seconds,
        'events': [_entry_of(event) for event in patrol.events],
        'visits': visits,
    }


def _entry_of(event: Event) -> dict[str, Any]:
    return {
        'action': event.action,
        'colour': event.colour,
        'shape': event.shape,
        'room': event.room,
        'start': _seconds(event.start_s),
        'end': _seconds(event.end_s),
        'sentence': sentence(clause_of(event)),
    }


def _seconds(value: float) -> float:
    return round(value, 3)


def question_entries(
    patrol: Patrol, name: str, form: Form, size: tuple[int, int]
) -> list[dict[str, Any]]:
    """Ask about a patrol, in order of time.

    :param name: of the recording, and ``size`` of its frames, (width, height).
    :returns: entries of a question file, at most as many as asked for.
    """
    questioner = Questioner(patrol, 0, form.clear_cut, form.types, size)
    moments = -(-form.questions // form.at_once)
    questions = []
    times = questioner.times(moments, latest_s=form.asked_until_s) if moments else []
    for at_s in times:
        count = min(form.at_once, form.questions - len(questions))
        questions += questioner.ask(at_s, count)
    if len(questions) < form.questions:
        logger.warning(
            '%s: %d questions of %d: there is no more to ask about in the time given',
            name,
            len(questions),
            form.questions,
        )
    return [q.as_entry(number, name, patrol.seconds) for number, q in enumerate(questions)]


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file; of a list each entry has a line of its own, which errors can name."""
    if isinstance(content, list):
        lines = ',\n'.join(json.dumps(entry) for entry in content)
        text = f'[\n{lines}\n]\n' if content else '[]\n'
    else:
        text = json.dumps(content, indent=1) + '\n'
    path.write_text(text, encoding='utf-8')
