# SPDX-License-Identifier: Apache-2.0
"""Files with something wrong in them, text of any kind; and how they end."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

LONGEST_MESSAGE = 3000  # characters of an error: some name all that is accepted
# Sizes and counts of file formats, none, huge and negative.
_WORDS = st.sampled_from(
    [b'\0', b'\xff', b'\0\0\0\0', b'\xff\xff\xff\xff', b'\x7f\xff\xff\xff', b'\xff\xff\xff\x7f']
)
_KINDS = st.sampled_from(['set', 'set', 'set', 'flip', 'cut', 'double', 'end', 'more'])
# Lone surrogates, control characters and every script.
WILD_TEXT = st.text(st.characters(), max_size=40)


@st.composite
def damaged(draw: Callable, wholes: Sequence[bytes]) -> bytes:
    """One of some files with bytes overwritten, left out, doubled or added, or without its end."""
    data = draw(st.sampled_from(wholes))
    for _ in range(draw(st.integers(0, 4))):
        # The beginning says how the rest is to be read.
        reach = draw(st.sampled_from([40, 200, len(data)]))
        place = draw(st.integers(0, max(0, min(reach, len(data)) - 1)))
        before, after = data[:place], data[place:]
        match draw(_KINDS):
            case 'set':
                word = draw(_WORDS | st.binary(min_size=1, max_size=8))
                data = before + word + after[len(word) :]
            case 'flip':
                flipped = bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in after[:1])
                data = before + flipped + after[1:]
            case 'cut':
                data = before + after[draw(st.integers(1, 16)) :]
            case 'double':
                data = before + after[: draw(st.integers(1, 64))] + after
            case 'end':
                data = before
            case 'more':
                data += draw(st.binary(max_size=64))
    return data


def outcome(call: Callable[..., Any], *arguments: Any, refused_by: Any) -> Any:
    """What a call returns, or the documented error it ends in; any other one comes through.

    :param refused_by: class or classes of the documented errors.
    """
    try:
        return call(*arguments)
    except refused_by as error:
        refusal = error
    assert 0 < len(str(refusal)) <= LONGEST_MESSAGE, f'{len(str(refusal))} characters'
    return refusal
