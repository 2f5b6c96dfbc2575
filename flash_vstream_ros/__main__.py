# SPDX-License-Identifier: Apache-2.0
"""The command line: ``python3 -m flash_vstream_ros VERB``.

Exit status: 0 done, 1 the job failed, 2 wrong use, 130 interrupted, 143 told to end (SIGTERM).
"""

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flash_vstream_ros.core.options import add_verb
from flash_vstream_ros.evaluation.command import add_evaluate
from flash_vstream_ros.replay.arguments import add_replay
from flash_vstream_ros.replay.new_output import new_folder
from flash_vstream_ros.simulator.command import add_simulate
from flash_vstream_ros.training.command import add_assemble, add_extract, add_train

CHECKPOINT_SIZES = ('tiny', '100m', '1b', '7b')

ROS_NEEDED = (
    'needs ROS 2 and this package built: source /opt/ros/DISTRO/setup.bash, `colcon build`, '
    'source install/setup.bash, and run `ros2 run flash_vstream_ros flash_vstream {verb} ...` '
    '(from the source folder, python3 -m does not find what was built)'
)
ASK_HELP = """\
Asks the question handler of a running robot and prints the answer.

example:
  ros2 run flash_vstream_ros flash_vstream ask 'Is the door open?' --choice yes --choice no
"""
DOCTOR_HELP = """\
Looks at a running robot for some seconds and says what is well and what is not: nodes,
camera, memory, answers, clock, model, devices, shared memory. What is wrong comes with the
command or setting that mends it. Exit status 1 where there is an error, 0 else.

examples:
  ros2 run flash_vstream_ros flash_vstream doctor
  ros2 run flash_vstream_ros flash_vstream doctor --image /camera/image_raw --json
"""


EXPORT_HELP = """\
Writes the language model of a checkpoint as a folder that a server such as vLLM can serve.
Robots then ask that server, each with its own memory, in place of a model of their own.

example:
  python3 -m flash_vstream_ros export-decoder models/7b decoder
  vllm serve decoder --enable-prompt-embeds
  ros2 launch flash_vstream_ros flash_vstream.launch.py model:=models/7b \\
      image:=/camera/image_raw decoder_url:=http://SERVER:8000/v1
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    :param argv: arguments without the program's name; None: those of the process.
    :returns: exit status; wrong use raises SystemExit(2), as argparse does.
    """
    arguments = make_parser().parse_args(argv)
    logging.basicConfig(format='%(message)s', stream=sys.stderr)
    logging.getLogger('flash_vstream_ros').setLevel(logging.INFO)
    try:
        with _ended_in_good_order():
            return arguments.run(arguments)
    except BrokenPipeError:
        # Whoever read the results has gone; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f'flash_vstream {arguments.verb}: {error}\n')
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f'flash_vstream {arguments.verb}: interrupted\n')
        return 130


