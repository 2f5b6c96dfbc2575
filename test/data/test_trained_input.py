# SPDX-License-Identifier: Apache-2.0
import pytest

from flash_vstream_ros.data.trained_input import NOTE, note_training, read_trained_input


def test_what_is_noted_is_read(tmp_path):
    assert read_trained_input(tmp_path) is None
    note_training(tmp_path, 2, 'uniform')
    assert read_trained_input(tmp_path) == 'uniform'


@pytest.mark.parametrize('text', ['{', '[]', '{}', '{"memory_input": 3}', '[' * 100_000])
def test_a_note_of_something_else_records_nothing(tmp_path, text):
    (tmp_path / NOTE).write_text(text)
    assert read_trained_input(tmp_path) is None
