# SPDX-License-Identifier: Apache-2.0
"""The job of the verb ``evaluate``: answers, judgements, report."""

import argparse
import logging
from collections.abc import Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from flash_vstream_ros.evaluation.evaluation import Evaluation, EvaluationConfig
from flash_vstream_ros.evaluation.inputs import INPUTS
from flash_vstream_ros.evaluation.json_lines import JsonLines
from flash_vstream_ros.evaluation.judgements import (
    judge_answers,
    left_to_judge,
    try_judge,
    with_verdicts,
)
from flash_vstream_ros.evaluation.llm_judge import LanguageModelJudge
from flash_vstream_ros.evaluation.plots import import_pyplot, write_plots
from flash_vstream_ros.evaluation.report import REPORT, write_report
from flash_vstream_ros.evaluation.run_folder import ANSWERS, JUDGEMENTS, read_settings
from flash_vstream_ros.evaluation.runner import key_of
from flash_vstream_ros.evaluation.summary import summarise

logger = logging.getLogger(__name__)
ALL = 'all'


def parse_inputs(texts: Sequence[str]) -> dict[str, str | None]:
    """Read ``NAME`` and ``NAME=MODEL`` of a command line; ``all`` is every input.

    :returns: the model of each input; None: the common one.
    :raises ValueError: there is no such input, or two models are given for one.
    """
    inputs: dict[str, str | None] = {}
    for text in texts or ['star']:
        name, equals, model = text.partition('=')
        if (name not in INPUTS and text != ALL) or (equals and not model):
            raise ValueError(
                f'--input: expected NAME or NAME=MODEL with one of {", ".join(INPUTS)}, or '
                f'{ALL}, got {text!r}'
            )
        for each in INPUTS if name == ALL else (name,):
            if model and inputs.get(each):
                raise ValueError(f'--input: two models for {each}: {inputs[each]} and {model}')
            inputs[each] = model or inputs.get(each)
    return inputs


def run_evaluation(arguments: argparse.Namespace) -> int:
    """Evaluate.

    :param arguments: of the command line.
    :returns: exit status: 1 if a stream or a judgement failed.
    :raises OSError: a file cannot be read or written.
    :raises ValueError: the data or a checkpoint cannot be used, or the judge refuses us.
    """
    config = _config_of(arguments)
    judge = None
    if arguments.judge == 'llm':
        judge = LanguageModelJudge.from_environment(arguments.judge_tokens)
    import_pyplot()
    with closing(judge) if judge else nullcontext():
        evaluation = Evaluation(config)
        with evaluation.lock, logging_redirect_tqdm([logging.getLogger()]):
            if judge is not None and _is_left_to_judge(evaluation, judge):
                try_judge(judge)
            evaluation.run(partial(tqdm, unit='answer', disable=None))
            return _report(evaluation, judge)


def _config_of(arguments: argparse.Namespace) -> EvaluationConfig:
    return EvaluationConfig(
        model=arguments.model,
        data=arguments.data,
        out=arguments.out,
        inputs=parse_inputs(arguments.input),
        features=arguments.features,
        device=arguments.device,
        dtype=arguments.dtype,
        quantization=arguments.quantization,
        sample_rate=arguments.sample_rate,
        path=arguments.path,
        max_new_tokens=arguments.max_new_tokens,
        limit=arguments.limit,
        topic=arguments.topic,
    )


def _is_left_to_judge(evaluation: Evaluation, judge: LanguageModelJudge) -> bool:
    """Whether there are open answers without a verdict, or will be."""
    asked = [q for q in evaluation.questions if q.group == 'open']
    with JsonLines(evaluation.config.out / JUDGEMENTS) as judgements:
        records, _ = _known_answers(evaluation)
        done = {key_of(record) for record in records}
        if any((i, q.set_name, q.id) not in done for q in asked for i in evaluation.inputs):
            return True
        return bool(left_to_judge(judge.model, records, judgements.records))


def _known_answers(evaluation: Evaluation) -> tuple[list[dict[str, Any]], list[str]]:
    """All answers in the folder, also of earlier runs, to whatever limit they were answered.

    A report of fewer answers would take the place of one of more.

    :returns: those to questions of the data, and the names of sets that others are of.
    """
    # Answers of older versions do not say what their clip was cut from.
    names = {(q.set_name, q.id): q.video_name for q in evaluation.dataset}
    with JsonLines(evaluation.config.out / ANSWERS) as answers:
        keys = [(record['set'], record['id']) for record in answers.records]
        known = [
            {**record, 'video_name': names[key]}
            for record, key in zip(answers.records, keys, strict=True)
            if key in names
        ]
    return known, list(dict.fromkeys(key[0] for key in keys if key not in names))


def _report(evaluation: Evaluation, judge: LanguageModelJudge | None) -> int:
    """Judge and report; returns the exit status."""
    out, unanswered = evaluation.config.out, evaluation.unanswered
    records, others = _known_answers(evaluation)
    if others:
        logger.warning('%s: answers of other sets are left out: %s', out / ANSWERS, others)
    for name, count in unanswered.items():
        logger.error('%s: %d questions not answered; the same command tries again', name, count)
    if not records:
        logger.error('%s: no answer to report of', out)
        return 1
    records, failure = _judged(out, records, judge)
    name = judge.model if judge and not failure else 'exact'
    settings, limit = read_settings(out), evaluation.config.limit
    summary = summarise(records, settings, name, limit, unanswered, failure)
    write_report(out, summary, write_plots(out, summary))
    for name, item in summary['inputs'].items():
        logger.info('%s: %.1f %% right', name, 100 * item['overall']['share'])
    logger.info('%s', out / REPORT)
    failed = sum(item['failed_judgements'] for item in summary['inputs'].values())
    if failed:
        logger.error('%d judgements failed; run the same command again to try them again', failed)
    return int(bool(failed or failure or unanswered))


def _judged(
    out: Path, records: list[dict[str, Any]], judge: LanguageModelJudge | None
) -> tuple[list[dict[str, Any]], str]:
    """Records as judged, and why the model that was to judge has refused; '': it has not."""
    if judge is None:
        return with_verdicts(records, {}), ''
    with JsonLines(out / JUDGEMENTS) as judgements:
        progress = partial(tqdm, unit='judgement', disable=None)
        try:
            verdicts, failure = judge_answers(judge, records, judgements, progress), ''
        except ValueError as error:
            verdicts, failure = {}, str(error)
    if failure:
        logger.error('%s; the report compares words', failure)
    return with_verdicts(records, verdicts), failure
