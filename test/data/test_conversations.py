# SPDX-License-Identifier: Apache-2.0

import pytest

from flash_vstream_ros.data.conversations import (
    read_conversations,
    read_questions,
)
from flash_vstream_ros.evaluation.dataset import read_questions as evaluated_questions


def question(number, video='a', end_time=10.0, **changes):
    entry = {
        'id': f'{video}_{number}',
        'video_name': video,
        'question': f'What is {number}?',
        'answer': f'number {number}',
        'answer_type': 'Scene Summary',
        'end_time': end_time,
    }
    return entry | changes


def spoken(*texts):
    return [
        {'from': ('human', 'gpt')[place % 2], 'value': text} for place, text in enumerate(texts)
    ]


def test_questions_of_one_moment_share_examples_up_to_their_limit(write_json):
    entries = [question(n) for n in range(5)] + [question(9, end_time=11.0), question(7, 'b')]
    examples = read_questions(write_json(entries), 3)
    assert [(e.media, e.at_s, len(e.turns)) for e in examples] == [
        ('a', 10.0, 3),
        ('a', 10.0, 2),
        ('a', 11.0, 1),
        ('b', 10.0, 1),
    ]
    assert all(e.independent for e in examples)
    assert [turn for e in examples[:2] for turn in e.turns] == [
        (f'What is {n}?', f'number {n}') for n in range(5)
    ]


def test_a_conversation_keeps_its_turns_together_and_loses_the_mark_of_the_image(write_json):
    entries = [
        {'id': 1, 'image': 'x/1.jpg', 'conversations': spoken('<image>\nWhat?', 'A cup.')},
        {
            'id': 2,
            'video': 'v.mp4',
            'conversations': spoken('Who?\n<video>', 'Nobody.', 'Sure?', 'Yes.'),
        },
        {'id': 3, 'conversations': spoken('Hello', 'Hi')},
    ]
    examples = read_conversations(write_json(entries))
    assert [e.media for e in examples] == ['x/1.jpg', 'v.mp4', '']
    assert examples[0].turns == (('What?', 'A cup.'),)
    assert examples[1].turns == (('Who?', 'Nobody.'), ('Sure?', 'Yes.'))
    assert not any(e.independent for e in examples)
    assert all(e.at_s is None for e in examples)


@pytest.mark.parametrize(
    ('changes', 'word'),
    [
        ({'answer': ''}, 'answer'),
        ({'question': 3}, 'question'),
        ({'video_name': None}, 'video_name'),
        ({'end_time': 'shot_0123'}, 'end_time'),
        ({'end_time': True}, 'end_time'),
        ({'end_time': float('nan')}, 'end_time'),
        ({'end_time': 10**400}, 'end_time'),
    ],
)
def test_a_question_of_no_use_is_named_with_file_and_line(write_json, changes, word):
    path = write_json([question(0), question(1, **changes)])
    lines = path.read_text().split('\n')
    line = 1 + lines.index(' {', 3)
    with pytest.raises(ValueError, match=rf'entries\.json, line {line}: {word}'):
        read_questions(path, 4)


def test_what_gpt_says_first_is_left_out_and_null_is_no_image(write_json):
    greeting = [{'from': 'gpt', 'value': 'Hello.'}]
    entries = [
        {'id': 4, 'image': None, 'conversations': greeting + spoken('What?', 'A cup.')},
        {'id': 5, 'image': 'a.jpg', 'video': None, 'conversations': spoken('Who?', 'Ann.')},
    ]
    first, second = read_conversations(write_json(entries))
    assert (first.media, first.turns) == ('', (('What?', 'A cup.'),))
    assert (second.media, second.turns) == ('a.jpg', (('Who?', 'Ann.'),))
    bad = {'id': 'x7', 'conversations': greeting * 2 + spoken('What?', 'A cup.')}
    words = r'line 2: conversations: expected .* \(the entry with id .?x7.?\)$'
    for items in (bad['conversations'], greeting):
        with pytest.raises(ValueError, match=words):
            read_conversations(write_json([bad | {'conversations': items}]))


@pytest.mark.parametrize('end_time', [36.5, '36.5', ' 36.5 '])
def test_a_time_may_be_a_text_as_in_the_evaluation(write_json, end_time):
    path = write_json([question(1, end_time=end_time)])
    (example,) = read_questions(path, 1)
    (asked,) = evaluated_questions(path, 'set')
    assert example.at_s == asked.at_s == 36.5


@pytest.mark.parametrize(
    'entry',
    [
        'text',
        {'image': 'a', 'video': 'b', 'conversations': spoken('a', 'b')},
        {'image': 7, 'conversations': spoken('a', 'b')},
        {'image': 'a'},
        {'image': 'a', 'conversations': spoken('a')},
        {'image': 'a', 'conversations': spoken('a', 'b')[::-1]},
        {'image': 'a', 'conversations': spoken('a', ' ')},
    ],
)
def test_a_conversation_of_no_use_is_named_with_file_and_line(write_json, entry):
    with pytest.raises(ValueError, match=r'entries\.json, line 2: '):
        read_conversations(write_json([entry]))
