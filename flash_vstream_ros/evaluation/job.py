# SPDX-License-Identifier: Apache-2.0
"""The job of the verb ``evaluate``: answers, judgements, report."""

import argparse
import logging
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from flash_vstream_ros.evaluation.evaluation import Evaluation, EvaluationConfig
from flash_vstream_ros.evaluation.inputs import INPUTS
from flash_vstream_ros.evaluation.json_lines import JsonLines
from flash_vstream_ros.evaluation.judgements import judge_answers, with_verdicts
from flash_vstream_ros.evaluation.llm_judge import LanguageModelJudge
from flash_vstream_ros.evaluation.plots import import_pyplot, write_plots
from flash_vstream_ros.evaluation.report import REPORT, write_report
from flash_vstream_ros.evaluation.run_folder import ANSWERS, JUDGEMENTS, read_settings
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
    :returns: exit status.
    :raises OSError: a file cannot be read or written.
    :raises ValueError: the data or a checkpoint cannot be used.
    """
    config = EvaluationConfig(
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
    )
    judge = LanguageModelJudge.from_environment() if arguments.judge == 'llm' else None
    import_pyplot()
    evaluation = Evaluation(config)
    with evaluation.lock, logging_redirect_tqdm([logging.getLogger()]):
        evaluation.run(partial(tqdm, unit='answer', disable=None))
        records = _judged(evaluation, judge)
        name = judge.model if judge else arguments.judge
        summary = summarise(records, read_settings(config.out), name, config.limit)
        write_report(config.out, summary, write_plots(config.out, summary))
    for name, item in summary['inputs'].items():
        logger.info('%s: %.1f %% right', name, 100 * item['overall']['share'])
    logger.info('%s', config.out / REPORT)
    failed = sum(item['failed_judgements'] for item in summary['inputs'].values())
    if failed:
        logger.error('%d judgements failed; run the same command again to try them again', failed)
    return int(bool(failed))


def _judged(evaluation: Evaluation, judge: LanguageModelJudge | None) -> list[dict[str, Any]]:
    """All answers in the folder, also of earlier runs, to whatever limit they were answered.

    A report of fewer answers would take the place of one of more.
    """
    out = evaluation.config.out
    # Answers of older versions do not say what their clip was cut from.
    names = {(q.set_name, q.id): q.video_name for q in evaluation.dataset}
    with JsonLines(out / ANSWERS) as answers:
        records = [
            {**record, 'video_name': names[record['set'], record['id']]}
            for record in answers.records
        ]
    verdicts = {}
    if judge is not None:
        with closing(judge), JsonLines(out / JUDGEMENTS) as judgements:
            progress = partial(tqdm, unit='judgement', disable=None)
            verdicts = judge_answers(judge, records, judgements, progress)
    return with_verdicts(records, verdicts)
