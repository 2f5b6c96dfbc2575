# SPDX-License-Identifier: Apache-2.0
"""Checkpoint: the published layout -> modules, strictly."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModel

from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.checkpoint_files import (
    CheckpointError,
    read_json,
    read_tensors,
    resolve_folder,
)
from flash_vstream_ros.core.encoder import Encoder
from flash_vstream_ros.core.fingerprint import Fingerprint
from flash_vstream_ros.core.language_model import LanguageModel
from flash_vstream_ros.core.model_config import ModelConfig, find_vision_tower
from flash_vstream_ros.core.projector import Projector
from flash_vstream_ros.core.quantization import is_quantized, quantized_linear, stored_bytes
from flash_vstream_ros.core.quoting import shorten

PARTS = ('vision', 'language', 'embeddings')
TOWER = 'model.vision_tower.vision_tower.vision_model.'
_TOWER_PARTS = ('embeddings.', 'pre_layrnorm.', 'encoder.', 'post_layernorm.')
ATTENTION = 'model.attention_model.'
PROJECTOR = 'model.mm_projector.'
EMBEDDINGS = 'model.embed_tokens.weight'
# Buffers that older versions of transformers saved; they are computed, not read.
COMPUTED = re.compile(r'.*(rotary_emb\.inv_freq|embeddings\.position_ids)$')


class NamedTensor(NamedTuple):
    """One tensor of a checkpoint."""

    key: str
    tensor: Tensor
    source: str  # for messages


@dataclass
class Modules:
    """A loaded model. Either half is None where only the other one was asked for."""

    config: ModelConfig
    encoder_id: str
    encoder: Encoder | None
    attention: SemanticAttention | None
    projector: Projector | None
    language_model: LanguageModel | None
    report: str  # what was loaded and how long it took


def load_checkpoint(
    path: str | Path,
    device: torch.device,
    dtype: torch.dtype,
    parts: Iterable[str] = ('vision', 'language'),
    quantization: str = 'none',
) -> Modules:
    """Load a checkpoint in the published layout, tensor by tensor, never holding two copies.

    :param path: its folder, or a hub id as ``owner/name`` or ``owner/name@revision``.
    :param parts: ``vision`` (encoder, semantic attention) and ``language`` (projector, language
        model), or ``embeddings`` (projector, and of the language model the embeddings of its
        tokens, where a server has the rest). All keys are checked either way.
    :param quantization: of the language model's layers; see
        :func:`~flash_vstream_ros.core.quantization.check_quantization`.
    :returns: the modules on ``device`` in ``dtype`` (semantic attention: float32).
    :raises CheckpointError: a file or key is missing, unexpected, damaged or of a wrong shape.
    """
    started = time.perf_counter()
    folder = resolve_folder(path)
    raw = read_json(folder / 'config.json')
    tower_folder, vision = find_vision_tower(raw, folder)
    tensors = _all_tensors(folder, tower_folder, str(raw.get('mm_vision_tower')))
    config = ModelConfig.from_dict(raw, vision)
    modules = assemble(config, tensors, device, dtype, parts, quantization)
    seconds = time.perf_counter() - started
    modules.report = f'{folder}: {modules.report} in {seconds:.1f} s'
    return modules


def assemble(
    config: ModelConfig,
    tensors: Iterable[NamedTensor],
    device: torch.device,
    dtype: torch.dtype,
    parts: Iterable[str] = ('vision', 'language'),
    quantization: str = 'none',
) -> Modules:
    """Put named tensors into modules.

    :raises CheckpointError: a key is missing, unexpected or of a wrong shape.
    """
    parts = frozenset(parts)
    if not parts or not parts <= set(PARTS):
        raise ValueError(f'parts: expected some of {", ".join(PARTS)}, got {sorted(parts)}')
    targets, shapes = _targets(config, parts)
    fingerprint = Fingerprint(config, (TOWER, ATTENTION))
    seen: dict[str, str] = {}
    loaded_bytes = 0
    for key, tensor, source in tensors:
        if COMPUTED.match(key):
            continue
        _check_key(key, tensor, source, shapes, seen)
        fingerprint.add(key, tensor)
        prefix = next(p for p in targets if key.startswith(p))
        module = targets[prefix]
        if module is not None and key.removeprefix(prefix) in module.loadable:
            kept = torch.float32 if prefix == ATTENTION else dtype
            kind = 'none' if prefix else quantization
            name = key.removeprefix(prefix)
            loaded_bytes += _set_weight(module.root, name, tensor, device, kept, kind)
    missing = sorted(shapes.keys() - seen.keys())
    if missing:
        where = ', '.join(sorted(set(seen.values()))) or 'the checkpoint'
        raise CheckpointError(
            f'{missing[0]}: expected {shapes[missing[0]]} in {where}, found no such key '
            f'({len(missing)} keys are missing)'
        )
    return _finish(config, targets, fingerprint, device, loaded_bytes)


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every key of a checkpoint.

    :raises CheckpointError: the sizes make no model.
    """
    return _targets(config, frozenset(('vision', 'language')))[1]


class _Target(NamedTuple):
    root: nn.Module  # the module its keys are named from
    loadable: frozenset[str]  # its parameters; other keys of the checkpoint are checked only
    module: nn.Module


