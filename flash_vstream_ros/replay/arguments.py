# SPDX-License-Identifier: Apache-2.0
"""The options of the verb ``replay``. Quick to import: nothing of torch."""

import argparse
from pathlib import Path
from typing import Any

from flash_vstream_ros.core.config import FrameHandlerConfig, QuestionHandlerConfig
from flash_vstream_ros.core.options import add_batch, add_tunable, add_verb
from flash_vstream_ros.replay.questions import pair_questions, read_questions

REPLAY_HELP = """\
Reads camera frames from a video or a bag, memorises them as the robot does, and
answers questions at their moments. Needs no ROS; the answers are those of the
two nodes. Results are JSON lines; what happens is said on standard error.

examples:
  python3 -m flash_vstream_ros replay clip.mp4 --model checkpoint \\
      --question 'What is on the table?' --at 5
  python3 -m flash_vstream_ros replay bag_folder --topic /camera/image \\
      --model owner/name --questions q.json \\
      --out answers.jsonl --picture memory.png

A questions file is a list of objects; the last three keys may be left out. The truth
is written beside the answer:
  [{"at": 5.0, "question": "Is the door open?", "choices": ["yes", "no"],
    "max_new_tokens": 20, "truth": "yes"}]
The files of questions that simulate writes are taken as they are.
"""


def add_replay(verbs: Any) -> None:
    """Add the verb ``replay``."""
    summary = 'answer questions about a video or a bag, without ROS'
    parser = add_verb(verbs, 'replay', summary, REPLAY_HELP)
    add = parser.add_argument
    add(
        'recording',
        type=Path,
        metavar='RECORDING',
        help='video file (mp4, avi, mkv, ...), rosbag2 folder, .mcap, .db3, ROS 1 .bag, folder of '
        'images named by their stamps in nanoseconds, or .json of a simulated patrol',
    )
    add(
        '--model',
        required=True,
        metavar='DIR',
        help='checkpoint: a folder in the published layout, or a hub id',
    )
    add('--topic', metavar='T', help='image topic of the bag; needed where it has several')
    _add_tunables(parser)
    _add_questions(parser)
    add(
        '--out',
        type=Path,
        metavar='FILE.jsonl',
        help='write the results here instead of to standard output',
    )
    add('--picture', type=Path, metavar='FILE.png', help='draw the memory at the end')
    parser.set_defaults(run=lambda arguments: _replay(parser, arguments))


def _add_tunables(parser: argparse.ArgumentParser) -> None:
    rate = 'frames memorised per second of the recording; 0: all of them'
    add_tunable(parser, '--rate', FrameHandlerConfig, 'sample_rate', 'HZ', rate)
    add_batch(parser, 8, 'frames encoded at once; 1: as on the robot, to the last bit')
    device = 'torch device, as cpu or cuda:0; auto: CUDA if present'
    add_tunable(parser, '--device', FrameHandlerConfig, 'device', 'D', device)
    dtype = 'auto, float32, bfloat16 or float16; auto: float16 on CUDA, else float32'
    add_tunable(parser, '--dtype', FrameHandlerConfig, 'dtype', 'T', dtype)
    bits = 'of the weights of the language model: none, int8 or nf4 (4 bits)'
    add_tunable(parser, '--quantization', QuestionHandlerConfig, 'quantization', 'Q', bits)
    most = 'tokens of an answer at most, where its question does not say'
    add_tunable(parser, '--max-new-tokens', QuestionHandlerConfig, 'max_new_tokens', 'N', most)


def _add_questions(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--question',
        action='append',
        default=[],
        metavar='Q',
        help='a question; give each its --at',
    )
    add(
        '--at',
        action='append',
        default=[],
        type=float,
        metavar='SECONDS',
        help='when to ask it: seconds after the first frame',
    )
    add('--questions', type=Path, metavar='FILE', help='JSON file of questions with their times')


def _replay(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    try:
        arguments.asked = pair_questions(arguments.question, arguments.at)
    except ValueError as error:
        parser.error(str(error))
    if not (arguments.asked or arguments.questions or arguments.picture):
        parser.error('nothing to do: give --question with --at, --questions or --picture')
    if arguments.questions:
        arguments.asked += read_questions(arguments.questions, arguments.recording)
    # Only now, because it imports torch.
    from flash_vstream_ros.replay.command import run_replay

    return run_replay(arguments)
