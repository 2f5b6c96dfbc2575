# SPDX-License-Identifier: Apache-2.0
"""Results of a replay: a line for each answer, a table for a person."""

import json

import pytest
from flash_vstream_ros.msg import Answer

from flash_vstream_ros.nodes.ask_errors import status_name
from flash_vstream_ros.nodes.conversions import ns_to_time
from flash_vstream_ros.nodes.replay_results import result_of, score, table
from flash_vstream_ros.replay.questions import Question

S = 1_000_000_000
START_NS = 100 * S


def answer(**values) -> Answer:
    default = {
        'text': 'on the table',
        'finish_reason': 'stop',
        'mean_log_probability': -0.5,
        'oldest_stamp': ns_to_time(START_NS),
        'newest_stamp': ns_to_time(START_NS + 7 * S + 500_000_000),
        'frames_seen': 8,
        'key_stamps': [ns_to_time(START_NS + S)],
        'queue_time': 0.125,
        'time_to_first_token': 0.25,
        'total_time': 0.5,
    }
    return Answer(**default | values)


QUESTION = Question(8.0, 'Where is the cup?')


def test_a_result_holds_question_answer_stamps_and_times():
    assert result_of(QUESTION, answer(), START_NS) == {
        'at': 8.0,
        'question': 'Where is the cup?',
        'answer': 'on the table',
        'truth': '',
        'status': 'OK',
        'message': '',
        'choices': [],
        'choice_probabilities': [],
        'finish_reason': 'stop',
        'mean_log_probability': -0.5,
        'frames_seen': 8,
        'oldest_stamp': START_NS,
        'newest_stamp': START_NS + 7_500_000_000,
        'newest_at': 7.5,
        'key_stamps': [START_NS + S],
        'queue_time': 0.125,
        'time_to_first_token': 0.25,
        'total_time': 0.5,
    }


def test_a_result_is_json():
    question = Question(1.0, 'Open?', ('yes', 'no'))
    result = result_of(question, answer(choice_probabilities=[0.25, 0.75]), START_NS)
    back = json.loads(json.dumps(result))
    assert back['choices'] == ['yes', 'no']
    assert back['choice_probabilities'] == [0.25, 0.75]


def test_an_answer_without_a_memory_has_no_newest_frame():
    empty = Answer(status=Answer.MEMORY_EMPTY, message='no frame memorised yet')
    result = result_of(QUESTION, empty, START_NS)
    assert result['newest_at'] is None
    assert result['status'] == 'MEMORY_EMPTY'
    assert result['answer'] == ''


def test_the_table_has_aligned_columns_and_a_line_for_each_result():
    late = answer(text='a very long answer ' * 9, frames_seen=12345)
    results = [result_of(QUESTION, item, START_NS) for item in (answer(), late)]
    header, rule, first, second = table(results).split('\n')
    assert set(rule) == {'-'}
    assert len({len(line) for line in (header, rule, first, second)}) == 1
    for text in ('8.0 s', 'Where is the cup?', 'on the table', '7.5 s', '250 ms', '500 ms'):
        assert text in first
    assert second.index('12345') == first.index('8  ', header.index('frames'))
    assert '...' in second


@pytest.mark.parametrize('status', [Answer.TIMEOUT, Answer.MODEL_ERROR])
def test_the_table_shows_a_status_where_there_is_no_answer(status):
    failed = Answer(status=status, message='why')
    line = table([result_of(QUESTION, failed, START_NS)]).split('\n')[2]
    assert status_name(status) in line


def test_a_character_that_cannot_be_printed_does_not_break_the_table():
    lines = table([result_of(QUESTION, answer(text='a\nb\tc\x1b[2J'), START_NS)]).split('\n')
    assert len(lines) == 3
    assert '\x1b' not in lines[2]


def test_the_truth_stands_beside_the_answer_where_it_is_known():
    told = Question(8.0, 'Where is the cup?', truth='In the kitchen.')
    lines = table([result_of(q, answer(), START_NS) for q in (told, QUESTION)]).split('\n')
    place = lines[0].index('truth')
    assert lines[2][place:].startswith('In the kitchen.')
    assert not lines[3][place : place + 15].strip()
    assert 'truth' not in table([result_of(QUESTION, answer(), START_NS)])


def test_the_table_says_of_each_answer_whether_it_is_right():
    told = [Question(at, 'Where?', truth='On the table.') for at in (1.0, 2.0)]
    results = [
        result_of(told[0], answer(), START_NS),
        result_of(told[1], answer(text='in the kitchen'), START_NS),
        result_of(QUESTION, answer(), START_NS),  # nobody knows
    ]
    lines = table(results).splitlines()
    place = lines[0].index('right')
    assert [line[place:].split()[0] for line in lines[2:4]] == ['yes', 'no']
    assert lines[4][place : place + 3].strip() == ''


def test_the_score_counts_what_is_right_of_what_is_known():
    def said(text: str, truth: str, choices: list[str] = ()) -> dict:
        return {'answer': text, 'truth': truth, 'choices': list(choices)}

    results = [
        said('In the kitchen.', 'in the kitchen'),
        said('In the office.', 'in the kitchen'),
        said('Yes, it is.', 'yes', ['yes', 'no']),
        said('', 'no', ['yes', 'no']),
        said('whatever', ''),
    ]
    assert score(results) == '2 of 4 answers are right'
    assert score(results[4:]) == ''
