# SPDX-License-Identifier: Apache-2.0
"""Loading a checkpoint from the disk against reading its files, neither in the page cache."""

import os
import tempfile
from pathlib import Path

import torch

from benchmarks.measure import Figure, interleave, milliseconds, ratio
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint

SIZE = '100m'
BLOCK = 2**24


def measure(quick: bool, size: str = SIZE) -> list[Figure]:
    """Read and load in turn."""
    # On the disk of the repository: /tmp may be none.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as name:
        folder = Path(name) / 'checkpoint'
        make_random_checkpoint(folder, size)
        files = sorted(file for file in folder.rglob('*') if file.is_file())
        total = sum(file.stat().st_size for file in files)
        contenders = {'read': lambda: read(files)} | {
            dtype: lambda dtype=dtype: load(folder, files, dtype)
            for dtype in ('float32', 'bfloat16')
        }
        seconds = interleave(contenders, rounds=1 if quick else 15, device=torch.device('cpu'))
    label = f'{total / 1e9:.2g} GB of float32'
    return [
        milliseconds(f'{label}: read from the disk', seconds['read']),
        *(
            figure
            for dtype in ('float32', 'bfloat16')
            for figure in (
                milliseconds(f'{label}: loaded as {dtype}', seconds[dtype]),
                ratio(f'{label}: loaded as {dtype} / read', seconds[dtype], seconds['read'],
                      at_most=1.5),
            )
        ),
    ]  # fmt: skip


def read(files: list[Path]) -> None:
    """Read files from the disk."""
    forget(files)
    buffer = bytearray(BLOCK)
    for file in files:
        with file.open('rb', buffering=0) as opened:
            while opened.readinto(buffer):
                pass


def load(folder: Path, files: list[Path], dtype: str) -> None:
    """Load a checkpoint from the disk."""
    forget(files)
    FlashVStream.from_pretrained(folder, dtype=dtype)


def forget(files: list[Path]) -> None:
    """Drop files from the page cache, so that the next one who reads them reads the disk."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
