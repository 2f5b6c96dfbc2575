# SPDX-License-Identifier: Apache-2.0
"""Replay of a video on the CPU, against its encoder alone and against one thing at a time."""

import tempfile
from collections import deque
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.measure import CPU, Figure, interleave, milliseconds, ratio
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import random_vstream
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.replay import Replay

SIZES = ('tiny', '100m')
WIDTH, HEIGHT, RATE_HZ = 1280, 720, 30.0
BATCH = 8
AT_MOST = 1.25  # of the encoder's own time


def measure(quick: bool, sizes: tuple[str, ...] = SIZES) -> list[Figure]:
    """Measure models of random weights."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, 'video.mp4')
        write_video(video, frames=16 if quick else 48)
        return [figure for size in sizes for figure in measure_size(size, video, quick)]


def measure_size(size: str, video: Path, quick: bool) -> list[Figure]:
    """Replay, take turns, and encode alone what is decoded already."""
    vstream = random_vstream(size, CPU, torch.float32)
    pixels = [frame.decode() for frame in open_recording(video, None)]
    contenders = {
        'encoder alone, in batches': lambda: encode(vstream, pixels, BATCH),
        'replay, in batches': lambda: replay(vstream, video, BATCH),
        'replay, frame by frame': lambda: replay(vstream, video, 1),
        'decode, encode, write in turn': lambda: in_turn(vstream, video),
    }
    seconds = interleave(contenders, 2 if quick else 9, warm_up=1)
    label = f'{sum(p.numel() for p in vstream.encoder.parameters()) / 1e6:.3g} M encoder'
    alone, batches, _, turns = seconds.values()
    return [
        *(milliseconds(f'{label}: {n}, a frame', s / len(pixels)) for n, s in seconds.items()),
        ratio(f'{label}: replay in batches / encoder alone', batches, alone, at_most=AT_MOST),
        ratio(f'{label}: in turn / replay in batches', turns, batches),
    ]


def encode(vstream: FlashVStream, pixels: list[np.ndarray], batch: int) -> None:
    """Encode frames that lie ready."""
    for start in range(0, len(pixels), batch):
        vstream.encode(pixels[start : start + batch])


def replay(vstream: FlashVStream, video: Path, batch: int) -> None:
    """Replay all frames; nobody asks."""
    deque(Replay(vstream, open_recording(video, None), [], sample_rate=0.0, batch=batch), 0)


def in_turn(vstream: FlashVStream, video: Path) -> None:
    """What replay did before it read ahead: the same work, one thing after the other."""
    memory = vstream.new_memory()
    for frame in open_recording(video, None):
        vstream.write(memory, frame.decode(), frame.stamp_ns)


def write_video(path: Path, frames: int) -> None:
    """Write a video of a scene that moves, with the grain of a camera."""
    random = np.random.default_rng(0)
    scene = cv2.resize(random.integers(0, 256, (12, 20, 3), np.uint8), (2 * WIDTH, HEIGHT))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), RATE_HZ, (WIDTH, HEIGHT))
    for number in range(frames):
        grain = random.integers(0, 12, (HEIGHT, WIDTH, 3), np.uint8)
        writer.write(cv2.add(np.roll(scene, -8 * number, 1)[:, :WIDTH], grain))
    writer.release()
