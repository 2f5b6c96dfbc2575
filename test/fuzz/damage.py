# SPDX-License-Identifier: Apache-2.0
"""Inputs of others: files with something wrong in them, JSON of any form; and how they end."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

LONGEST_MESSAGE = 3000  # characters of an error: some name what is accepted

_WORDS = st.sampled_from(
    [
        b'\0\0\0\0',
        b'\xff\xff\xff\xff',
        b'\x7f\xff\xff\xff',
        b'\xff\xff\xff\x7f',
        b'\0\0\x40\0',
        b'\0\x40\0\0',
        b'\xff',
        b'\0',
    ]
)
_KINDS = st.sampled_from(['set', 'set', 'set', 'cut', 'double', 'end'])


@st.composite
def damaged(draw: Callable, wholes: Sequence[bytes]) -> bytes:
    """One of some files with bytes overwritten, left out or doubled, or without its end."""
    data = draw(st.sampled_from(wholes))
    for _ in range(draw(st.integers(0, 4))):
        # The beginning says how the rest is to be read.
        reach = draw(st.sampled_from([40, 200, len(data)]))
        place = draw(st.integers(0, max(0, min(reach, len(data)) - 1)))
        kind = draw(_KINDS)
        if kind == 'set':
            word = draw(_WORDS | st.binary(min_size=1, max_size=8))
            data = data[:place] + word + data[place + len(word) :]
        elif kind == 'cut':
            data = data[:place] + data[place + draw(st.integers(1, 16)) :]
        elif kind == 'double':
            data = data[:place] + data[place : place + draw(st.integers(1, 64))] + data[place:]
        else:
            data = data[:place]
    return data


WILD_NUMBERS = (
    st.sampled_from([0, 1, -1, 2, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63)])
    | st.integers()
    | st.floats()
)
# Lone surrogates as well: JSON can write them.
WILD_TEXT = st.text(st.characters(), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | WILD_NUMBERS | WILD_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WILD_TEXT, inner, max_size=4),
    max_leaves=8,
)


def outcome(call: Callable[..., Any], *arguments: Any, refused_by: Any) -> Any:
    """What a call returns, or the documented error it ends in; any other one comes through.

    :param refused_by: class or classes of the documented errors.
    """
    try:
        return call(*arguments)
    except refused_by as error:
        assert 0 < len(str(error)) <= LONGEST_MESSAGE, f'{len(str(error))} characters'
        return error
