# SPDX-License-Identifier: Apache-2.0
"""The verb ``evaluate``. Quick to import: nothing of torch."""

import argparse
from pathlib import Path
from typing import Any

from flash_vstream_ros.core.config import FrameHandlerConfig, QuestionHandlerConfig
from flash_vstream_ros.core.options import add_tunable, add_verb, count
from flash_vstream_ros.evaluation.llm_judge import MAX_TOKENS

NEEDED = 'needs matplotlib and openai: pip install -r requirements/evaluation.txt'
EVALUATE_HELP = """\
Answers the questions of a data set, each at its moment of its stream, from what a memory or
a baseline of the same token budget shows of the stream, and says how many answers are right.
Interrupted, it goes on where it stood when the same command is given again; so inputs can be
added as well.

DATA is a folder with a questions.json, VStream-QA's, or a JSON file of that form. Results:
OUT/answers.jsonl, report.md, results.json, plots.

inputs: star, question_only, last_frame, newest_4, newest_10, uniform, average_pool,
algorithm_1, neighbours, exact, fading, no_abstract, no_temporal, no_retrieved, no_spatial,
exemplars; or all

examples:
  python3 -m flash_vstream_ros evaluate --model models/patrol-tiny --data data/test \\
      --out results/test
  python3 -m flash_vstream_ros evaluate --model models/patrol-tiny --data data/test \\
      --out results/test --features data/test/features --input all --input uniform=runs/uniform
  OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none OPENAI_MODEL=judge \\
      python3 -m flash_vstream_ros evaluate --model owner/name --data VStream-QA \\
      --out results/vstream --judge llm
"""


def add_evaluate(verbs: Any) -> None:
    """Add the verb ``evaluate``."""
    summary = 'how many answers are right, on a data set'
    parser = add_verb(verbs, 'evaluate', summary, EVALUATE_HELP)
    add = parser.add_argument
    add('--model', required=True, metavar='DIR', help='checkpoint: a folder, or a hub id')
    add('--data', required=True, type=Path, metavar='DATA', help='folder or JSON file')
    add('--out', required=True, type=Path, metavar='OUT', help='folder of the results')
    add(
        '--input',
        action='append',
        default=[],
        metavar='NAME[=MODEL]',
        help='what the model reads of a stream, and the checkpoint that was trained on just that '
        '(default: star, with --model); give it several times',
    )
    _add_sources(parser)
    add(
        '--path',
        choices=('streaming', 'whole'),
        default='streaming',
        help='streaming: as on the robot; whole: each memory from the whole video until then '
        '(default: %(default)s)',
    )
    add(
        '--judge',
        choices=('exact', 'llm'),
        default='exact',
        help='of open answers: the same words, or what a language model behind OPENAI_BASE_URL, '
        'OPENAI_API_KEY and OPENAI_MODEL says (default: %(default)s)',
    )
    text = (
        "of the judge's reply at most; more for a model that thinks first (default: %(default)s)"
    )
    add('--judge-tokens', type=count, default=MAX_TOKENS, metavar='N', help=text)
    text = 'answer the first N questions only; the report is of all answers in OUT'
    add('--limit', type=count, metavar='N', help=text)
    _add_tunables(parser)
    parser.set_defaults(run=_evaluate)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        '--features',
        type=Path,
        metavar='DIR',
        help='stored features of the streams, as extract makes them; --sample-rate is theirs then',
    )
    text = 'image topic of bags; needed where they have several'
    form.add_argument('--topic', metavar='T', help=text)


def _add_tunables(parser: argparse.ArgumentParser) -> None:
    for config, name, metavar, text in (
        (FrameHandlerConfig, 'sample_rate', 'HZ', 'frames per second; 0: all of them'),
        (FrameHandlerConfig, 'device', 'D', 'torch device; auto: CUDA if present'),
        (FrameHandlerConfig, 'dtype', 'T', 'auto, float32, bfloat16 or float16'),
        (QuestionHandlerConfig, 'quantization', 'Q', 'of the weights: none, int8 or nf4'),
        (QuestionHandlerConfig, 'max_new_tokens', 'N', 'tokens of an answer at most'),
    ):
        add_tunable(parser, f'--{name.replace("_", "-")}', config, name, metavar, text)


def _evaluate(arguments: argparse.Namespace) -> int:
    # Only now, because it imports torch.
    from flash_vstream_ros.evaluation.job import run_evaluation

    try:
        return run_evaluation(arguments)
    except ModuleNotFoundError as error:
        if error.name not in ('matplotlib', 'openai'):
            raise
        raise ValueError(f'{NEEDED}: {error}') from error
