# SPDX-License-Identifier: Apache-2.0
"""A language model as judge of open answers, behind any endpoint of OpenAI's interface."""

import ast
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from flash_vstream_ros.evaluation.json_lines import JsonLines

logger = logging.getLogger(__name__)

ATTEMPTS = 3
PAUSE_S = 1.0  # before the second attempt; twice as long before the third
PARALLEL = 8  # requests under way at once
TIMEOUT_S = 60.0
LARGEST_SCORE = 5.0
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
    """

    def __init__(
        self, model: str, base_url: str | None, api_key: str, pause_s: float = PAUSE_S
    ) -> None:
        import openai  # only who judges by a model needs it

        self.model = model
        self._openai = openai
        self._pause_s = pause_s
        # We count the attempts, as an answer that cannot be read costs one as well.
        self._client = openai.OpenAI(
            base_url=base_url, api_key=api_key, max_retries=0, timeout=TIMEOUT_S
        )

    @classmethod
    def from_environment(cls) -> 'LanguageModelJudge':
        """Take OPENAI_MODEL, OPENAI_API_KEY and, where it is set, OPENAI_BASE_URL.

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
        )

    def judge(self, question: str, truth: str, answer: str) -> Verdict:
        """Judge one answer.

        :raises ValueError: the endpoint refuses the key or does not know the model.
        """
        message = ''
        for attempt in range(1, ATTEMPTS + 1):
            try:
                correct, score = parse_verdict(self._ask(question, truth, answer))
            except (
                self._openai.AuthenticationError,
                self._openai.PermissionDeniedError,
                self._openai.NotFoundError,
            ) as error:
                raise ValueError(
                    f'--judge llm: {self._client.base_url} refuses model {self.model!r}: {error}; '
                    f'check OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL'
                ) from error
            except (self._openai.OpenAIError, ValueError) as error:
                message = f'{type(error).__name__}: {error}'
            else:
                return Verdict(correct, score, attempt)
            if attempt < ATTEMPTS:
                time.sleep(self._pause_s * 2 ** (attempt - 1))
        return Verdict(None, None, ATTEMPTS, message)

    def _ask(self, question: str, truth: str, answer: str) -> str:
        request = _REQUEST.format(question=question, truth=truth, answer=answer)
        completion = self._client.chat.completions.create(
            model=self.model,
            messages=[
                {'role': 'system', 'content': _SYSTEM},
                {'role': 'user', 'content': request},
            ],
            temperature=0.0,
            max_tokens=100,
        )
        try:
            return completion.choices[0].message.content or ''
        except (AttributeError, TypeError, LookupError) as error:
            raise ValueError(f'the reply holds no text: {error!r}') from error


def parse_verdict(text: str) -> tuple[bool, float]:
    """Read ``{"pred": "yes", "score": 4}`` out of a reply, which may say more.

    :returns: whether the answer is correct, and the score.
    :raises ValueError: it is not in it.
    """
    for found in _BRACES.findall(text):
        try:
            values = _read_braces(found)
            pred, score = str(values['pred']).strip().lower(), float(values['score'])
        except (ValueError, SyntaxError, TypeError, KeyError):
            continue
        if pred in ('yes', 'no') and 0.0 <= score <= LARGEST_SCORE:
            return pred == 'yes', score
    raise ValueError(f'expected {{"pred": "yes" or "no", "score": 0 to 5}}, got {text[:200]!r}')


def _read_braces(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text)  # many a model writes Python


def judge_answers(
    judge: LanguageModelJudge,
    records: Sequence[Mapping[str, Any]],
    judgements: JsonLines,
    progress: Callable[..., Any] = iter,
) -> dict[tuple[str, str, str], Verdict]:
    """Judge open answers that have no verdict of this judge yet, and keep the verdicts.

    Failed judgements of earlier runs are tried again.

    :param records: answers of any group; those of other groups are left to the words.
    :param judgements: where verdicts are kept.
    :param progress: goes around the new verdicts, as tqdm does.
    :returns: the newest verdict by (input, set, id), failed ones included.
    :raises OSError: a verdict cannot be written; all before it are kept.
    :raises ValueError: the endpoint refuses the key or does not know the model.
    """
    verdicts = _verdicts(judgements.records, judge.model)
    waiting = [
        record
        for record in records
        if record['group'] == 'open' and not _is_judged(verdicts.get(_key(record)))
    ]
    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            for record, verdict in progress(_judged(pool, judge, waiting)):
                judgements.append(_describe(judge.model, record, verdict))
        finally:
            pool.shutdown(cancel_futures=True)
    return _verdicts(judgements.records, judge.model)


def _judged(
    pool: ThreadPoolExecutor, judge: LanguageModelJudge, records: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], Verdict]]:
    futures = {
        pool.submit(judge.judge, record['question'], record['truth'], record['answer']): record
        for record in records
    }
    for future in as_completed(futures):
        yield futures[future], future.result()


def _describe(model: str, record: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    return {
        'judge': model,
        **{name: record[name] for name in ('input', 'set', 'id', 'question', 'truth', 'answer')},
        'correct': verdict.correct,
        'score': verdict.score,
        'attempts': verdict.attempts,
        'message': verdict.message,
    }


def _verdicts(
    records: Sequence[Mapping[str, Any]], model: str
) -> dict[tuple[str, str, str], Verdict]:
    return {
        _key(r): Verdict(r['correct'], r['score'], r['attempts'], r['message'])
        for r in records
        if r['judge'] == model
    }


def with_verdicts(
    records: Sequence[Mapping[str, Any]], verdicts: Mapping[tuple[str, str, str], Verdict]
) -> list[dict[str, Any]]:
    """Put the judge's verdicts in the place of the comparison of words.

    An answer whose judgement failed counts as wrong, and its ``judgement`` says ``failed``.
    """
    judged = []
    for record in records:
        verdict = verdicts.get(_key(record))
        if verdict is None:
            judged.append({**record, 'judgement': 'words', 'score': None})
        else:
            how = 'model' if _is_judged(verdict) else 'failed'
            score = verdict.score
            judged.append(
                {**record, 'judgement': how, 'score': score, 'correct': bool(verdict.correct)}
            )
    return judged


def _is_judged(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.correct is not None


def _key(record: Mapping[str, Any]) -> tuple[str, str, str]:
    return (record['input'], record['set'], record['id'])
