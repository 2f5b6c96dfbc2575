# SPDX-License-Identifier: Apache-2.0
"""Random checkpoints in the published layout: for tests, benchmarks and trying things out."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from sentencepiece import SentencePieceTrainer
from transformers import CLIPVisionConfig

from flash_vstream_ros.core.checkpoint import (
    TOWER,
    NamedTensor,
    assemble,
    expected_shapes,
)
from flash_vstream_ros.core.checkpoint_saving import (
    TOWER_FOLDER,
    write_description,
    write_tensors,
)
from flash_vstream_ros.core.model_config import ModelConfig
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.prompt import BEFORE_MEMORY, Prompt

# width, layers, heads, inner width, vocabulary of the language model
_LANGUAGE = {
    'tiny': (64, 2, 4, 128, 400),
    '100m': (768, 12, 12, 2048, 32000),
    '1b': (2048, 22, 32, 5632, 32000),
    '7b': (4096, 32, 32, 11008, 32000),
}
# width, layers, heads, image size, patch size of the vision tower
_VISION = {
    'tiny': (40, 3, 4, 64, 4),
    '100m': (1024, 2, 16, 224, 14),
    '1b': (1024, 2, 16, 224, 14),
    '7b': (1024, 24, 16, 224, 14),
}
SIZES = tuple(_LANGUAGE)

_WORDS = """
The robot went into the kitchen and saw a red cup on the table. What colour is the cup? Is the door
open? Did the robot open the door before it picked up the blue box? yes no It is on the shelf in
the office, behind the green ball. First it passed the window, then it turned left. I have not seen
it. Where was the yellow chair last? How many people walked by? Nobody was there. There were two.
"""


def published_config(size: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """``config.json`` of the checkpoint and of its vision tower, at a size of :data:`SIZES`.

    :raises ValueError: an unknown size.
    """
    if size not in SIZES:
        raise ValueError(f'size: expected one of {list(SIZES)}, got {size!r}')
    width, layers, heads, image_size, patch_size = _VISION[size]
    vision = {
        'model_type': 'clip_vision_model',
        'hidden_size': width,
        'intermediate_size': 4 * width,
        'num_hidden_layers': layers,
        'num_attention_heads': heads,
        'image_size': image_size,
        'patch_size': patch_size,
        'hidden_act': 'quick_gelu',
    }
    return _language_config(size, width), vision


def _language_config(size: str, vision_width: int) -> dict[str, Any]:
    width, layers, heads, inner, vocabulary = _LANGUAGE[size]
    return {
        'architectures': ['VStreamLlamaForCausalLM'],
        'model_type': 'vstream',
        'hidden_size': width,
        'num_hidden_layers': layers,
        'num_attention_heads': heads,
        'num_key_value_heads': heads,
        'intermediate_size': inner,
        'vocab_size': vocabulary,
        'max_position_embeddings': 4096,
        'rms_norm_eps': 1e-5,
        'bos_token_id': 1,
        'eos_token_id': 2,
        'pad_token_id': 0,
        'mm_vision_tower': TOWER_FOLDER,
        'mm_hidden_size': vision_width,
        'mm_vision_select_layer': -2,
        'mm_vision_select_feature': 'patch',
        'mm_projector_type': 'mlp2x_gelu',
        'compress_type': 'mean',
        'compress_size': 8,
        'compress_long_memory_size': 4,
        'compress_Turing_memory_size': 1,
        'compress_Turing_update_ratio': 0.2,
        'video_long_memory_length': 25,
        'video_Turing_memory_length': 25,
        'video_current_memory_length': 1,
        'video_sample_type': 'weighted_kmeans',
        'tokenizer_model_max_length': 2048,
    }


def make_random_checkpoint(
    folder: str | Path,
    size: str = 'tiny',
    seed: int = 0,
    *,
    dtype: torch.dtype = torch.float32,
    safetensors: bool = True,
    own_tower: bool = True,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Write a checkpoint of random weights; its answers mean nothing.

    :param folder: made where it does not exist.
    :param size: one of :data:`SIZES`; ``tiny`` takes 2 MB, ``7b`` 27 GB in float32.
    :param seed: equal seeds make equal files.
    :param safetensors: safetensors, or the published ``.bin`` shards.
    :param own_tower: keep the vision tower among the checkpoint's own tensors, or beside them.
    :param overrides: values of ``config.json`` to change.
    :returns: the folder.
    :raises ValueError: an unknown size.
    """
    folder = Path(folder)
    config, vision = published_config(size)
    config |= overrides or {}
    model = ModelConfig.from_dict(config, CLIPVisionConfig(**vision))
    write_description(folder, config, vision, _tokenizer())
    tensors = ((item.key, item.tensor) for item in random_tensors(model, seed, dtype=dtype))
    if own_tower:
        write_tensors(folder, tensors, safetensors)
        return folder
    by_key = dict(tensors)
    tower = {k.replace(TOWER, 'vision_model.'): v for k, v in by_key.items() if TOWER in k}
    rest = {k: v for k, v in by_key.items() if TOWER not in k}
    write_tensors(folder / config['mm_vision_tower'], tower.items(), safetensors)
    write_tensors(folder, rest.items(), safetensors)
    return folder


def random_vstream(
    size: str, device: torch.device, dtype: torch.dtype, seed: int = 0
) -> FlashVStream:
    """A model of random weights made on its device, for benchmarks: no file of 14 GB in between.

    :raises ValueError: an unknown size.
    """
    config, vision = published_config(size)
    model = ModelConfig.from_dict(config, CLIPVisionConfig(**vision))
    modules = assemble(model, random_tensors(model, seed, device, dtype), device, dtype)
    return FlashVStream(modules, Prompt(_tokenizer()), device)


def random_tensors(
    config: ModelConfig,
    seed: int,
    device: torch.device | str = 'cpu',
    dtype: torch.dtype = torch.float32,
) -> Iterator[NamedTensor]:
    """All tensors of a checkpoint, one at a time.

    Matrices are drawn with deviation 1 / sqrt(inputs), so that signals neither vanish nor grow and
    answers depend on the memory; gains are 1 and offsets 0.
    """
    generator = torch.Generator(device).manual_seed(seed)
    for key, shape in expected_shapes(config).items():
        if len(shape) == 1 and not key.endswith('class_embedding'):
            fill = 0.0 if key.endswith('bias') else 1.0
            tensor = torch.full(shape, fill, device=device, dtype=dtype)
        else:
            tensor = torch.randn(shape, generator=generator, device=device, dtype=dtype)
            tensor *= _deviation(key, shape)
        yield NamedTensor(key, tensor, 'random')


def _deviation(key: str, shape: tuple[int, ...]) -> float:
    inputs = torch.Size(shape[1:]).numel()
    return 1.0 if 'embed_tokens' in key else inputs**-0.5


def _tokenizer() -> bytes:
    """Train a small SentencePiece model in Llama's form: bytes for what it does not know."""
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter([BEFORE_MEMORY, *_WORDS.strip().split('\n')] * 4),
        model_writer=model,
        vocab_size=400,
        model_type='bpe',
        byte_fallback=True,
        normalization_rule_name='identity',
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()
