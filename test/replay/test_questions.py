# SPDX-License-Identifier: Apache-2.0
"""Questions of a command line and of a JSON file."""

import json
from pathlib import Path

import pytest

from flash_vstream_ros.replay.questions import Question, pair_questions, read_questions


def written(folder: Path, content: object) -> Path:
    path = folder / 'q.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_command_line_pairs_in_order() -> None:
    assert pair_questions(['a', 'b', 'c'], [3.0, 1.0, 2.0]) == [
        Question(3.0, 'a'),
        Question(1.0, 'b'),
        Question(2.0, 'c'),
    ]


@pytest.mark.parametrize(('texts', 'times'), [(['a'], []), ([], [1.0]), (['a', 'b'], [1.0])])
def test_a_command_line_needs_a_time_for_each_question(texts: list, times: list) -> None:
    expected = f'got {len(texts)} x --question and {len(times)} x --at'
    with pytest.raises(ValueError, match=expected):
        pair_questions(texts, times)


def test_a_file_gives_all_that_a_question_has(tmp_path: Path) -> None:
    entries = [
        {'at': 5, 'question': 'Open?', 'choices': ['yes', 'no'], 'max_new_tokens': 9},
        {'question': 'Wo ist die Tür?', 'at': 0.5},
    ]
    assert read_questions(written(tmp_path, entries)) == [
        Question(5, 'Open?', ('yes', 'no'), 9),
        Question(0.5, 'Wo ist die Tür?'),
    ]


def test_seconds_become_nanoseconds_exactly() -> None:
    assert Question(1.1, 'a').at_ns == 1_100_000_000
    assert Question(0.1 + 0.2, 'a').at_ns == 300_000_000
    assert Question(1e9, 'a').at_ns == 10**18


GOOD = {'at': 1.0, 'question': 'a'}


@pytest.mark.parametrize(
    ('entry', 'complaint'),
    [
        ({'question': 'a'}, 'at is missing'),
        ({'at': 1.0}, 'question is missing'),
        ({**GOOD, 'at': -0.1}, 'at: expected seconds from 0 to 1000000000, got -0.1'),
        ({**GOOD, 'at': '5'}, "at: expected seconds from 0 to 1000000000, got '5'"),
        ({**GOOD, 'at': True}, 'at: expected seconds from 0 to 1000000000, got True'),
        ({**GOOD, 'at': float('nan')}, 'at: expected seconds from 0 to 1000000000, got nan'),
        ({**GOOD, 'at': 10**400}, 'at: expected seconds'),
        ({**GOOD, 'question': '  '}, "question: expected a text, got '  '"),
        ({**GOOD, 'question': 7}, 'question: expected a text, got 7'),
        ({**GOOD, 'choices': 'yes'}, 'choices: expected a list of texts, got a text'),
        ({**GOOD, 'choices': ['yes', 3]}, 'choices: expected texts'),
        ({**GOOD, 'choices': ['yes', 'yes']}, 'choices: expected different texts'),
        (
            {**GOOD, 'max_new_tokens': 0},
            'max_new_tokens: expected a whole number from 1 on, got 0',
        ),
        ({**GOOD, 'max_new_tokens': 1.5}, 'max_new_tokens: expected a whole number'),
        ({**GOOD, 'chocies': []}, "unknown key 'chocies', .*; did you mean choices"),
        ('What?', 'expected an object, got a text'),
        (None, 'expected an object, got null'),
    ],
)
def test_a_faulty_entry_is_named_by_file_and_number(
    tmp_path: Path, entry: object, complaint: str
) -> None:
    path = written(tmp_path, [GOOD, GOOD, entry])
    with pytest.raises(ValueError, match=rf'q\.json, entry 3: {complaint}'):
        read_questions(path)


def test_broken_json_is_named_by_line(tmp_path: Path) -> None:
    path = written(tmp_path, '[\n {"at": 1, "question": "a"},\n {"at": 2 "question": "b"}\n]')
    with pytest.raises(ValueError, match=r'q\.json, line 3: not JSON'):
        read_questions(path)


@pytest.mark.parametrize('content', [{'at': 1, 'question': 'a'}, 3])
def test_anything_but_a_list_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(ValueError, match='expected a list'):
        read_questions(written(tmp_path, content))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'q.json'
    path.write_bytes(b'\xff\xfe\x00\x81')
    with pytest.raises(ValueError, match=r'q\.json: expected a JSON file in UTF-8'):
        read_questions(path)
