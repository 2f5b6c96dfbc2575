# SPDX-License-Identifier: Apache-2.0
"""What a client asks, checked before it is sent."""

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral

from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.nodes.times import ns_to_time, seconds_to_duration
from flash_vstream_ros.srv import Ask as AskService

# The question handler gets a little less time than we have, so that what it said until its end
# still arrives: a share of it, and no more than so many seconds.
MARGIN_SHARE = 0.1
LONGEST_MARGIN_S = 0.5
LONGEST_TIMEOUT_S = 86400.0


@dataclass(frozen=True)
class Asked:
    """What is asked, as srv/Ask has it.

    :param timeout_s: for everything; None: for as long as the question handler takes and lives.
    :raises ValueError: a value that cannot be sent, by name.
    """

    question: str
    choices: Iterable[str]
    camera: str
    min_stamp_ns: int
    timeout_s: float | None
    max_new_tokens: int
    from_stamp_ns: int
    to_stamp_ns: int

    def __post_init__(self) -> None:
        _check_text('question', self.question)
        _check_text('camera', self.camera)
        if isinstance(self.choices, str):
            raise ValueError(f'choices: expected several texts, got the text {self.choices!r}')
        object.__setattr__(self, 'choices', tuple(self.choices))
        for choice in self.choices:
            _check_text('choices', choice)
        if self.timeout_s is not None and not 0.0 < self.timeout_s <= LONGEST_TIMEOUT_S:
            raise ValueError(
                f'timeout_s: expected more than 0 and at most {LONGEST_TIMEOUT_S:g} s, or None, '
                f'got {self.timeout_s}'
            )
        for name in ('min_stamp_ns', 'from_stamp_ns', 'to_stamp_ns'):
            _check_number(name, getattr(self, name), 2**31 * 10**9)
        _check_number('max_new_tokens', self.max_new_tokens, 2**32)

    def fill(
        self, request: AskService.Request | AskAction.Goal, left_s: float | None
    ) -> AskService.Request | AskAction.Goal:
        """Fill a request.

        :param left_s: seconds left of the timeout.
        """
        request.question = self.question
        request.choices = list(self.choices)
        request.camera = self.camera
        request.min_stamp = ns_to_time(self.min_stamp_ns)
        request.from_stamp = ns_to_time(self.from_stamp_ns)
        request.to_stamp = ns_to_time(self.to_stamp_ns)
        if left_s is not None:
            margin_s = min(LONGEST_MARGIN_S, MARGIN_SHARE * left_s)
            request.timeout = seconds_to_duration(left_s - margin_s)
        request.max_new_tokens = int(self.max_new_tokens)
        return request


def _check_text(name: str, text: str) -> None:
    """A message carries what UTF-8 can encode, and cuts it off at a character 0."""
    try:
        is_sound = isinstance(text, str) and b'\0' not in text.encode()
    except UnicodeEncodeError:
        is_sound = False
    if not is_sound:
        raise ValueError(f'{name}: expected text that UTF-8 can encode, without \\0, got {text!r}')


def _check_number(name: str, number: int, limit: int) -> None:
    if not isinstance(number, Integral) or not 0 <= number < limit:
        raise ValueError(f'{name}: expected a whole number from 0 to {limit - 1}, got {number!r}')
