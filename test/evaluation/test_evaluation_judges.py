# SPDX-License-Identifier: Apache-2.0
"""When an answer is right by its words."""

import pytest

from flash_vstream_ros.evaluation.judges import is_right, normalise, yes_or_no


@pytest.mark.parametrize(
    ('text', 'normal'),
    [
        ('The red cup was picked up in the kitchen.', 'red cup was picked up in kitchen'),
        ('  IN  the\tKitchen!\n', 'in kitchen'),
        ('A robot’s cup', 'robots cup'),
        ("the robot's cup", 'robots cup'),
        ('red, green; blue', 'red green blue'),
        ('theatre another', 'theatre another'),
        ('A', 'a'),
        ('The', 'the'),
        ('', ''),
        ('...', ''),
    ],
)
def test_normalising_takes_away_what_does_not_matter(text, normal):
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ('text', 'meaning'),
    [
        ('yes', 'yes'),
        ('Yes, it was.', 'yes'),
        ('NO!', 'no'),
        ('No, the door stayed open', 'no'),
        ('not at all', ''),
        ('yesterday', ''),
        ('nobody', ''),
        ('I think yes', ''),
        ('', ''),
    ],
)
def test_the_first_word_says_yes_or_no(text, meaning):
    assert yes_or_no(text) == meaning


@pytest.mark.parametrize(
    ('answer', 'truth', 'group', 'right'),
    [
        ('Yes, it was.', 'yes', 'closed', True),
        ('yes', 'Yes, you did.', 'closed', True),
        ('no', 'yes', 'closed', False),
        ('', 'no', 'closed', False),
        ('maybe', 'no', 'closed', False),
        ('Yes, it was.', 'Yes; you did.', 'closed', True),
        ('Yes he did', 'yes', 'closed', True),
        ('blue', 'Blue.', 'closed', True),
        ('In the kitchen', 'in kitchen.', 'open', True),
        ('In the office.', 'In the kitchen.', 'open', False),
        ('No.', 'No one was there.', 'open', False),
        ('no one was there', 'No one was there.', 'open', True),
        ('A', 'A', 'closed', True),
        ('', 'A', 'closed', False),
        ('the', 'A', 'closed', False),
        ('I have not seen that', 'I have not seen that.', 'unanswerable', True),
        ('I have seen that.', 'I have not seen that.', 'unanswerable', False),
    ],
)
def test_an_answer_is_right_when_it_says_the_same(answer, truth, group, right):
    assert is_right(answer, truth, group) is right


def test_an_answer_out_of_choices_is_one_of_them_word_for_word():
    choices = ('no parking sign', 'no entry sign')
    assert is_right('No parking sign.', choices[0], 'closed', choices)
    assert not is_right(*choices, 'closed', choices)
    assert is_right('No.', 'no', 'closed', ('yes', 'no'))
