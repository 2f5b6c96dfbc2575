# SPDX-License-Identifier: Apache-2.0
"""Values of others in messages: as they are where they are short, never long."""

import numpy as np
import pytest

from flash_vstream_ros.core.quoting import LONGEST, quote, shorten


@pytest.mark.parametrize(
    'value', ['', "it's", 'two  spaces', 'a\nb\0', '\ud800', 3, None, [1, 'b'], {'a': 1.5}]
)
def test_a_short_value_is_shown_whole(value):
    assert quote(value) == repr(value)


@pytest.mark.parametrize(
    'value',
    ['x' * 10**7, '\0' * 10**6, ['ab' * 100] * 10**6, [[['c' * 500] * 50] * 50] * 50,
     {str(n): n for n in range(10**5)}, 10**4000, np.zeros(10**6), tuple('d' * 300)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_long_value_is_cut_on_one_line_and_says_so(value):
    text = quote(value)
    assert len(text) <= LONGEST
    assert '...' in text
    assert '\n' not in text


def test_both_ends_of_a_long_text_are_shown():
    assert quote('begin' + 'x' * 1000 + 'end').startswith("'begin")
    assert quote('begin' + 'x' * 1000 + 'end').endswith("end'")


def test_an_error_of_several_lines_becomes_one():
    assert shorten(ValueError('no model:\n    heads  expected\n')) == 'no model: heads expected'
    assert shorten('short') == 'short'
    assert shorten('half \ud800 a pair') == 'half \\ud800 a pair'
    assert shorten('word ' * 1000).endswith('...')
    assert len(shorten('word ' * 1000)) == LONGEST
