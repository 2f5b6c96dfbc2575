# SPDX-License-Identifier: Apache-2.0
"""Fuzzes what reads bytes of others, guided by the lines of ours that an input reaches.

Usage: scripts/in_ros_env.sh python3 scripts/fuzz_bytes.py image|memory [LIBFUZZER OPTION...]

An input must give a right result or the documented error; any other end stops the run and leaves
it in the working folder as crash-SUM. There lies the corpus, too. Needs atheris (fuzz.txt).
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import atheris
import cv2
import numpy as np
import torch

with atheris.instrument_imports(include=['flash_vstream_ros']):
    from flash_vstream_ros.core.abstract_memory import SemanticAttention
    from flash_vstream_ros.core.config import MemoryGeometry
    from flash_vstream_ros.core.memory_file import MemoryFileError
    from flash_vstream_ros.core.star_memory import StarMemory
    from flash_vstream_ros.nodes.image_conversions import compressed_to_rgb

FORMATS = ('jpeg', 'rgb8; jpeg compressed bgr8', 'bayer_rggb8; png compressed ')
OPTIONS = ['-max_len=4096', '-rss_limit_mb=3000', '-timeout=60']
S = 1_000_000_000

Target = Callable[[bytes], None]


def image_target() -> tuple[Target, list[bytes]]:
    """Bytes of a CompressedImage.

    :returns: what is called with an input, inputs to begin with.
    """
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    kinds = ('.jpg', '.png', '.tiff', '.webp', '.bmp')

    def target(data: bytes) -> None:
        text = FORMATS[len(data) % len(FORMATS)]
        try:
            found = compressed_to_rgb(SimpleNamespace(format=text, data=data))
        except ValueError:
            return
        if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3:
            raise TypeError(f'no picture: {found.dtype} of shape {found.shape}')

    return target, [cv2.imencode(kind, picture)[1].tobytes() for kind in kinds]


def memory_target() -> tuple[Target, list[bytes]]:
    """Bytes of a saved memory.

    :returns: what is called with an input, inputs to begin with.
    """
    g = MemoryGeometry(
        feature_width=1,
        feature_side=1,
        abstract_slots=2,
        temporal_slots=2,
        temporal_side=1,
        retrieved_slots=1,
        spatial_slots=1,
        detail_side=1,
        buffer_frames=2,
    )
    attention = SemanticAttention(g.feature_width, hidden=2).requires_grad_(False)
    path = Path('memory.safetensors').resolve()
    memory = StarMemory(g, attention, 'encoder')
    for number in range(3):
        memory.write(torch.full((1, 1, 1), float(number)), (1 + number) * S)
    memory.save(path)
    written = path.read_bytes()
    tokens = memory.snapshot().tokens()

    def target(data: bytes) -> None:
        path.unlink()  # to write over a file would wait for the disk each time
        path.write_bytes(data)
        try:
            found = StarMemory.load(path, g, attention, 'encoder')
        except MemoryFileError:
            return
        if not torch.equal(found.snapshot().tokens(), tokens):
            raise TypeError(f'another memory than was written, of {json.dumps(asdict(g))}')

    return target, [written]


def main() -> None:
    """Run libFuzzer on the target that the command line names; it ends the process."""
    name, *options = sys.argv[1:]
    target, begin = {'image': image_target, 'memory': memory_target}[name]()
    corpus = Path('corpus')
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(begin):
        (corpus / str(number)).write_bytes(data)
    atheris.Setup([sys.argv[0], str(corpus), *OPTIONS, *options], target)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
