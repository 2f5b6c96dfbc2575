# SPDX-License-Identifier: Apache-2.0
"""Runs scenes on a fake GPU and prints, as JSON, what crossed between it and the host in each.

    python3 fake_cuda_scenes.py

A process of its own, because what lets it have a fake GPU cannot be taken back.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from fake_cuda import CUDA, Crossings, install
from language_models import WIDTH, small_language_model
from memory_samples import SMALL
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import CLIPVisionConfig

from flash_vstream_ros.core import static_passes
from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.encoder import Encoder, whole_picture
from flash_vstream_ros.core.growing_cache import GrowingCache
from flash_vstream_ros.core.language_model import GREEDY, LanguageModel, Prefix, Sampling
from flash_vstream_ros.core.star_memory import StarMemory

Scenes = dict[str, Callable[[], object]]
CHOICES = ([3], [4, 5], [6, 7, 8])


def memory_of(half_life: float = 0.0) -> StarMemory:
    """A memory on the GPU."""
    with CUDA:
        attention = SemanticAttention(SMALL.feature_width, hidden=8)
    geometry = replace(SMALL, temporal_half_life=half_life)
    return StarMemory(geometry, attention, 'encoder', CUDA)


def encoder() -> Encoder:
    """An encoder on the GPU."""
    sizes = {'hidden_size': 16, 'intermediate_size': 32, 'image_size': 28, 'patch_size': 14}
    with CUDA:
        encoder = Encoder(CLIPVisionConfig(**sizes, num_hidden_layers=3, num_attention_heads=2))
    encoder.restore_buffers(CUDA)
    return encoder.eval()


def language_model() -> LanguageModel:
    """A language model on the GPU."""
    with CUDA:
        model = small_language_model()
    model.restore_buffers(CUDA)
    return model


def perceiving() -> Scenes:
    """Frames and memories."""
    memory, fading, tower = memory_of(), memory_of(5.0), encoder()
    feature = torch.zeros_like(memory._feature, dtype=torch.bfloat16)
    pixels = torch.zeros(2, 3, tower.image_size, tower.image_size, device=CUDA)
    frame = torch.zeros(48, 64, 3, dtype=torch.uint8)
    tower.preprocess(frame)  # CLIP's colours are sent once
    return {
        'commit': memory._commit,
        'commit that fades': fading._commit,
        'write': lambda: memory.write(feature, 5),
        'whole picture': lambda: whole_picture(feature),
        'encode': lambda: tower.encode(pixels),
        'encode a frame of the host': lambda: tower(frame[None]),
    }


def answering() -> Scenes:
    """Passes of the language model."""
    model = language_model()
    prefix = model.prefill_prefix(torch.zeros(30, WIDTH, device=CUDA))
    cache = GrowingCache(len(prefix.layers))
    cache.append(prefix.layers)
    numbers = torch.zeros(6, 4, dtype=torch.int64, device=CUDA)
    owners = torch.zeros(cache.capacity, dtype=torch.int64, device=CUDA)
    return {
        'captured pass': lambda: static_passes._read(
            model.llama, numbers[:5], numbers[5], owners, cache.buffers
        ),
        'plain: question': lambda: step(ContinuousBatch(model), prefix, 1),
        'plain: question and two tokens': lambda: step(ContinuousBatch(model), prefix, 3),
        'alone: question': lambda: speak_alone(model, prefix, 1),
        'alone: question and two tokens': lambda: speak_alone(model, prefix, 3),
        'drawn: question': lambda: speak_alone(model, prefix, 1, drawn()),
        'drawn: question and two tokens': lambda: speak_alone(model, prefix, 3, drawn()),
        'alone: choices': lambda: next(model.score_each(prefix, [1, 2], CHOICES)),
        'together: choices': lambda: step(ContinuousBatch(model), prefix, 1, CHOICES),
    }


def drawn() -> Sampling:
    """Tokens that are drawn."""
    return Sampling(temperature=0.7, top_p=0.9, generator=torch.Generator())


def step(batch: ContinuousBatch, prefix: Prefix, steps: int, choices: Any = None) -> None:
    """Ask, and let so many passes be run."""
    if choices is None:
        batch.speak(prefix, [1] * 5, GREEDY, 9)
    else:
        batch.score_each(prefix, [1] * 5, choices)
    for _ in range(steps):
        batch.step()


def speak_alone(
    model: LanguageModel, prefix: Prefix, tokens: int, sampling: Sampling = GREEDY
) -> None:
    """Ask without a batch."""
    list(model.speak(prefix, [1] * 5, sampling, tokens))


def watch(scene: Callable[[], object]) -> dict[str, Any]:
    """Run one scene."""
    with Crossings() as crossings:
        scene()
    return {
        'waits': crossings.waits,
        'uploads': crossings.uploads,
        'kernels': crossings.kernels.total(),
    }


def main() -> int:
    """Run all of them."""
    fault = install()
    found = {}
    if not fault:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            scenes = perceiving() | answering()
            found = {name: watch(scene) for name, scene in scenes.items()}
    sys.stdout.write(json.dumps({'fault': fault, 'scenes': found}) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
