# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint's config.json says, of the model and of its vision tower."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from transformers import CLIPVisionConfig, LlamaConfig

from flash_vstream_ros.core.checkpoint_files import (
    CheckpointError,
    folder_beside,
    read_json,
    resolve_folder,
)
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.quoting import quote, shorten

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

# What is read of the two configs that transformers defines. It would take any key, and make much
# of some: of num_labels a table of as many names.
_LANGUAGE_VALUES = (
    'hidden_size',
    'intermediate_size',
    'num_hidden_layers',
    'num_attention_heads',
    'num_key_value_heads',
    'head_dim',
    'vocab_size',
    'max_position_embeddings',
    'hidden_act',
    'rms_norm_eps',
    'rope_theta',
    'rope_scaling',
    'rope_parameters',
    'attention_bias',
    'mlp_bias',
    'initializer_range',
    'bos_token_id',
    'eos_token_id',
    'pad_token_id',
)
_VISION_VALUES = (
    'hidden_size',
    'intermediate_size',
    'projection_dim',
    'num_hidden_layers',
    'num_attention_heads',
    'num_channels',
    'image_size',
    'patch_size',
    'hidden_act',
    'layer_norm_eps',
    'initializer_range',
)
_MOST_LAYERS = 1000
# Of a width, a side, a number of slots; the message of a memory may claim no more either.
LARGEST_SIZE = 65536


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
                    f'config.json: {key}: expected {value!r}, got {quote(config.get(key))}'
                )
        side = vision.image_size // vision.patch_size
        try:
            geometry = MemoryGeometry.from_checkpoint_config(config, side)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f'config.json: {shorten(error)}') from error
        _check_sizes(geometry)
        return cls(
            geometry=geometry,
            language=_transformers_config(LlamaConfig, config, _LANGUAGE_VALUES),
            vision=vision,
            select_layer=_whole_number(config, 'mm_vision_select_layer', -2),
            attention_width=_whole_number(config, 'compress_Turing_hidden_dim', 32),
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
            f'config.json: mm_vision_tower: expected a folder or id, got {quote(name)}'
        )
    beside = folder_beside(folder, name)
    if beside is not None:
        return beside, vision_config(read_json(beside / 'config.json'))
    if name in KNOWN_TOWERS:
        return None, vision_config(KNOWN_TOWERS[name])
    tower = resolve_folder(name)
    return tower, vision_config(read_json(tower / 'config.json'))


def vision_config(values: Mapping[str, Any]) -> CLIPVisionConfig:
    """Read the config of a vision tower.

    :param values: of its ``config.json``, or of that of a whole CLIP.
    :raises CheckpointError: a value is none that a tower can have.
    """
    values = values.get('vision_config', values)
    if not isinstance(values, Mapping):
        raise CheckpointError(
            f'config.json: vision_config: expected an object, got {quote(values)}'
        )
    config = _transformers_config(CLIPVisionConfig, values, _VISION_VALUES)
    for name in ('image_size', 'patch_size'):
        value = getattr(config, name)
        if type(value) is not int or not 1 <= value <= LARGEST_SIZE:
            raise CheckpointError(
                f'config.json: {name}: expected 1 to {LARGEST_SIZE} pixels, got {quote(value)}'
            )
    return config


def _transformers_config(kind: type, values: Mapping[str, Any], names: Sequence[str]) -> Any:
    layers = values.get('num_hidden_layers', 1)
    if type(layers) is not int or not 1 <= layers <= _MOST_LAYERS:
        raise CheckpointError(
            f'config.json: num_hidden_layers: expected 1 to {_MOST_LAYERS}, got {quote(layers)}'
        )
    try:
        return kind(**{name: values[name] for name in names if name in values})
    # transformers checks its configs with error types that change with its version.
    except Exception as error:
        raise CheckpointError(f'config.json: {shorten(error)}') from error


def _whole_number(config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key, default)
    if type(value) is not int or abs(value) > LARGEST_SIZE:
        raise CheckpointError(f'config.json: {key}: expected a whole number, got {quote(value)}')
    return value


def _check_sizes(geometry: MemoryGeometry) -> None:
    for item in fields(geometry):
        value = getattr(geometry, item.name)
        if item.type is int and value > LARGEST_SIZE:
            raise CheckpointError(
                f'config.json: {item.name}: expected at most {LARGEST_SIZE}, got {quote(value)}'
            )
