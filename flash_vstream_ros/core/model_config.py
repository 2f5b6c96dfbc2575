# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint's config.json says, of the model and of its vision tower."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import CLIPVisionConfig, LlamaConfig

from flash_vstream_ros.core.checkpoint_files import CheckpointError, read_json, resolve_folder
from flash_vstream_ros.core.config import MemoryGeometry

# Built in, so that a robot without network loads a checkpoint that holds its own vision tensors.
KNOWN_TOWERS: dict[str, dict[str, Any]] = {
    'openai/clip-vit-large-patch14': {
        'hidden_size': 1024,
        'intermediate_size': 4096,
        'num_hidden_layers': 24,
        'num_attention_heads': 16,
        'image_size': 224,
        'patch_size': 14,
        'hidden_act': 'quick_gelu',
        'layer_norm_eps': 1e-5,
    },
}


@dataclass(frozen=True)
class ModelConfig:
    """What a checkpoint's ``config.json`` says, read once."""

    geometry: MemoryGeometry
    language: LlamaConfig
    vision: CLIPVisionConfig
    select_layer: int
    attention_width: int

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], vision: CLIPVisionConfig) -> 'ModelConfig':
        """Read and check a parsed ``config.json``.

        :param vision: config of the vision tower that it names.
        :raises CheckpointError: a value this package cannot serve, by name.
        """
        expected = {
            'model_type': 'vstream',
            'mm_projector_type': 'mlp2x_gelu',
            'mm_vision_select_feature': 'patch',
            'compress_type': 'mean',
            'mm_hidden_size': vision.hidden_size,
        }
        for key, value in expected.items():
            if config.get(key) != value:
                raise CheckpointError(
                    f'config.json: {key}: expected {value!r}, got {config.get(key)!r}'
                )
        side = vision.image_size // vision.patch_size
        language = {k: v for k, v in config.items() if k not in ('model_type', 'architectures')}
        try:
            geometry = MemoryGeometry.from_checkpoint_config(config, side)
            language = LlamaConfig(**language)
        # transformers checks its configs with error types that change with its version.
        except Exception as error:
            raise CheckpointError(f'config.json: {error}') from error
        return cls(
            geometry=geometry,
            language=language,
            vision=vision,
            select_layer=config.get('mm_vision_select_layer', -2),
            attention_width=config.get('compress_Turing_hidden_dim', 32),
        )


def load_geometry(path: str | Path) -> MemoryGeometry:
    """Read the sizes of a checkpoint's memory, without its weights.

    :param path: as for :func:`load_checkpoint`.
    :raises CheckpointError: there is no such checkpoint, or its config cannot be used.
    """
    folder = resolve_folder(path)
    raw = read_json(folder / 'config.json')
    return ModelConfig.from_dict(raw, find_vision_tower(raw, folder)[1]).geometry


def find_vision_tower(
    config: Mapping[str, Any], folder: Path
) -> tuple[Path | None, CLIPVisionConfig]:
    """Config of the vision tower, and its folder where it lies beside the checkpoint."""
    name = config.get('mm_vision_tower')
    if not isinstance(name, str) or not name:
        raise CheckpointError(
            f'config.json: mm_vision_tower: expected a folder or id, got {name!r}'
        )
    beside = (folder / name).resolve()
    if beside.is_dir():
        values = read_json(beside / 'config.json')
        return beside, CLIPVisionConfig(**values.get('vision_config', values))
    if name in KNOWN_TOWERS:
        return None, CLIPVisionConfig(**KNOWN_TOWERS[name])
    tower = resolve_folder(name)
    values = read_json(tower / 'config.json')
    return tower, CLIPVisionConfig(**values.get('vision_config', values))
