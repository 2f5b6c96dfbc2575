# SPDX-License-Identifier: Apache-2.0
"""The verb ``simulate``. Quick to import: nothing of OpenCV."""

import argparse
import logging
import math
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flash_vstream_ros.core.options import add_verb, count

logger = logging.getLogger(__name__)

FORMATS = ('frames', 'bag', 'mp4', 'description')
STORAGES = ('mcap', 'sqlite3')
BAR_AFTER_S = 2.0
LONGEST_MIN = 10_000

SIMULATE_HELP = """\
Simulates what the camera of a patrolling robot sees, with its true event log and with
questions and answers about it. Equal options make equal streams, and a longer stream
begins as a shorter one of the same seed does.

One stream (the default) makes three files or folders, NAME being OUT without suffix:
  OUT                       the recording: a folder for frames and bag, NAME.mp4,
                            or NAME.json for description
  NAME.events.json          what truly happened, and where the robot was, in seconds
  NAME.questions.json       questions with true answers, in VStream-QA's fields
--streams K makes a data folder OUT, which train and evaluate read:
  OUT/patrol_SEED[.mp4|.json], OUT/patrol_SEED.events.json   for K seeds from --seed on
  OUT/questions.json                                         to all of them

Seeds divide what is trained on from what is tested on: train takes those from 0 on,
validation those from 1000000 on, test those from 2000000 on.

examples:
  python3 -m flash_vstream_ros simulate patrol.mp4 --format mp4 --minutes 2 --size 1280x720
  python3 -m flash_vstream_ros simulate bag --format bag --storage sqlite3 --rate 1 \\
      --minutes 120 --seed 2000000
  python3 -m flash_vstream_ros simulate train --streams 500 --format description --rate 1 \\
      --size 96x96
"""


def add_simulate(verbs: Any) -> None:
    """Add the verb ``simulate``."""
    summary = 'make streams with known truth, and questions about them'
    parser = add_verb(verbs, 'simulate', summary, SIMULATE_HELP)
    add = parser.add_argument
    add('out', type=Path, metavar='OUT', help='what to write; must not exist')
    add('--seed', type=int, default=0, metavar='N', help='0 or more (default: %(default)s)')
    text = 'length of each stream, from 1 on (default: %(default)g)'
    add('--minutes', type=_minutes, default=10.0, metavar='M', help=text)
    text = 'description: a little file, drawn when it is read (default: %(default)s)'
    add('--format', choices=FORMATS, default='bag', help=text)
    text = 'frames a second (default: %(default)g)'
    add('--rate', type=float, default=10.0, metavar='HZ', help=text)
    text = 'of the frames, in pixels (default: 640x480)'
    add('--size', type=_size, default=(640, 480), metavar='WxH', help=text)
    add('--storage', choices=STORAGES, default='mcap', help='of a bag (default: %(default)s)')
    text = 'lose nothing: Image messages and PNG frames instead of JPEG'
    add('--raw', action='store_true', help=text)
    text = 'more than 1: a data folder of so many (default: %(default)s)'
    add('--streams', type=count, default=1, metavar='K', help=text)
    text = 'questions to each stream (default: %(default)s)'
    add('--questions-per-stream', type=int, default=40, metavar='Q', help=text)
    text = 'questions asked at the same moment (default: %(default)s)'
    add('--asked-at-once', type=int, default=4, metavar='N', help=text)
    text = 'ask in the first so many seconds only; default: in all of each stream'
    add('--asked-until', type=float, default=math.inf, metavar='S', help=text)
    text = 'what is asked and did not happen is easily told from what did: to begin training with'
    add('--clear-cut', action='store_true', help=text)
    text = (
        "ask questions of this type only, one of VStream-QA's: 'Scene Summary', "
        "'Action Description', 'Event Occurrence', 'Ordered Event Narrative' or 'Sequence "
        "Validation'; may be repeated"
    )
    add('--type', action='append', dest='types', metavar='TYPE', help=text)
    parser.set_defaults(run=lambda arguments: _simulate(parser, arguments))


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition('x')
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f'expected WIDTHxHEIGHT, as 640x480, got {text!r}')
    return int(width), int(height)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 1.0 <= minutes <= LONGEST_MIN:
        raise argparse.ArgumentTypeError(f'expected 1 to {LONGEST_MIN} minutes, got {text!r}')
    return minutes


def _simulate(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    # Only now, because it imports OpenCV.
    from flash_vstream_ros.simulator.dataset import check_seeds
    from flash_vstream_ros.simulator.description import PatrolDescription
    from flash_vstream_ros.simulator.writing import Form, name_of

    try:
        seconds = arguments.minutes * 60.0
        about = PatrolDescription(arguments.seed, seconds, arguments.rate, arguments.size)
        form = Form(
            arguments.format,
            arguments.storage,
            not arguments.raw,
            arguments.questions_per_stream,
            arguments.asked_at_once,
            arguments.asked_until,
            arguments.clear_cut,
            *([tuple(arguments.types)] if arguments.types else []),
        )
        form.check(about)
        if arguments.streams == 1:
            name_of(arguments.out, form.format)
        seeds = range(arguments.seed, arguments.seed + arguments.streams)
        check_seeds(seeds)
    except ValueError as error:
        parser.error(str(error))
    return _write(arguments, seeds, about, form)


def _write(arguments: argparse.Namespace, seeds: range, about: Any, form: Any) -> int:
    from flash_vstream_ros.simulator.dataset import write_dataset
    from flash_vstream_ros.simulator.writing import write_patrol

    # Shown on a terminal only.
    bar = partial(tqdm, disable=None, delay=BAR_AFTER_S, leave=False)
    out: Path = arguments.out
    if len(seeds) == 1:
        write_patrol(out, about, form, bar)
    else:
        write_dataset(out, seeds, about, form, bar)
    logger.info('%s: %d x %g s, %d frames each', out, len(seeds), about.seconds, about.frame_count)
    return 0
