# SPDX-License-Identifier: Apache-2.0
"""Puts a checkpoint together to train from: a Llama, a CLIP, and what joins them, random still."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig

from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.checkpoint import (
    ATTENTION,
    COMPUTED,
    PROJECTOR,
    expected_shapes,
    read_tower,
)
from flash_vstream_ros.core.checkpoint_files import (
    CheckpointError,
    read_json,
    read_tensors,
    resolve_folder,
)
from flash_vstream_ros.core.checkpoint_saving import (
    TOWER_FOLDER,
    write_description,
    write_tensors,
)
from flash_vstream_ros.core.model_config import ModelConfig
from flash_vstream_ros.core.projector import Projector
from flash_vstream_ros.core.random_checkpoint import published_config

# What the published config.json says besides Llama's fields
_OURS = ('mm_', 'compress_', 'video_', 'tokenizer_')
# What a Llama's config says of its file and not of the model
_DROPPED = ('_name_or_path', 'architectures', 'dtype', 'torch_dtype', 'transformers_version')
_HEAD, _EMBEDDING = 'lm_head.weight', 'model.embed_tokens.weight'


def assemble_checkpoint(
    folder: Path, language: str, vision: str, sizes: Mapping[str, Any], seed: int
) -> None:
    """Write a checkpoint in the published layout.

    :param folder: of the new checkpoint.
    :param language: a Llama as transformers saves it, with ``tokenizer.model``: folder or hub id.
    :param vision: a CLIP, or its vision tower alone, as transformers saves it: folder or hub id.
    :param sizes: keys of ``config.json`` that differ from the published model's.
    :param seed: of projector and semantic attention.
    :raises CheckpointError: a file is missing, or holds another kind of model.
    :raises OSError: the checkpoint cannot be written.
    """
    llama, clip = resolve_folder(language), resolve_folder(vision)
    tower = _vision_values(clip)
    config = _config(llama, tower, sizes)
    model = ModelConfig.from_dict(config, CLIPVisionConfig(**tower))
    tokenizer = llama / 'tokenizer.model'
    if not tokenizer.is_file():
        raise CheckpointError(f'{tokenizer}: the tokenizer is missing')
    write_description(folder, config, tower, tokenizer.read_bytes())
    write_tensors(folder, _checked(_tensors(llama, clip, model, seed), expected_shapes(model)))


def _vision_values(folder: Path) -> dict[str, Any]:
    values = read_json(folder / 'config.json')
    values = values.get('vision_config', values)
    if values.get('model_type', 'clip_vision_model') != 'clip_vision_model':
        raise CheckpointError(
            f'{folder}/config.json: expected the vision tower of a CLIP, got model_type '
            f'{values["model_type"]!r}'
        )
    # A whole CLIP's config holds what differs from the defaults only.
    return CLIPVisionConfig(**values).to_dict()


def _config(llama: Path, tower: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    values = read_json(llama / 'config.json')
    if values.get('model_type') != 'llama':
        raise CheckpointError(
            f'{llama}/config.json: model_type: expected llama, got {values.get("model_type")!r}'
        )
    published, _ = published_config('7b')
    ours = {key: value for key, value in published.items() if key.startswith(_OURS)}
    ours |= {
        'architectures': published['architectures'],
        'model_type': published['model_type'],
        'mm_hidden_size': tower['hidden_size'],
        'mm_vision_tower': TOWER_FOLDER,
        'tie_word_embeddings': False,
    }
    unknown = set(sizes) - set(ours)
    own = {'video_retrieved_memory_length', 'video_feature_buffer_length'}
    own |= {'compress_Turing_hidden_dim'}
    if unknown - own:
        raise CheckpointError(
            f'sizes: expected some of {sorted({*ours, *own})}, got {sorted(unknown - own)}'
        )
    return {k: v for k, v in values.items() if k not in _DROPPED} | ours | dict(sizes)


def _tensors(
    llama: Path, clip: Path, model: ModelConfig, seed: int
) -> Iterator[tuple[str, Tensor]]:
    embedding = None
    has_head = False
    for key, tensor, _ in read_tensors(llama):
        if COMPUTED.match(key):
            continue
        has_head = has_head or key == _HEAD
        embedding = tensor if key == _EMBEDDING else embedding
        yield key, tensor
    if not has_head and embedding is not None:  # tied: the published layout holds both
        yield _HEAD, embedding.clone()
    yield from _random_tensors(model, seed)
    for key, tensor, _ in read_tower(clip):
        if not COMPUTED.match(key):
            yield key, tensor


def _random_tensors(model: ModelConfig, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Projector and semantic attention as PyTorch begins with them."""
    width = model.geometry.feature_width
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules: dict[str, nn.Module] = {
            PROJECTOR: Projector(width, model.language.hidden_size),
            ATTENTION: SemanticAttention(width, model.attention_width),
        }
    for prefix, module in modules.items():
        for name, parameter in module.named_parameters():
            yield prefix + name, parameter.detach()


def _checked(
    tensors: Iterator[tuple[str, Tensor]], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, Tensor]]:
    """Refuse what is not of this model before it is written, and what is missing at the end."""
    missing = dict(shapes)
    for key, tensor in tensors:
        expected = missing.pop(key, None)
        if tuple(tensor.shape) != expected:
            raise CheckpointError(f'{key}: expected shape {expected}, got {tuple(tensor.shape)}')
        yield key, tensor
    if missing:
        key = min(missing)
        raise CheckpointError(f'{key}: expected {missing[key]}, found no such key')
