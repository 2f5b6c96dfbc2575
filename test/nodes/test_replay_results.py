# SPDX-License-Identifier: Apache-2.0
"""Results of a replay: a line for each answer, and words for a person."""

import json

import pytest
from flash_vstream_ros.msg import Answer

from flash_vstream_ros.nodes.ask_errors import status_name
from flash_vstream_ros.nodes.conversions import ns_to_time
from flash_vstream_ros.nodes.replay_results import in_words, result_of, score
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


def test_words_say_question_answer_and_what_it_was_made_from():
    assert in_words(result_of(QUESTION, answer(), START_NS), 80).split('\n') == [
        '[8.0 s] Where is the cup?',
        '    answer  on the table',
        '    8 frames, newest at 7.5 s, first token 0.2 s, all 0.5 s',
    ]


def test_nothing_of_a_long_text_is_cut_and_no_line_is_too_long():
    said = ' '.join(f'word{number}' for number in range(60))
    told = Question(8.0, f'Why {said}?', truth=said)
    words = in_words(result_of(told, answer(text=said), START_NS), 60)
    assert max(len(line) for line in words.split('\n')) <= 60
    for number in range(60):
        assert words.count(f'word{number}') >= 3
    assert {line.index('word') for line in words.split('\n') if 'word' in line} == {8, 12}


@pytest.mark.parametrize('status', [Answer.TIMEOUT, Answer.MODEL_ERROR])
def test_words_say_the_status_where_there_is_no_answer(status):
    failed = Answer(status=status, message='why')
    words = in_words(result_of(QUESTION, failed, START_NS), 80)
    assert f'answer  {status_name(status)}: why\n' in words


def test_a_character_that_cannot_be_printed_does_not_break_a_line():
    words = in_words(result_of(QUESTION, answer(text='a\nb\tc\x1b[2J'), START_NS), 80)
    assert words.split('\n')[1] == '    answer  a·b·c·[2J'


def test_the_truth_stands_below_the_answer_with_whether_it_is_right():
    told = Question(8.0, 'Where?', truth='On the table.')
    right, wrong, unknown = (
        in_words(result_of(question, answer(text=text), START_NS), 80).split('\n')
        for question, text in ((told, 'on the table'), (told, 'in a box'), (QUESTION, 'there'))
    )
    assert right[1:3] == ['    answer  on the table   (right)', '    truth   On the table.']
    assert wrong[1:3] == ['    answer  in a box   (wrong)', '    truth   On the table.']
    assert not any('truth' in line for line in unknown)


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
