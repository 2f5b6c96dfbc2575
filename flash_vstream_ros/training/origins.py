# SPDX-License-Identifier: Apache-2.0
"""What a run learns from, so that it goes on with nothing else."""

import hashlib
from pathlib import Path

from flash_vstream_ros.core.checkpoint_files import weight_files
from flash_vstream_ros.evaluation.run_folder import file_digest
from flash_vstream_ros.training.config import TrainingConfig


def digest_origins(config: TrainingConfig, start: Path) -> dict[str, str]:
    """Digests of the texts that a run learns from, and of its start, by their names in it.

    :param start: folder of the checkpoint to start from.
    :raises OSError: a file cannot be read.
    :raises CheckpointError: the checkpoint has no weights, or not all of them.
    """
    texts = [source.text for source in config.data]
    digests = {text: file_digest([Path(text)]) for text in texts}
    return digests | {config.init: _digest_checkpoint(start)}


def _digest_checkpoint(folder: Path) -> str:
    """Of a checkpoint's config, index and sizes: its weights would take minutes to read."""
    weights = weight_files(folder)
    sizes = repr([(file.name, file.stat().st_size) for file in weights])
    written = [folder / 'config.json', *sorted(folder.glob('*.index.json'))]
    return hashlib.sha256((sizes + file_digest(written)).encode()).hexdigest()[:16]
