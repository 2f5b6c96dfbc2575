# SPDX-License-Identifier: Apache-2.0
"""Answers of a replay -> lines of results, and a table for a person."""

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


def table(results: Sequence[dict[str, Any]]) -> str:
    """Results for a person: one line each, columns aligned; the truth where it is known."""
    has_truth = any(result['truth'] for result in results)
    columns = ['asked at', 'question', 'answer', 'truth', 'right']
    columns += ['frames', 'newest', 'first token', 'answered in']
    rows = [columns]
    for result in results:
        newest = '-' if result['newest_at'] is None else f'{result["newest_at"]:.1f} s'
        said = result['answer'] if result['status'] == 'OK' else result['status']
        rows.append(
            [
                f'{result["at"]:.1f} s',
                _shorten(result['question']),
                _shorten(said),
                _shorten(result['truth']),
                ('yes' if _is_right(result) else 'no') if result['truth'] else '',
                str(result['frames_seen']),
                newest,
                f'{result["time_to_first_token"] * 1e3:.0f} ms',
                f'{result["total_time"] * 1e3:.0f} ms',
            ]
        )
    if not has_truth:
        rows = [[*row[:3], *row[5:]] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ['  '.join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return '\n'.join([lines[0], '-' * len(lines[0]), *lines[1:]])


def _shorten(text: str, width: int = 64) -> str:
    printable = ''.join(c if c.isprintable() else '·' for c in text.strip())
    return printable if len(printable) <= width else printable[: width - 3] + '...'
