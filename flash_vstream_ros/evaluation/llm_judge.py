# SPDX-License-Identifier: Apache-2.0
"""A language model as judge of open answers, behind any endpoint of OpenAI's interface."""

import ast
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

ATTEMPTS = 3
PAUSE_S = 1.0  # before the second attempt; twice as long before the third
TIMEOUT_S = 60.0
LONGEST_PAUSE_S = 300.0  # that an endpoint may ask for
MAX_TOKENS = 100  # of a reply
LARGEST_SCORE = 5.0
_LIMIT = 'max_completion_tokens'  # what newer models call max_tokens
# Why an endpoint refuses one text, and may judge others.
_OF_ONE_TEXT = ('content_filter', 'context_length_exceeded')
_BRACES = re.compile(r'\{[^{}]*\}')
# The paper's task, in our words: correct yes or no, and a score of 0 to 5.
_SYSTEM = (
    'You judge answers to questions about a video. You are given a question, its true answer and '
    'the answer of a program. Decide whether the program says the same as the true answer. Other '
    'words for the same thing are as good; details that contradict the true answer are not.'
)
_REQUEST = """\
Question: {question}
True answer: {truth}
Answer of the program: {answer}

Reply with one JSON object and nothing else: {{"pred": "yes" or "no", "score": S}}, where pred \
says whether the answer is correct and S is a whole number from 0 (wrong) to 5 (the same).\
"""


@dataclass(frozen=True)
class Verdict:
    """What the judge says of one answer.

    :param correct: None: the judgement failed.
    :param score: 0 to 5; None: the judgement failed.
    :param message: why it failed.
    """

    correct: bool | None
    score: float | None
    attempts: int
    message: str = ''


class LanguageModelJudge:
    """Asks a model for verdicts; a failed judgement is tried again a little, then reported.

    :param model: its name at the endpoint.
    :param base_url: of the endpoint; None: OpenAI's own.
    :param api_key: for it.
    :param pause_s: seconds before the second attempt.
    :param max_tokens: of a reply; a model that thinks first needs more.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None,
        api_key: str,
        pause_s: float = PAUSE_S,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        import openai  # only who judges by a model needs it

        self.model = model
        self._openai = openai
        self._pause_s = pause_s
        self._max_tokens = max_tokens
        self._options: dict[str, Any] = {'temperature': 0.0, 'max_tokens': max_tokens}
        self._closed = threading.Event()
        self._refusals = (
            openai.AuthenticationError,
            openai.PermissionDeniedError,
            openai.NotFoundError,
            openai.BadRequestError,
            openai.UnprocessableEntityError,
        )
        # We count the attempts, as an answer that cannot be read costs one as well.
        self._client = openai.OpenAI(
            base_url=base_url, api_key=api_key, max_retries=0, timeout=TIMEOUT_S
        )

    @classmethod
    def from_environment(cls, max_tokens: int = MAX_TOKENS) -> 'LanguageModelJudge':
        """Take OPENAI_MODEL, OPENAI_API_KEY and, where it is set, OPENAI_BASE_URL.

        :param max_tokens: of a reply.
        :raises ValueError: a variable is missing.
        """
        missing = [name for name in ('OPENAI_MODEL', 'OPENAI_API_KEY') if not os.environ.get(name)]
        if missing:
            raise ValueError(
                f'--judge llm: set {" and ".join(missing)} (any key where the endpoint needs '
                f'none), and OPENAI_BASE_URL for an endpoint other than OpenAI'
            )
        return cls(
            os.environ['OPENAI_MODEL'],
            os.environ.get('OPENAI_BASE_URL') or None,
            os.environ['OPENAI_API_KEY'],
            max_tokens=max_tokens,
        )

    def judge(self, question: str, truth: str, answer: str) -> Verdict:
        """Judge one answer.

        :raises ValueError: the endpoint refuses the key, the model or the form of the request.
        """
        message = ''
        for attempt in range(1, ATTEMPTS + 1):
            if self._closed.is_set():
                return Verdict(None, None, attempt - 1, f'interrupted; {message}')
            pause_s = self._pause_s * 2 ** (attempt - 1)
            try:
                correct, score = self._ask(question, truth, answer)
            except self._refusals as error:
                if getattr(error, 'code', None) in _OF_ONE_TEXT:
                    return Verdict(None, None, attempt, f'{type(error).__name__}: {error}')
                raise ValueError(
                    f'--judge llm: {self._client.base_url} refuses model {self.model!r}: {error}; '
                    f'check OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL'
                ) from error
            except (self._openai.OpenAIError, ValueError) as error:
                message = f'{type(error).__name__}: {error}'
                pause_s = max(pause_s, _asked_pause_s(error))
            else:
                return Verdict(correct, score, attempt)
            if attempt < ATTEMPTS:
                self._closed.wait(pause_s)
        return Verdict(None, None, ATTEMPTS, message)

    def close(self) -> None:
        """End what is under way: no attempt is made any more."""
        self._closed.set()
        self._client.close()

    def _ask(self, question: str, truth: str, answer: str) -> tuple[bool, float]:
        """Ask once, or twice where the endpoint knows the newer names of its options only."""
        request = _REQUEST.format(question=question, truth=truth, answer=answer)
        options = self._options
        try:
            return self._read(self._complete(request, options))
        except self._openai.BadRequestError as error:
            is_about_them = any(name in str(error) for name in options)
            if _LIMIT in options or not is_about_them:
                raise
        options = {_LIMIT: self._max_tokens}
        verdict = self._read(self._complete(request, options))
        self._options = options
        return verdict

    def _complete(self, request: str, options: Mapping[str, Any]) -> Any:
        return self._client.chat.completions.create(
            model=self.model,
            messages=[
                {'role': 'system', 'content': _SYSTEM},
                {'role': 'user', 'content': request},
            ],
            **options,
        )

    def _read(self, completion: Any) -> tuple[bool, float]:
        try:
            choice = completion.choices[0]
            text, reason = choice.message.content or '', getattr(choice, 'finish_reason', '')
        except (AttributeError, TypeError, LookupError) as error:
            raise ValueError(f'the reply holds no text: {error!r}') from error
        try:
            return parse_verdict(text)
        except ValueError as error:
            if reason != 'length':
                raise
            raise ValueError(
                f'the reply was cut off after {self._max_tokens} tokens (finish_reason length), '
                f'give more with --judge-tokens: {error}'
            ) from error


def _asked_pause_s(error: Exception) -> float:
    """Seconds that an endpoint asks to be left alone for, by Retry-After; 0: it does not."""
    text = getattr(getattr(error, 'response', None), 'headers', {}).get('retry-after', '')
    try:
        pause_s = float(text)
    except ValueError:
        try:
            pause_s = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return min(max(pause_s, 0.0), LONGEST_PAUSE_S) if isfinite(pause_s) else 0.0


def parse_verdict(text: str) -> tuple[bool, float]:
    """Read ``{"pred": "yes", "score": 4}`` out of a reply, which may say more.

    :returns: whether the answer is correct, and the score.
    :raises ValueError: it is not in it.
    """
    for found in _BRACES.findall(text):
        try:
            values = _read_braces(found)
            pred, score = str(values['pred']).strip().lower(), float(values['score'])
        except (ValueError, SyntaxError, TypeError, KeyError, OverflowError):
            continue
        if pred in ('yes', 'no') and 0.0 <= score <= LARGEST_SCORE:
            return pred == 'yes', score
    raise ValueError(f'expected {{"pred": "yes" or "no", "score": 0 to 5}}, got {text[:200]!r}')


def _read_braces(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text)  # many a model writes Python
