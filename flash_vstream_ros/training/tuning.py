# SPDX-License-Identifier: Apache-2.0
"""The paper's two stages as a job of the training loop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from flash_vstream_ros.core.checkpoint import load_checkpoint
from flash_vstream_ros.core.checkpoint_files import resolve_folder
from flash_vstream_ros.data.tower import tower_id
from flash_vstream_ros.data.trained_input import note_training
from flash_vstream_ros.training.config import TrainingConfig
from flash_vstream_ros.training.dataset import Item, TrainingData
from flash_vstream_ros.training.loop import CHECKPOINT, run_training
from flash_vstream_ros.training.meter import Counts
from flash_vstream_ros.training.model import TrainedModel
from flash_vstream_ros.training.origins import digest_origins
from flash_vstream_ros.training.saving import (
    check_same_model,
    is_saved,
    save_checkpoint,
    saved_config,
)
from flash_vstream_ros.training.sequences import PADDING, TrainingPrompt, make_batch


def train(config: TrainingConfig) -> None:
    """Train a model, from its beginning or from where it was interrupted; see Training.

    :raises OSError: a file is missing or cannot be written.
    :raises ValueError: the data or the checkpoint is of no use.
    :raises TrainingError: the loss is no number.
    """
    run_training(config, TuningJob)


class TuningJob:
    """Semantic attention and projector, or the language model as well, on questions."""

    def __init__(self, config: TrainingConfig) -> None:
        self._source = resolve_folder(config.init)
        check_same_model(Path(config.out) / CHECKPOINT, saved_config(self._source)[0])
        self._training = (config.stage, config.memory_input)
        self.origins = digest_origins(config, self._source)
        self._dtype = getattr(torch, config.save_dtype)
        is_empty = _waits_for_weights()
        device = torch.device('meta' if is_empty else 'cpu')
        modules = load_checkpoint(self._source, device, torch.float32)
        modules.encoder = None  # its work is in the features
        prompt = TrainingPrompt.from_file(self._source / 'tokenizer.model')
        context = modules.language_model.context
        if config.max_length > context:
            raise ValueError(
                f'max_length: expected at most {context}, the context of {self._source}, got '
                f'{config.max_length}'
            )
        geometry = modules.config.geometry
        self.data = TrainingData(config, geometry, prompt, tower_id(self._source))
        self.origins |= self.data.digests
        self.steps_an_epoch = len(self.data) / config.global_batch
        self.model = TrainedModel(modules, config.trained_parts)
        if is_empty:  # memory that Accelerate tells weights by, and that stays untouched
            self.model.to_empty(device='cpu')
            modules.language_model.restore_buffers(torch.device('cpu'))
        if config.compile:  # in place: its weights keep their names
            self.model.llama.model.compile(dynamic=True)
        if config.gradient_checkpointing:
            self.model.llama.activation_checkpointing_enable({'use_reentrant': False})

    def collate(self, items: Sequence[Item]) -> dict[str, Any]:
        """Make a batch of sequences and their memories."""
        return make_batch([item[0] for item in items], [item[1] for item in items])

    def count(self, batch: dict[str, Any], items: Sequence[Item]) -> Counts:
        """Count labels, tokens, and answers that were cut off."""
        return Counts(
            labels=int((batch['labels'] >= 0).sum()),
            tokens=int((batch['turns'] != PADDING).sum()),
            cut=sum(item[0].cut for item in items),
        )

    def name(self, item: Item) -> str:
        """Name an example."""
        return item[2]

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Write a checkpoint: what was trained, and the source's other parts."""
        save_checkpoint(folder, self._source, state, self._dtype)
        note_training(folder, *self._training)

    def is_saved(self, folder: Path) -> bool:
        """Whether a whole checkpoint of the type ``save_dtype`` lies in a folder."""
        return is_saved(folder, self._dtype)


def _waits_for_weights() -> bool:
    """Whether this process gets its share of the weights from the first one, which loads them."""
    if not torch.distributed.is_initialized():  # one process, perhaps without an Accelerator
        return False
    state = AcceleratorState()
    if not state.is_fsdp2 or state.process_index == 0:
        return False
    return state.fsdp_plugin.cpu_ram_efficient_loading
