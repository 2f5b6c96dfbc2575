# SPDX-License-Identifier: Apache-2.0
"""Small streams, question files and records for the tests of the evaluation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.evaluation.inputs import Source

S = 1_000_000_000
# A few slots, a buffer that wraps around soon, and sides that all differ: 88 tokens.
SMALL = MemoryGeometry(
    feature_width=6,
    feature_side=8,
    abstract_slots=4,
    temporal_slots=5,
    temporal_side=2,
    retrieved_slots=3,
    spatial_slots=1,
    detail_side=4,
    buffer_frames=16,
)


def make_source(geometry: MemoryGeometry = SMALL) -> Source:
    generator = torch.Generator().manual_seed(11)
    attention = SemanticAttention(geometry.feature_width, hidden=8).requires_grad_(False)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.7, generator=generator)
    return Source(geometry, attention, 'encoder')


def scenes(count: int, geometry: MemoryGeometry = SMALL, seed: int = 0) -> Tensor:
    """A robot's rounds: a few places, each seen for some frames, again and again, with noise.

    :returns: (count, P, P, D) float32 that float16 holds exactly, as a feature file would.
    """
    shape = (geometry.feature_side, geometry.feature_side, geometry.feature_width)
    generator = torch.Generator().manual_seed(seed)
    places = torch.randn(7, *shape, generator=generator)
    random = np.random.default_rng(seed)
    visits: list[int] = []
    while len(visits) < count:
        visits += [int(random.integers(len(places)))] * int(random.integers(1, 9))
    noise = torch.randn(count, *shape, generator=generator)
    return (places[torch.tensor(visits[:count])] + 0.2 * noise).half().float()


def feed(shown: Any, features: Tensor, first_ns: int = 5 * S) -> None:
    """Write frames a second apart."""
    for number, feature in enumerate(features):
        shown.write(feature, first_ns + number * S)


def entry(number: int = 0, video: str = 'walk', **changes: Any) -> dict[str, Any]:
    """An entry of a question file, as the simulator writes it."""
    return {
        'id': f'{video}_{number:02d}',
        'video_id': video,
        'video_name': video,
        'question': 'Was the red cup picked up in the kitchen?',
        'answer': 'yes',
        'answer_type': 'Event Occurrence',
        'start_time': 0.0,
        'end_time': 10.5,
        'gt_duration': 10.5,
        'duration': 40.0,
        'answerable': True,
        'choices': ['yes', 'no'],
        'event_times': [[2.0, 5.0]],
    } | changes


def write_json(path: Path, entries: list) -> Path:
    """A list with one entry a line, of which the first is line 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('[\n' + ',\n'.join(map(json.dumps, entries)) + '\n]\n')
    return path


def write_features(path: Path, features: Tensor, stamps: bool = True, **about: str) -> Path:
    """A feature file of (T, P, P, D), with or without stamps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {'feature': features.flatten(1, 2).half().contiguous()}
    if stamps:
        tensors['stamps_ns'] = torch.arange(len(features)) * S + 5 * S
    save_file(tensors, path, {'sample_rate': '1.0', **about})
    return path


def record(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A line of results."""
    return {
        'input': 'star',
        'set': 'questions',
        'id': f'walk_{number:02d}',
        'video': 'walk',
        'type': 'Event Occurrence',
        'group': 'closed',
        'at': 10.5,
        'question': 'Was the red cup picked up in the kitchen?',
        'choices': ['yes', 'no'],
        'answer': 'yes',
        'truth': 'yes',
        'correct': True,
        'choice_probabilities': [0.8, 0.2],
        'event_age': 5.5,
        'finish_reason': 'choice',
        'mean_log_probability': -0.1,
        'prompt_tokens': 100,
        'answer_tokens': 2,
        'time_to_first_token': 0.01,
        'total_time': 0.02,
        'kept': [{'frames': 4, 'share': 0.75, 'purity': 0.5, 'own_share': 0.75}],
        'kept_share': 0.75,
        'status': 'OK',
        'message': '',
        'frames_seen': 11,
        'tokens': 88,
        'read_time': 0.001,
    } | changes
