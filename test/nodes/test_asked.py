# SPDX-License-Identifier: Apache-2.0
"""What a client asks: refused by name where it cannot be sent, and sent as it was meant."""

import numpy as np
import pytest
from flash_vstream_ros.msg import Answer
from robots import S

from flash_vstream_ros.nodes.client import VStreamClient


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'question': 'caf\udce9'}, 'question: expected text that UTF-8 can encode'),
        ({'question': 7}, 'question: expected text .* got 7'),
        ({'choices': 'yes'}, "choices: expected several texts, got the text 'yes'"),
        ({'choices': ['yes', None]}, 'choices: expected text'),
        ({'camera': 'left\0'}, 'camera: expected text'),
        ({'timeout_s': 0.0}, 'timeout_s: expected more than 0'),
        ({'timeout_s': float('nan')}, 'timeout_s: expected more than 0'),
        ({'min_stamp_ns': -1}, 'min_stamp_ns: expected a whole number'),
        ({'min_stamp_ns': 2**31 * S}, 'min_stamp_ns: expected a whole number'),
        ({'max_new_tokens': 2**32}, 'max_new_tokens: expected a whole number'),
        ({'max_new_tokens': 0.5}, 'max_new_tokens: expected a whole number'),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(stand_in, namespace, fields, message):
    stand_in.answer.set_result(Answer(text='here'))
    with VStreamClient(namespace=namespace) as client:
        for ask in (client.ask, client.ask_async):
            with pytest.raises(ValueError, match=message):
                ask(**{'question': 'What?'} | fields)
        assert client.ask('What?').text == 'here'


def test_what_can_be_sent_in_several_forms_is_sent(stand_in, namespace):
    stand_in.answer.set_result(Answer())
    with VStreamClient(namespace=namespace) as client:
        choices = (choice for choice in ('yes', 'no'))
        client.ask('What?', choices, min_stamp_ns=np.int64(3 * S), max_new_tokens=np.uint8(7))
    (request,) = stand_in.requests
    assert request.choices == ['yes', 'no']
    assert (request.min_stamp.sec, request.max_new_tokens) == (3, 7)
    timeout_s = request.timeout.sec + request.timeout.nanosec / S
    assert 0 < timeout_s < 30, 'less than we wait, for what it says at the end'
