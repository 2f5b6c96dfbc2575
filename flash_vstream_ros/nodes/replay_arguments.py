# SPDX-License-Identifier: Apache-2.0
"""The command line of the replay client."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from flash_vstream_ros.replay.questions import pair_questions, read_questions

_DESCRIPTION = (
    'Plays a recording into the camera topic, as a camera would, and asks questions on the way.'
)


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the program's own arguments; wrong use ends it with exit status 2."""
    parser = argparse.ArgumentParser(prog='replay_client', description=_DESCRIPTION)
    parser.add_argument('recording', type=Path, help='video file or folder of a rosbag2')
    parser.add_argument('--topic', help='image topic of the bag; needed where it has several')
    parser.add_argument('--question', action='append', default=[], help='with --at, repeatable')
    parser.add_argument('--at', action='append', default=[], type=float, metavar='SECONDS',
                        help='seconds since the first frame')  # fmt: skip
    parser.add_argument('--questions', type=Path, help='JSON file of questions with their times')
    parser.add_argument('--speed', type=float, default=1.0, help='1: as recorded')
    parser.add_argument(
        '--in-step',
        action='store_true',
        help='lose nothing, however slow the machine: each frame waits until the one before is '
        'memorised, and while a question is answered; the answers are those of a replay without '
        'ROS',
    )
    parser.add_argument('--out', type=Path, help='JSON lines file for the answers')
    parser.add_argument('--picture', type=Path, help='PNG file for a picture of the memory')
    parsed = parser.parse_args(arguments)
    if not parsed.speed > 0.0:
        parser.error(f'--speed: expected more than 0, got {parsed.speed}')
    try:
        parsed.all_questions = pair_questions(parsed.question, parsed.at)
        if parsed.questions:
            parsed.all_questions += read_questions(parsed.questions, parsed.recording)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return parsed
