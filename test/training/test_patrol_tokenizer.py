# SPDX-License-Identifier: Apache-2.0
import pytest

from flash_vstream_ros.core.prompt import Prompt
from flash_vstream_ros.simulator.view import COLOURS, ROOMS, SHAPES
from flash_vstream_ros.training.patrol_tokenizer import train_tokenizer


@pytest.fixture(scope='module')
def prompt():
    return Prompt(train_tokenizer(900))


@pytest.mark.parametrize('words', [COLOURS, SHAPES, ROOMS], ids=['colours', 'shapes', 'rooms'])
def test_what_the_patrol_talks_about_is_one_piece_each(prompt, words):
    for word in words:
        assert len(prompt.choice(f'the {word}')) == 3, word  # the, word, end of text


def test_what_it_does_not_know_is_spelled_in_bytes(prompt):
    assert prompt.text(prompt.choice('Köln 東京')[:-1]) == 'Köln 東京'


def test_equal_sizes_give_equal_tokenizers():
    assert train_tokenizer(700) == train_tokenizer(700)
