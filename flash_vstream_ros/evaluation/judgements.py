# SPDX-License-Identifier: Apache-2.0
"""Judgements of all open answers of an evaluation: asked for, kept, put in their place."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from flash_vstream_ros.evaluation.json_lines import JsonLines
from flash_vstream_ros.evaluation.llm_judge import LanguageModelJudge, Verdict

logger = logging.getLogger(__name__)

PARALLEL = 8  # requests under way at once


def judge_answers(
    judge: LanguageModelJudge,
    records: Sequence[Mapping[str, Any]],
    judgements: JsonLines,
    progress: Callable[..., Any] = iter,
) -> dict[tuple[str, str, str], Verdict]:
    """Judge open answers that have no verdict of this judge yet, and keep the verdicts.

    Failed judgements of earlier runs are tried again. Interrupted, in whatever way,
    it keeps what is judged by then, closes the judge and waits for nothing.

    :param records: answers of any group; those of other groups are left to the words.
    :param judgements: where verdicts are kept.
    :param progress: goes around the new verdicts, as tqdm does.
    :returns: the newest verdict of these very answers by (input, set, id), failed ones included.
    :raises OSError: a verdict cannot be written; all before it are kept.
    :raises ValueError: the endpoint refuses the key, the model or the form of the request.
    """
    futures = _ask_all(judge, left_to_judge(judge.model, records, judgements.records))
    try:
        for future in progress(as_completed(futures)):
            verdict = future.result()
            judgements.append(_describe(judge.model, futures.pop(future), verdict))
    except BaseException:
        for future in filter(_has_verdict, futures):
            judgements.append(_describe(judge.model, futures[future], future.result()))
        raise
    finally:
        for future in futures:
            future.cancel()
        if futures:
            judge.close()
    return _verdicts(judgements.records, judge.model, records)


def left_to_judge(
    model: str, records: Sequence[Mapping[str, Any]], judged: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The open answers that a model has no verdict on.

    :param records: answers of any group.
    :param judged: the kept verdicts of all judges.
    """
    verdicts = _verdicts(judged, model, records)
    open_ = [record for record in records if _can_be_judged(record)]
    return [record for record in open_ if not _is_judged(verdicts.get(_key(record)))]


def try_judge(judge: LanguageModelJudge) -> None:
    """Ask about an answer of nobody, so that a judge that refuses us is known before the work.

    :raises ValueError: the endpoint refuses the key, the model or the form of the request.
    """
    verdict = judge.judge('What colour was the cup?', 'It was red.', 'The cup was red.')
    if not _is_judged(verdict):
        logger.warning('--judge llm: a first try failed; going on: %s', verdict.message)


def _ask_all(
    judge: LanguageModelJudge, records: Sequence[Mapping[str, Any]]
) -> dict[Future, Mapping[str, Any]]:
    """Judge records in the background, a few at once.

    In threads of our own: the program's end would wait for those of a pool, a minute perhaps.
    """
    futures: dict[Future, Mapping[str, Any]] = {Future(): record for record in records}
    waiting: SimpleQueue[tuple[Future, Mapping[str, Any]]] = SimpleQueue()
    for item in futures.items():
        waiting.put(item)
    for _ in range(min(PARALLEL, len(futures))):
        Thread(target=_ask_on, args=(judge, waiting), daemon=True).start()
    return futures


def _ask_on(judge: LanguageModelJudge, waiting: SimpleQueue) -> None:
    while True:
        try:
            future, record = waiting.get_nowait()
        except Empty:
            return
        if not future.set_running_or_notify_cancel():
            continue
        try:
            verdict = judge.judge(record['question'], record['truth'], record['answer'])
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            future.set_exception(error)
        else:
            future.set_result(verdict)


def _has_verdict(future: Future) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _can_be_judged(record: Mapping[str, Any]) -> bool:
    """Whether there is an open answer at all: a failure is wrong, whatever a judge says of it."""
    return (
        record['group'] == 'open' and record['status'] == 'OK' and bool(record['answer'].strip())
    )


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
    judged: Sequence[Mapping[str, Any]], model: str, records: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str, str], Verdict]:
    """Verdicts of a model on what stands in the records: another answer needs another verdict."""
    texts = {_key(record): _texts(record) for record in records if _can_be_judged(record)}
    return {
        _key(r): Verdict(r['correct'], r['score'], r['attempts'], r['message'])
        for r in judged
        if r['judge'] == model and texts.get(_key(r)) == _texts(r)
    }


def _texts(record: Mapping[str, Any]) -> tuple[str | None, ...]:
    return tuple(record.get(name) for name in ('question', 'truth', 'answer'))


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
