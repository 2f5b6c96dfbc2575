# SPDX-License-Identifier: Apache-2.0
"""No question is sent before answers arrive."""

import pytest
from asking import ways
from flash_vstream_ros.msg import Answer
from stand_ins import StandIn

from flash_vstream_ros.nodes.ask_errors import ServerNotFound
from flash_vstream_ros.nodes.client import VStreamClient


@pytest.mark.parametrize('way', ['service', 'action'])
def test_a_question_waits_until_answers_arrive(namespace, way):
    """The first answers of a question handler that has not found its client yet get lost."""
    stand_in = StandIn(namespace, lost=2)
    stand_in.answer.set_result(Answer(text='here'))
    with VStreamClient(namespace=namespace) as client:
        assert ways(client)[way]('What?').text == 'here'
        assert stand_in.lost == -1, 'two were lost, the third has arrived'
        assert ways(client)[way]('And?').text == 'here'
        assert stand_in.lost == -1, 'it does so once'
    assert [request.question for request in stand_in.requests] == ['What?', 'And?']
    stand_in.close()


def test_whoever_serves_and_never_answers_is_named(namespace):
    stand_in = StandIn(namespace, lost=1000)
    with VStreamClient(namespace=namespace, find_timeout_s=5.0) as client:
        with pytest.raises(ServerNotFound, match=f'serves {namespace}/ask does not answer'):
            client.ask('What?')
        assert stand_in.requests == []
    stand_in.close()


def test_a_question_handler_that_was_started_anew_is_met_anew(namespace):
    stand_in = StandIn(namespace)
    stand_in.answer.set_result(Answer(text='first'))
    with VStreamClient(namespace=namespace) as client:
        assert client.ask('What?').text == 'first'
        stand_in.close()
        stand_in = StandIn(namespace, lost=1)
        stand_in.answer.set_result(Answer(text='second'))
        assert client.ask('What?').text == 'second'
    stand_in.close()


def test_answers_that_take_longer_than_a_period_are_answers(namespace):
    """Over a radio link, or from a question handler that is busy."""
    stand_in = StandIn(namespace, late_s=1.2)
    stand_in.answer.set_result(Answer(text='here'))
    with VStreamClient(namespace=namespace) as client:
        assert client.ask('What?').text == 'here'
        assert client.ask('And?').text == 'here'
    stand_in.close()
