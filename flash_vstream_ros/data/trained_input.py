# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint was trained to read, noted beside its weights."""

import json
from pathlib import Path

from flash_vstream_ros.core.memory_file import write_atomically

NOTE = 'training.json'


def note_training(folder: Path, stage: int, memory_input: str) -> None:
    """Note in a checkpoint's folder how it was trained last.

    :param stage: of the training.
    :param memory_input: what the language model read of a stream, as ``star``.
    :raises OSError: the note cannot be written.
    """
    about = {'stage': stage, 'memory_input': memory_input}
    write_atomically(folder / NOTE, json.dumps(about, indent=1).encode() + b'\n')


def read_trained_input(folder: Path) -> str | None:
    """Read what a checkpoint's language model was trained to read of a stream.

    :returns: the name of the input; None: that is not recorded.
    """
    try:
        about = json.loads((folder / NOTE).read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return None
    name = about.get('memory_input') if isinstance(about, dict) else None
    return name if isinstance(name, str) else None
