# SPDX-License-Identifier: Apache-2.0
"""Training with ``compile`` is the same training."""

import shutil

import pytest
import torch

from flash_vstream_ros.training.config import DataSource, TrainingConfig
from flash_vstream_ros.training.tuning import TuningJob


def job(checkpoint, data, tmp_path, compiled):
    source = DataSource(questions=str(data / 'questions.json'), features=str(data / 'features'))
    config = TrainingConfig(
        stage=2,
        init=str(checkpoint),
        out=str(tmp_path / 'run'),
        data=(source,),
        memory_cache=str(tmp_path / 'memory'),
        max_length=500,
        compile=compiled,
    )
    return TuningJob(config)


@pytest.fixture
def jobs(checkpoint, data, tmp_path):
    torch.compiler.reset()
    yield [job(checkpoint, data, tmp_path, compiled) for compiled in (False, True)]
    torch.compiler.reset()


@pytest.mark.skipif(shutil.which('g++') is None, reason='torch.compile needs a C++ compiler')
def test_a_compiled_model_has_the_same_losses_gradients_and_names(jobs):
    plain, compiled = jobs
    assert list(plain.model.state_dict()) == list(compiled.model.state_dict())
    graphs = torch._dynamo.utils.counters['stats']
    before = graphs['unique_graphs']
    totals = []
    for each in jobs:
        total = each.model(each.collate([each.data[row] for row in (0, 1)])).total
        total.backward()
        totals.append(total.item())
    assert totals[1] == pytest.approx(totals[0], rel=1e-5)
    assert graphs['unique_graphs'] > before  # it was compiled, not passed by
    pairs = zip(plain.model.named_parameters(), compiled.model.parameters(), strict=True)
    for (name, one), other in pairs:
        if one.grad is not None:
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-4, msg=name)
