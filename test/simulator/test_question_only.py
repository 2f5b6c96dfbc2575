# SPDX-License-Identifier: Apache-2.0
"""A model that reads the questions alone cannot tell yes from no."""

from dataclasses import replace

import pytest
from question_only import QuestionOnlyModel, closed_questions

from flash_vstream_ros.simulator.dataset import SPLITS
from flash_vstream_ros.simulator.questions import PatrolQuestion

BOUND = 0.6  # of closed questions, by the issue of this simulator
TRAIN, TEST = SPLITS['train'], SPLITS['test']


@pytest.fixture(scope='module')
def questions() -> tuple[list, list]:
    return closed_questions(TRAIN[:200], 600.0, 6, 8), closed_questions(TEST[:120], 600.0, 6, 8)


def test_of_ten_minutes(questions: tuple[list, list]) -> None:
    train, test = questions
    assert len(train) > 3000
    assert len(test) > 1800
    accuracy = QuestionOnlyModel(train).accuracy(test)
    assert 0.4 < accuracy <= BOUND


def test_of_two_hours() -> None:
    train = closed_questions(TRAIN[:14], 7200.0, 30, 8)
    test = closed_questions(TEST[:10], 7200.0, 30, 8)
    assert len(test) > 800
    assert 0.4 < QuestionOnlyModel(train).accuracy(test) <= BOUND


def test_the_model_finds_what_a_pair_of_words_tells(questions: tuple[list, list]) -> None:
    """Guards the two tests above: a model that learns nothing would pass them."""
    train, test = ([_leak(question) for question in part] for part in questions)
    assert QuestionOnlyModel(train).accuracy(test) > 0.75


def _leak(question: PatrolQuestion) -> PatrolQuestion:
    """Let the answer be yes where one of two words is there, and not the other."""
    is_red, is_ball = (word in question.question for word in ('red', 'ball'))
    return replace(question, answer='yes' if is_red ^ is_ball else 'no')
