# SPDX-License-Identifier: Apache-2.0
"""Exceptions of the statuses of an answer."""

import pytest
from flash_vstream_ros.msg import Answer

from flash_vstream_ros.nodes import ask_errors


def test_all_statuses_of_the_interface_have_an_exception():
    constants = {
        name: getattr(Answer, name)
        for name in dir(Answer)
        if name.isupper() and isinstance(getattr(Answer, name), int)
    }
    assert set(constants) - {'OK'} == {name for name, _ in ask_errors._BY_STATUS.values()}
    for name, status in constants.items():
        assert ask_errors.status_name(status) == name
        if name != 'OK':
            with pytest.raises(ask_errors._BY_NAME[name], match=rf'^{name}: why$'):
                ask_errors.check_answer(Answer(status=status, message='why'))
