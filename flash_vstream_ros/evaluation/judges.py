# SPDX-License-Identifier: Apache-2.0
"""Whether an answer is right: yes or no, or the same words as the truth."""

import re
import string
from collections.abc import Sequence

YES_NO = ('yes', 'no')
_ARTICLES = re.compile(r'\b(a|an|the)\b')
_APOSTROPHES = str.maketrans(dict.fromkeys("'’‘"))
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + '“”…–—', ' '))


def normalise(text: str) -> str:
    """Take away what does not matter: case, punctuation, articles, white space."""
    words = text.lower().translate(_APOSTROPHES).translate(_PUNCTUATION)
    # A text of articles alone stays: A is the name of a choice.
    return ' '.join((_ARTICLES.sub(' ', words).strip() or words).split())


def yes_or_no(text: str) -> str:
    """Read an answer to a yes-or-no question: its first word; '' where that is neither."""
    first = next(iter(normalise(text).split()), '')
    return first if first in YES_NO else ''


def is_right(answer: str, truth: str, group: str, choices: Sequence[str] = ()) -> bool:
    """Whether an answer says the same as the truth.

    Of a closed question whose truth is yes or no the first word decides: "Yes, it is." is a yes.
    Without choices the truth itself may go on as well.

    :param group: of the question, see ``StreamQuestion.group``.
    :param choices: of which the answer is one, word for word; none: it was given freely.
    """
    expected = normalise(truth) if choices else yes_or_no(truth)
    if group == 'closed' and expected in YES_NO:
        return yes_or_no(answer) == expected
    return normalise(answer) == normalise(truth)
