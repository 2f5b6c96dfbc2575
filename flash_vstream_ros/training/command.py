# SPDX-License-Identifier: Apache-2.0
"""The verbs ``assemble``, ``extract`` and ``train``. Quick to import: nothing of torch."""

import argparse
import json
from pathlib import Path
from typing import Any

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.core.options import add_batch, add_tunable, add_verb
from flash_vstream_ros.replay.new_output import check_new_folder

TRAINING_NEEDED = 'needs accelerate and tensorboard: pip install -r requirements/training.txt'
TRAIN_HELP = """\
Trains a model: stage 1 aligns semantic attention and projector, stage 2 tunes the
language model as well. Stage 0 comes before them for a small model: it trains an encoder
on simulated patrols, and starts the rest. A run that was interrupted goes on where it
stood when the same command is given again.

examples:
  python3 -m flash_vstream_ros train --stage 1 --config config/training/vicuna7b_stage1.yaml
  python3 -m flash_vstream_ros train --stage 2 --config my.yaml --set seed=3 --set out=runs/seed3
  accelerate launch -m flash_vstream_ros train --stage 2 --config my.yaml
"""
EXTRACT_HELP = """\
Encodes the frames of all recordings in a folder, once, and writes the features of each
as FEATURES/NAME.safetensors: 'feature' (T, N, D) float16, N = side x side. Goes on where
it was interrupted. If DATA holds a questions.json, its recordings are taken.

examples:
  python3 -m flash_vstream_ros extract data/train --model models/patrol-tiny \\
      --out data/train/features
  python3 -m flash_vstream_ros extract llava/images --images --model checkpoint --side 8 \\
      --out llava/features
"""
ASSEMBLE_HELP = """\
Puts a checkpoint in the published layout together: language model, tokenizer and vision
tower are taken as they are, projector and semantic attention are random until stage 1
has trained them.

example:
  python3 -m flash_vstream_ros assemble checkpoints/start --language lmsys/vicuna-7b-v1.5 \\
      --vision openai/clip-vit-large-patch14
"""


def add_train(verbs: Any) -> None:
    """Add the verb ``train``."""
    parser = add_verb(verbs, 'train', 'train a model on questions or conversations', TRAIN_HELP)
    add = parser.add_argument
    add('--stage', type=int, choices=(0, 1, 2), required=True, help="the paper's stages; 0: ours")
    add(
        '--config', type=Path, required=True, metavar='FILE.yaml', help='what to train on, and how'
    )
    add(
        '--set',
        action='append',
        default=[],
        type=_setting,
        metavar='KEY=VALUE',
        help='a value in place of the one in the file; give it several times',
    )
    parser.set_defaults(run=_train)


def add_extract(verbs: Any) -> None:
    """Add the verb ``extract``."""
    summary = 'compute the features of recordings once, to train and evaluate on'
    parser = add_verb(verbs, 'extract', summary, EXTRACT_HELP)
    add = parser.add_argument
    add('data', type=Path, metavar='DATA', help='folder of recordings')
    add('--model', required=True, metavar='DIR', help='checkpoint: a folder, or a hub id')
    add('--out', type=Path, required=True, metavar='FEATURES', help='folder of the features')
    add(
        '--side',
        type=int,
        default=0,
        metavar='N',
        help="patches along a side of the stored maps; default: the encoder's own",
    )
    add_batch(parser, 32, 'frames encoded at once')
    add('--topic', metavar='T', help='image topic of bags; needed where they have several')
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        '--images', action='store_true', help='each image in DATA is a recording of its own'
    )
    form.add_argument(
        '--perfect',
        action='store_true',
        help='of simulated streams: what is true, in place of what the encoder makes of frames',
    )
    for flag, metavar, text in (
        ('--sample-rate', 'HZ', 'frames per second of the recording; 0: all of them'),
        ('--still-threshold', 'GREY', "as the frame handler's, to measure what it costs"),
        ('--device', 'D', 'torch device, as cpu or cuda:0; auto: CUDA if present'),
        ('--dtype', 'T', 'auto, float32, bfloat16 or float16; auto: float16 on CUDA'),
    ):
        name = flag[2:].replace('-', '_')
        add_tunable(parser, flag, FrameHandlerConfig, name, metavar, text)
    parser.set_defaults(run=_extract)


def add_assemble(verbs: Any) -> None:
    """Add the verb ``assemble``."""
    summary = 'make a checkpoint to train from, of a Llama and a CLIP'
    parser = add_verb(verbs, 'assemble', summary, ASSEMBLE_HELP)
    add = parser.add_argument
    add('out', type=Path, metavar='OUT', help='a new or empty folder')
    text = 'a Llama as transformers saves it, with tokenizer.model: folder or hub id'
    add('--language', required=True, metavar='DIR', help=text)
    text = 'a CLIP as transformers saves it, whole or its vision tower: folder or hub id'
    add('--vision', required=True, metavar='DIR', help=text)
    add(
        '--set',
        action='append',
        default=[],
        type=_setting,
        metavar='KEY=VALUE',
        help="a size of the memory as config.json names it, in place of the paper's",
    )
    text = 'of projector and semantic attention (default: %(default)s)'
    add('--seed', type=int, default=0, metavar='N', help=text)
    parser.set_defaults(run=_assemble)


def _assemble(arguments: argparse.Namespace) -> int:
    check_new_folder(arguments.out)
    from flash_vstream_ros.training.assembling import assemble_checkpoint

    values = dict(arguments.set)
    assemble_checkpoint(
        arguments.out, arguments.language, arguments.vision, values, arguments.seed
    )
    return 0


def _extract(arguments: argparse.Namespace) -> int:
    # Only now, because it imports torch.
    from flash_vstream_ros.training.extract import run_extract

    return run_extract(arguments)


def _setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE; the value is JSON, or else a text."""
    key, mark, value = text.partition('=')
    if not mark:
        raise argparse.ArgumentTypeError(f'expected KEY=VALUE, got {text!r}')
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _train(arguments: argparse.Namespace) -> int:
    try:
        import accelerate  # noqa: F401, the only reason to fail here is that it is missing
        import tensorboard  # noqa: F401
        import yaml  # noqa: F401
    except ImportError as error:
        raise ValueError(f'{TRAINING_NEEDED}: {error}') from error
    from flash_vstream_ros.training.loop import TrainingError

    values = dict(arguments.set) | {'stage': arguments.stage}
    try:
        _run_stage(arguments.config, values)
    except TrainingError as error:
        raise ValueError(str(error)) from error
    return 0


def _run_stage(path: Path, values: dict[str, Any]) -> None:
    from flash_vstream_ros.training.config import read_training_config

    if values['stage'] == 0:
        from flash_vstream_ros.training.stage0 import read_stage0_config, train_stage0

        train_stage0(read_stage0_config(path, values))
        return
    from flash_vstream_ros.training.tuning import train

    train(read_training_config(path, values))
