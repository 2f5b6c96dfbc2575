# SPDX-License-Identifier: Apache-2.0
"""One command and one seed give the same weights, wherever the memories come from."""

import json

import pytest
import torch
from safetensors.torch import load_file

from flash_vstream_ros.data.features import write_features

S = 1_000_000_000
FRAMES = 123
WIDTH = 40


@pytest.fixture
def source(tmp_path):
    """A stream of two minutes, asked about at moments that leave blocks unfinished."""
    generator = torch.Generator().manual_seed(5)
    feature = torch.randn(FRAMES, 16, WIDTH, generator=generator)
    stamps_ns = [S + i * S for i in range(FRAMES)]
    write_features(tmp_path / 'features/long.safetensors', feature, stamps_ns, {})
    entries = [
        {
            'id': at_s,
            'video_name': 'long',
            'question': 'What is here?',
            'answer': 'a red cup',
            'answer_type': 'Scene Summary',
            'end_time': at_s,
        }
        for at_s in (61, 122)  # their memories lie at odd addresses of their file
    ]
    (tmp_path / 'long.json').write_text(json.dumps(entries))
    return {'questions': str(tmp_path / 'long.json'), 'features': str(tmp_path / 'features')}


def weights(folder):
    files = (folder / 'checkpoint').glob('*.safetensors')
    return {key: tensor for file in files for key, tensor in load_file(file).items()}


def test_cold_cache_warm_cache_and_a_worker_give_the_same_bits(run, source, tmp_path):
    common = {'data': [source], 'steps': 3, 'save_every': 0}
    shared = str(tmp_path / 'cache')
    cold = weights(run('cold', memory_cache=shared, **common))
    for name, changes in (
        ('warm', {'memory_cache': shared}),
        ('worker', {'memory_cache': str(tmp_path / 'of_worker'), 'workers': 1}),
    ):
        other = weights(run(name, **common, **changes))
        assert [key for key in cold if not torch.equal(cold[key], other[key])] == []