@contextlib.contextmanager
def _ended_in_good_order() -> Iterator[None]:
    """Let SIGTERM end a verb as Ctrl-C does: what is half written is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog='flash_vstream',
        description='A memory of what a camera saw, and answers about it in plain language.',
        epilog='Exit status: 0 done, 1 the job failed, 2 wrong use. See VERB --help.',
    )
    verbs = parser.add_subparsers(dest='verb', metavar='VERB', required=True)
    add_replay(verbs)
    _add_ask(verbs)
    _add_doctor(verbs)
    add_simulate(verbs)
    add_assemble(verbs)
    add_extract(verbs)
    add_train(verbs)
    add_evaluate(verbs)
    _add_export_decoder(verbs)
    _add_random_checkpoint(verbs)
    return parser


def _add_ask(verbs: Any) -> None:
    parser = add_verb(verbs, 'ask', 'ask a running robot, over ROS', ASK_HELP)
    add = parser.add_argument
    add('question', metavar='QUESTION', help='in plain language')
    add(
        '--choice',
        action='append',
        default=[],
        metavar='C',
        help='the answer is one of these, each with its probability; give it several times',
    )
    add('--stream', action='store_true', help='print the answer as it is spoken')
    add(
        '--camera',
        default='',
        metavar='NAME',
        help='which memory, by the frame_id of its camera or its name; default: the first',
    )
    add(
        '--timeout',
        type=_seconds,
        metavar='S',
        help="seconds for waiting and answering; default: the node's own",
    )
    add(
        '--namespace',
        default='/flash_vstream',
        metavar='NS',
        help='namespace of the question handler (default: %(default)s)',
    )
    parser.set_defaults(run=_ask)


def _ask(arguments: argparse.Namespace) -> int:
    try:
        from flash_vstream_ros.nodes.ask import run_ask
    except ImportError as error:
        raise ValueError(f'{ROS_NEEDED.format(verb="ask")}: {error}') from error
    return run_ask(arguments)


def _add_doctor(verbs: Any) -> None:
    parser = add_verb(verbs, 'doctor', 'say what is wrong with a running robot', DOCTOR_HELP)
    add = parser.add_argument
    add(
        '--namespace',
        default='/flash_vstream',
        metavar='NS',
        help='namespace of the nodes (default: %(default)s)',
    )
    add('--image', metavar='TOPIC', help='image topic; default: the one the frame handler reads')
    add('--model', metavar='DIR', help='checkpoint; default: the one the nodes have')
    add(
        '--seconds',
        type=_seconds,
        default=4.0,
        metavar='S',
        help='seconds to watch images and memory (default: %(default)s)',
    )
    add(
        '--timeout',
        type=_seconds,
        default=10.0,
        metavar='S',
        help='seconds for an answer to a trivial question (default: %(default)s)',
    )
    add('--json', action='store_true', help='print JSON')
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    try:
        from flash_vstream_ros.nodes.doctor import run_doctor
    except ImportError as error:
        raise ValueError(f'{ROS_NEEDED.format(verb="doctor")}: {error}') from error
    return run_doctor(arguments)


def _add_export_decoder(verbs: Any) -> None:
    parser = add_verb(
        verbs,
        'export-decoder',
        'write the language model of a checkpoint for a server',
        EXPORT_HELP,
    )
    parser.add_argument('model', metavar='MODEL', help='checkpoint: a folder, or a hub id')
    parser.add_argument('out', type=Path, metavar='OUT', help='a new or empty folder')
    parser.add_argument(
        '--dtype',
        default='float16',
        metavar='T',
        help='of the weights: float32, bfloat16 or float16 (default: %(default)s)',
    )
    parser.set_defaults(run=_export_decoder)


def _export_decoder(arguments: argparse.Namespace) -> int:
    with new_folder(arguments.out):
        from flash_vstream_ros.core.decoder_export import export_decoder

        export_decoder(arguments.model, arguments.out, arguments.dtype)
    return 0


def _add_random_checkpoint(verbs: Any) -> None:
    summary = 'write a checkpoint of random weights, to try things out'
    parser = add_verb(
        verbs,
        'random-checkpoint',
        summary,
        'Writes a checkpoint of random weights in the published layout. Its answers mean nothing.',
    )
    parser.add_argument('out', type=Path, metavar='OUT', help='a new or empty folder')
    parser.add_argument(
        '--size',
        choices=CHECKPOINT_SIZES,
        default='tiny',
        help='tiny takes 2 MB, 7b 27 GB (default: %(default)s)',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        metavar='N',
        help='equal seeds make equal files (default: %(default)s)',
    )
    parser.set_defaults(run=_random_checkpoint)


def _random_checkpoint(arguments: argparse.Namespace) -> int:
    with new_folder(arguments.out):
        from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint

        make_random_checkpoint(arguments.out, arguments.size, arguments.seed)
    logging.getLogger(__package__).info('%s: a checkpoint of random weights', arguments.out)
    return 0


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 < value <= 86400.0:
        raise argparse.ArgumentTypeError(f'expected seconds above 0, at most 86400, got {text!r}')
    return value


if __name__ == '__main__':
    sys.exit(main())