def _targets(
    config: ModelConfig, parts: frozenset[str]
) -> tuple[dict[str, _Target | None], dict[str, tuple[int, ...]]]:
    """Modules without storage by key prefix, and the shape of every key, loaded or not."""
    try:
        encoder, attention, projector, language_model, whole_tower = _empty_modules(config)
    except Exception as error:  # of transformers or torch, on sizes that make no model
        raise CheckpointError(f'config.json: makes no model: {shorten(error)}') from error
    # The language model's keys begin with nothing in common: it must come last.
    roots = {
        TOWER: ('vision', encoder.tower, encoder, whole_tower),
        ATTENTION: ('vision', attention, attention, attention),
        PROJECTOR: ('language', projector, projector, projector),
        '': ('language', language_model.llama, language_model, language_model.llama),
    }
    targets: dict[str, _Target | None] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for prefix, (part, root, module, whole) in roots.items():
        names = frozenset(name for name, _ in root.named_parameters())
        is_wanted = part in parts or (part == 'language' and 'embeddings' in parts)
        if module is language_model and 'language' not in parts:
            names &= {EMBEDDINGS}
        targets[prefix] = _Target(root, names, module) if is_wanted else None
        shapes |= {prefix + n: tuple(p.shape) for n, p in whole.named_parameters()}
    return targets, shapes


def _empty_modules(config: ModelConfig) -> tuple[nn.Module, ...]:
    width = config.geometry.feature_width
    with torch.device('meta'):
        return (
            Encoder(config.vision, config.select_layer),
            SemanticAttention(width, config.attention_width),
            Projector(width, config.language.hidden_size),
            LanguageModel(config.language),
            CLIPVisionModel(config.vision),
        )


def _check_key(
    key: str,
    tensor: Tensor,
    source: str,
    shapes: Mapping[str, tuple[int, ...]],
    seen: dict[str, str],
) -> None:
    if key not in shapes:
        raise CheckpointError(f'{source}: {key}: unexpected key; the published layout has no such')
    if key in seen:
        raise CheckpointError(f'{source}: {key}: found a second time, first in {seen[key]}')
    if tuple(tensor.shape) != shapes[key]:
        raise CheckpointError(
            f'{source}: {key}: expected shape {shapes[key]}, got {tuple(tensor.shape)}'
        )
    seen[key] = source


def _set_weight(
    root: nn.Module,
    name: str,
    tensor: Tensor,
    device: torch.device,
    dtype: torch.dtype,
    quantization: str,
) -> int:
    """Put a tensor in its place. Returns the bytes it takes there."""
    owner, _, leaf = name.rpartition('.')
    module = root.get_submodule(owner)
    if quantization != 'none' and is_quantized(module, name):
        weight = tensor.to(dtype=dtype, copy=True)
        layer = quantized_linear(weight, module.bias, quantization, device)
        root.set_submodule(owner, layer)
        return stored_bytes(layer)
    copy = tensor.to(device=device, dtype=dtype, copy=True)
    setattr(module, leaf, nn.Parameter(copy, requires_grad=False))
    return copy.nbytes


def _finish(
    config: ModelConfig,
    targets: Mapping[str, _Target | None],
    fingerprint: Fingerprint,
    device: torch.device,
    loaded_bytes: int,
) -> Modules:
    loaded = {p: t.module.eval() if t else None for p, t in targets.items()}
    for module in (loaded[TOWER], loaded['']):
        if module is not None:
            module.restore_buffers(device)
    named = {TOWER: 'encoder', ATTENTION: 'semantic attention', PROJECTOR: 'projector'}
    names = [named.get(p, 'language model') for p, module in loaded.items() if module is not None]
    return Modules(
        config=config,
        encoder_id=fingerprint.hexdigest(),
        encoder=loaded[TOWER],
        attention=loaded[ATTENTION],
        projector=loaded[PROJECTOR],
        language_model=loaded[''],
        report=f'{", ".join(names)} ({loaded_bytes / 1e9:.2f} GB on {device})',
    )


def _all_tensors(
    folder: Path, tower_folder: Path | None, tower_name: str
) -> Iterable[NamedTensor]:
    """Tensors of the checkpoint, then of its vision tower where it holds none itself."""
    has_tower = False
    for key, tensor, source in read_tensors(folder):
        has_tower = has_tower or key.startswith(TOWER)
        yield NamedTensor(key, tensor, source)
    if has_tower:
        return
    yield from read_tower(tower_folder or resolve_folder(tower_name))


def read_tower(folder: Path) -> Iterator[NamedTensor]:
    """Read a vision tower that lies apart, by the keys it would have in a checkpoint.

    :param folder: of a CLIP as transformers saves it: whole, where a text model lies beside the
        tower; or the tower alone, whose keys begin with ``vision_model.`` before transformers 5.
    :raises CheckpointError: a file is missing or damaged.
    """
    for key, tensor, source in read_tensors(folder):
        name = key.removeprefix('vision_model.')
        if name != key or name.startswith(_TOWER_PARTS):
            yield NamedTensor(TOWER + name, tensor, source)
