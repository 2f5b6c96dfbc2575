# SPDX-License-Identifier: Apache-2.0
"""Stage 0 as a job of the training loop: a small model's encoder, and the start of the rest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModel

from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.checkpoint import ATTENTION, PROJECTOR, TOWER, expected_shapes
from flash_vstream_ros.core.checkpoint_saving import (
    TOWER_FOLDER,
    write_description,
    write_tensors,
)
from flash_vstream_ros.core.encoder import Encoder
from flash_vstream_ros.core.language_model import LanguageModel
from flash_vstream_ros.core.model_config import ModelConfig, vision_config
from flash_vstream_ros.core.projector import Projector
from flash_vstream_ros.core.random_checkpoint import published_config
from flash_vstream_ros.core.tunables import tunable
from flash_vstream_ros.simulator.dataset import SPLITS
from flash_vstream_ros.training.config import RunConfig, build_config, read_config
from flash_vstream_ros.training.encoder_stage import EncoderInTraining, PatrolFrames
from flash_vstream_ros.training.labelled_frames import FrameStore
from flash_vstream_ros.training.loop import CHECKPOINT, run_training
from flash_vstream_ros.training.meter import Counts
from flash_vstream_ros.training.patrol_tokenizer import train_tokenizer
from flash_vstream_ros.training.saving import check_same_model, is_saved

VARIANTS = 1000  # of the frames shown of one patrol: more than any run shows
ENCODER_GAIN = 0.7
LAYER_GAIN = 0.3  # of the language model's layers


@dataclass(frozen=True)
class Stage0Config(RunConfig):
    """A run of stage 0. ``model`` and ``vision`` are keys of the two ``config.json``."""

    stage: int = tunable(0, 'an encoder from nothing', minimum=0, maximum=0)
    model: Mapping[str, Any] = field(default_factory=dict)
    vision: Mapping[str, Any] = field(default_factory=dict)
    first_patrol: int = tunable(400_000, 'seed of the first patrol', minimum=0)
    patrols: int = tunable(440, 'simulated patrols to learn from', minimum=1)
    patrol_seconds: float = tunable(420.0, 'length of each', minimum=60.0, maximum=1e5)
    parts_side: int = tunable(
        0, 'parts a side of a map that say by themselves what is seen; 0: as a cluster', minimum=0
    )
    frames: str = tunable('', 'folder to keep drawn frames in; default: in the folder of the run')

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ('model', 'vision'):
            value = getattr(self, name)
            if not isinstance(value, Mapping):
                raise ValueError(f'{name}: expected keys and values, got {value!r}')
        seeds, last = SPLITS['train'], self.first_patrol + self.patrols - 1
        if last not in seeds:
            raise ValueError(
                f'first_patrol, patrols: expected seeds that are trained on, 0 to {seeds[-1]}, '
                f'got {self.first_patrol} to {last}'
            )


def read_stage0_config(path: Path, overrides: Mapping[str, Any]) -> Stage0Config:
    """Read a YAML file; see :func:`~flash_vstream_ros.training.config.read_config`."""
    return read_config(path, overrides, lambda values: build_config(Stage0Config, values))


def train_stage0(config: Stage0Config) -> None:
    """Train an encoder, from the beginning or from where it was interrupted; see Training.

    :raises OSError: a file cannot be written.
    :raises ValueError: the sizes make no model.
    :raises TrainingError: the loss is no number.
    """
    run_training(config, EncoderJob)


class EncoderJob:
    """Trains an encoder; writes it with a language model that knows nothing yet."""

    def __init__(self, config: Stage0Config) -> None:
        base, vision = published_config('tiny')
        self._vision = vision | dict(config.vision)
        of_tower = {'mm_hidden_size': self._vision['hidden_size']}
        self.origins: dict[str, str] = {}  # the patrols are those of their seeds
        self._config = base | of_tower | config.model | {'mm_vision_tower': TOWER_FOLDER}
        self._check_folder(Path(config.out) / CHECKPOINT)
        self._model_config = ModelConfig.from_dict(self._config, vision_config(self._vision))
        expected_shapes(self._model_config)  # or the sizes make no model
        self._tokenizer = train_tokenizer(self._config['vocab_size'])
        geometry = self._model_config.geometry
        encoder = Encoder(self._model_config.vision, self._model_config.select_layer)
        encoder.restore_buffers(torch.device('cpu'))
        _initialise(encoder)
        parts_side = config.parts_side or geometry.temporal_side
        if geometry.detail_side % parts_side:
            raise ValueError(
                f'parts_side: expected a divisor of {geometry.detail_side}, the side of the '
                f"memory's details, got {parts_side}"
            )
        self.model = EncoderInTraining(encoder, geometry.detail_side, parts_side)
        folder = Path(config.frames or Path(config.out) / 'frames')
        store = FrameStore(folder, config.patrol_seconds, encoder, geometry.detail_side)
        self.data = PatrolFrames(store, config.first_patrol, config.patrols, VARIANTS)
        self.steps_an_epoch = config.patrols / config.global_batch
        self._rest = dict(_untrained(self._model_config))

    def collate(self, items: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Put the frames of several patrols together."""
        return PatrolFrames.collate(items)

    def count(self, batch: dict[str, Tensor], items: Sequence[dict[str, Tensor]]) -> Counts:
        """Count frames, and the patches that the encoder reads."""
        del items
        frames = len(batch['pixels'])
        return Counts(labels=frames, tokens=frames * self.model.encoder.side**2)

    def name(self, item: dict[str, Tensor]) -> str:
        """Say what an item shows."""
        return f'frames of rooms {item["room"].unique().tolist()}'

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Write the start of a small model: this encoder, the rest untrained.

        :raises FileExistsError: another model lies in the folder.
        :raises OSError: it cannot be written; the checkpoint from before is unharmed.
        """
        self._check_folder(folder)
        if not (folder / 'config.json').exists():
            write_description(folder, self._config, self._vision, self._tokenizer)
        prefix = 'encoder.tower.'
        tower = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        trained = ((TOWER + name, tensor.cpu().float()) for name, tensor in tower.items())
        rest = ((k, v) for k, v in self._rest.items() if k.removeprefix(TOWER) not in tower)
        write_tensors(folder, chain(rest, trained))

    def is_saved(self, folder: Path) -> bool:
        """Whether a whole checkpoint lies in a folder; this stage writes float32."""
        return is_saved(folder, torch.float32)

    def _check_folder(self, folder: Path) -> None:
        check_same_model(folder, self._config)
        check_same_model(folder / TOWER_FOLDER, self._vision)


def _initialise(encoder: Encoder) -> None:
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=ENCODER_GAIN * module.in_features**-0.5)


def _untrained(config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """Language model, projector, semantic attention, and the tower's layers that nobody reads.

    The language model's embeddings are drawn with deviation 1 / sqrt(width): with transformers'
    0.02 attention starts out uniform in a narrow model, and stays so. The matrices of its layers
    are smaller, or the noise of the start hides for long what is learnt (see docs/training.md).
    """
    language = config.language
    language.initializer_range = language.hidden_size**-0.5
    width = config.geometry.feature_width
    projector = Projector(width, language.hidden_size)
    for module in projector:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            nn.init.zeros_(module.bias)
    modules = {
        '': LanguageModel(language).llama,
        PROJECTOR: projector,
        ATTENTION: SemanticAttention(width, config.attention_width),
        TOWER: CLIPVisionModel(config.vision),
    }
    for prefix, module in modules.items():
        for name, parameter in module.named_parameters():
            is_layer = not prefix and name.startswith('model.layers.') and parameter.ndim == 2
            yield prefix + name, parameter.detach() * (LAYER_GAIN if is_layer else 1.0)
