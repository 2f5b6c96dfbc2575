# SPDX-License-Identifier: Apache-2.0
"""The job of the verb ``replay``: recording and questions in, JSON lines and a picture out."""

import argparse
import logging
import sys
from collections import deque
from functools import partial

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.replay.new_output import check_file
from flash_vstream_ros.replay.picture import draw_memory, save_picture
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.replay import Replay
from flash_vstream_ros.replay.result_lines import kept
from flash_vstream_ros.replay.thumbnails import ThumbnailStore

logger = logging.getLogger(__name__)


def run_replay(arguments: argparse.Namespace) -> int:
    """Replay a recording.

    :param arguments: of the command line; ``asked`` holds its questions.
    :returns: exit status: 1 if a question is unanswered or the recording damaged.
    :raises OSError: a file cannot be read or written.
    :raises ValueError: the recording or the checkpoint cannot be used.
    """
    recording = open_recording(arguments.recording, arguments.topic)
    logger.info('%s: %s', recording.path, recording.description)
    for path in (arguments.out, arguments.picture):
        check_file(path, arguments.recording, arguments.questions)
    vstream = FlashVStream.from_pretrained(
        arguments.model, arguments.device, arguments.dtype, quantization=arguments.quantization
    )
    thumbnails = ThumbnailStore(vstream.geometry.buffer_frames) if arguments.picture else None
    replay = Replay(
        vstream,
        recording,
        arguments.asked,
        sample_rate=arguments.sample_rate,
        batch=arguments.batch,
        max_new_tokens=arguments.max_new_tokens,
        thumbnails=thumbnails,
        # Shown on a terminal only.
        progress=partial(tqdm, total=recording.frame_count, unit='frame', disable=None),
    )
    with logging_redirect_tqdm([logging.getLogger()]):
        deque(kept(replay, arguments.out, sys.stdout), 0)
    if thumbnails is not None:
        save_picture(
            draw_memory(replay.snapshot(), thumbnails, vstream.geometry), arguments.picture
        )
    logger.info('%s', replay.summary())
    for failure in replay.failures:
        logger.error('%s', failure)
    return int(bool(replay.failures))
