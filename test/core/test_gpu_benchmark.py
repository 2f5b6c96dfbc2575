# SPDX-License-Identifier: Apache-2.0
"""The benchmark for a GPU runs, and says what is wanted; here on the CPU."""

import pytest
import torch
from benchmark_modules import floors, gpu, gpu_targets
from torch import nn

from flash_vstream_ros.core import static_passes
from flash_vstream_ros.core.quantization import quantization_of
from flash_vstream_ros.core.random_checkpoint import random_vstream

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def rates():
    return floors.Rates.measured(CPU, torch.float32, side=8, size=1000)


def test_the_gpu_benchmark_runs_on_the_cpu(vstream, rates, monkeypatch):
    monkeypatch.setattr(gpu, 'FRAME_SHAPE', (48, 64, 3))
    monkeypatch.setattr(gpu, 'BATCH', 2)
    monkeypatch.setattr(gpu, 'NEW_TOKENS', 3)
    monkeypatch.setattr(static_passes, 'compiled', lambda plain: plain)
    bench = gpu.Bench(vstream, torch.float32, rates, rounds=1)
    figures = [
        *bench.measure_perception(), *bench.measure_memory(), *bench.measure_answers('plain'),
        *bench.measure_decoding(),
    ]  # fmt: skip
    names = {figure.name for figure in figures}
    assert {'encode and write, batch 1', 'plain: cold: first token'} <= names
    assert {'plain: prepared: 3 tokens', 'plain: answers one by one / at once'} <= names
    found = gpu_targets.with_targets(figures, 'none')
    assert sum(bool(figure.target) for figure in found if 'shortest' not in figure.name) == 7
    assert all(figure.value > 0 for figure in figures if 'differ' not in figure.name)


def test_gpu_memory_is_asked_for_at_both_ages(vstream, rates, monkeypatch):
    """The one part of it that needs a GPU, with CUDA's counters replaced."""
    resets = []
    monkeypatch.setattr(gpu, 'FRAME_SHAPE', (48, 64, 3))
    monkeypatch.setattr(gpu, 'YOUNG_FRAMES', 2)
    monkeypatch.setattr(torch.cuda, 'reset_peak_memory_stats', resets.append)
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda device: 10**9 * len(resets))
    figures = gpu.Bench(vstream, torch.float32, rates, rounds=1).measure_peaks(frames=4)
    assert [figure.value for figure in figures] == [1.0, 2.0]
    assert [figure.name[-2:] for figure in figures] == [' 2', ' 4']


def test_what_is_wanted_of_a_gpu_is_said_beside_what_it_reached():
    wanted = {
        'encode and write, batch 1': 'at least 400',
        'encode and write, batch 1, captured': 'at least 400',
        'encode and write, batch 32': 'at least 2000',
        'encode and write one frame': '',
        'memory: write, waited for, captured': 'at most 0.1',
        'graph: prepared: first token': 'at most 10',
        'plain: cold: first token': 'at most 30',
        'graph: answer, prepared / a read of the weights for each token': 'at most 1.25',
        'graph: 64 tokens: transformers.generate / graph': 'at least 3',
        'graph: 64 tokens: transformers.generate / plain': '',
        'graph: answers one by one / at once': 'at least 5',
        'peak GPU memory at frame 100,000': 'at most 6',
    }
    figures = [gpu.Figure(name, 1.0, '') for name in wanted]
    found = gpu_targets.with_targets(figures, 'nf4')
    assert {figure.name: figure.target for figure in found} == wanted
    (peak,) = gpu_targets.with_targets(figures[-1:], 'none')
    assert peak.target == 'at most 15'


def test_a_model_is_put_into_4_bits_where_it_lies():
    pytest.importorskip('bitsandbytes')
    vstream = random_vstream('tiny', CPU, torch.float32)
    before = sum(map(floors.parameter_bytes, vstream.language_model.llama.model.layers))
    assert gpu.in_fewer_bits(vstream, 'nf4') is vstream
    assert quantization_of(vstream.language_model) == 'nf4'
    layers = vstream.language_model.llama.model.layers
    linear = [each for each in layers.modules() if isinstance(each, nn.Linear)]
    assert all(type(each) is not nn.Linear for each in linear)
    assert sum(map(floors.parameter_bytes, layers)) < before / 6
