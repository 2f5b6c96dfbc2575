# SPDX-License-Identifier: Apache-2.0
"""Answers of a replay -> lines of results, and the same in words for a person."""

import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from flash_vstream_ros.evaluation.judges import is_right
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.ask_errors import status_name
from flash_vstream_ros.nodes.conversions import time_to_ns
from flash_vstream_ros.replay.questions import Question
from flash_vstream_ros.replay.recorded_frame import NS_PER_S


def result_of(question: Question, answer: Answer, start_ns: int) -> dict[str, Any]:
    """A line of results; times in seconds, stamps in nanoseconds."""
    newest_ns = time_to_ns(answer.newest_stamp)
    return {
        'at': question.at,
        'question': question.question,
        'answer': answer.text,
        'truth': question.truth,
        'status': status_name(answer.status),
        'message': answer.message,
        'choices': list(question.choices),
        'choice_probabilities': list(answer.choice_probabilities),
        'finish_reason': answer.finish_reason,
        'mean_log_probability': answer.mean_log_probability,
        'frames_seen': answer.frames_seen,
        'oldest_stamp': time_to_ns(answer.oldest_stamp),
        'newest_stamp': newest_ns,
        'newest_at': (newest_ns - start_ns) / NS_PER_S if newest_ns else None,
        'key_stamps': [time_to_ns(stamp) for stamp in answer.key_stamps],
        'queue_time': answer.queue_time,
        'time_to_first_token': answer.time_to_first_token,
        'total_time': answer.total_time,
    }


def score(results: Sequence[dict[str, Any]]) -> str:
    """How many answers are right, of those whose truth is known; '' where none is."""
    judged = [_is_right(result) for result in results if result['truth']]
    return f'{sum(judged)} of {len(judged)} answers are right' if judged else ''


def _is_right(result: dict[str, Any]) -> bool:
    group = 'closed' if result['choices'] else 'open'
    return is_right(result['answer'], result['truth'], group, result['choices'])


def in_words(result: dict[str, Any], width: int | None = None) -> str:
    """A result for a person: question, answer and what it was made from; the truth where known.

    :param width: columns of a line; None: those of the terminal.
    """
    width = width or shutil.get_terminal_size().columns
    said = result['answer']
    if result['status'] != 'OK':
        said = (
            f'{result["status"]}: {result["message"]}' if result['message'] else result['status']
        )
    paragraphs = [(f'[{result["at"]:.1f} s] ', result['question'])]
    if result['truth'] and result['status'] == 'OK':
        said += f'   ({"right" if _is_right(result) else "wrong"})'
    paragraphs += [('    answer  ', said)]
    if result['truth']:
        paragraphs += [('    truth   ', result['truth'])]
    paragraphs += [('    ', _origin(result))]
    return '\n'.join(_wrap(label, text, width) for label, text in paragraphs)


def _origin(result: dict[str, Any]) -> str:
    """What an answer was computed from and how long it took."""
    newest = '' if result['newest_at'] is None else f', newest at {result["newest_at"]:.1f} s'
    return (
        f'{result["frames_seen"]} frames{newest}, first token '
        f'{result["time_to_first_token"]:.1f} s, all {result["total_time"]:.1f} s'
    )


def _wrap(label: str, text: str, width: int) -> str:
    """Text behind a label, its further lines below its first; at least 20 columns of it."""
    printable = ''.join(c if c.isprintable() else '·' for c in text.strip())
    indent = ' ' * len(label)
    width = max(width, len(label) + 20)
    return (
        textwrap.fill(printable, width, initial_indent=label, subsequent_indent=indent)
        or label.rstrip()
    )
