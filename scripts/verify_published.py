# SPDX-License-Identifier: Apache-2.0
"""Downloads the published checkpoint and asks it three questions about a clip.

Run by `make verify-published` on a machine with network and a CUDA GPU; never part of the tests.
`make verify-published VIDEO=clip.mp4` asks about your own clip.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import torch

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.replay.questions import Question
from flash_vstream_ros.replay.recorded_frame import NS_PER_S
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.replay import Replay
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.writing import Form, write_patrol

PUBLISHED = 'IVGSZ/Flash-VStream-7b'
TOKENS = 681  # of a full memory
QUESTIONS = (
    Question(10.0, 'Describe what you see.'),
    Question(20.0, 'Is there a person in the video?', ('yes', 'no')),
    Question(30.0, 'What happened first, and what after that?'),
)


def main() -> int:
    """Check and ask; the exit status is for the shell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', default=PUBLISHED, help='folder or hub id')
    parser.add_argument('--video', type=Path, help='video file of 30 s or more')
    parser.add_argument('--device', default='cuda', help='torch device')
    parser.add_argument('--dtype', default='float16', help='float16 is what was published')
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    try:
        if arguments.video is not None:
            open_recording(arguments.video)  # before the download of 14 GB
        vstream = FlashVStream.from_pretrained(arguments.model, arguments.device, arguments.dtype)
    except (OSError, ValueError) as error:
        print(f'verify-published: {error}', file=sys.stderr)
        return 1
    if vstream.geometry.tokens != TOKENS:
        print(f'expected a memory of {TOKENS} tokens, got {vstream.geometry.tokens}')
        return 1
    print(f'{arguments.model}: all keys and shapes as published; encoder {vstream.encoder_id}')
    with tempfile.TemporaryDirectory() as folder:
        ask(vstream, arguments.video or record(Path(folder) / 'patrol.mp4'))
    if torch.cuda.is_available():
        print(f'peak VRAM {torch.cuda.max_memory_allocated() / 1e9:.2f} GB')
    return 0


def record(path: Path) -> Path:
    """Record a simulated patrol that is long enough for all questions."""
    write_patrol(path, PatrolDescription(0, 35.0, 10.0, (640, 480)), Form('mp4', questions=0))
    return path


def ask(vstream: FlashVStream, video: Path) -> None:
    """Replay a video and print question, answer and what it was computed from."""
    recording = open_recording(video)
    for line in Replay(vstream, recording, QUESTIONS):
        print(f'{line["at"]:5.1f} s  {line["question"]}\n         {line["answer"]}')
        print(
            f'         {line["frames_seen"]} frames seen, the newest at '
            f'{(line["newest_stamp"] - recording.start_ns) / NS_PER_S:.1f} s; first token '
            f'{line["time_to_first_token"] * 1e3:.0f} ms'
        )


if __name__ == '__main__':
    sys.exit(main())
