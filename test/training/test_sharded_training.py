# SPDX-License-Identifier: Apache-2.0
"""Training whose weights are shared out among processes, with FSDP2 on the CPU."""

import os
from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_processes import run_pair

from flash_vstream_ros.core.checkpoint_files import read_tensors
from flash_vstream_ros.training import tuning

# As accelerate launch sets it, with the options that the configuration of the 7B names.
SHARDED = {
    'ACCELERATE_USE_FSDP': 'true',
    'FSDP_VERSION': '2',
    'FSDP_AUTO_WRAP_POLICY': 'TRANSFORMER_BASED_WRAP',
    'FSDP_STATE_DICT_TYPE': 'SHARDED_STATE_DICT',
    'FSDP_CPU_RAM_EFFICIENT_LOADING': 'true',
    'FSDP_SYNC_MODULE_STATES': 'true',
}


def shard_on_cpus() -> None:
    """Let Accelerate share out among CPUs, too; and note on which device weights are loaded."""
    PartialState(cpu=True)
    PartialState._shared_state['distributed_type'] = DistributedType.MULTI_GPU
    loading = tuning.load_checkpoint

    def noted(source, device, dtype):
        Path(os.environ['NOTES'], os.environ['RANK']).write_text(device.type)
        return loading(source, device, dtype)

    tuning.load_checkpoint = noted


def scalars(run: Path, name: str) -> list[float]:
    log = EventAccumulator(str(run / 'logs'))
    log.Reload()
    return [event.value for event in log.Scalars(name)]


@pytest.mark.parametrize('precision', ['no', 'bf16'])
def test_shared_out_a_model_learns_what_it_learns_whole(run, write_config, tmp_path, precision):
    """Memory, loss and sums of gradients in float32 there as well; one process has the weights."""
    values = {'micro_batch': 2, 'precision': precision, 'steps': 3}
    whole = run('whole', **values)
    command = ['train', '--stage', '2', '--config', str(write_config('shared', **values))]
    assert run_pair(command, SHARDED | {'NOTES': str(tmp_path)}, shard_on_cpus) == [0, 0]
    assert [(tmp_path / rank).read_text() for rank in '01'] == ['cpu', 'meta']
    for name in ('loss', 'gradient_norm'):
        expected = scalars(whole, name)
        assert scalars(tmp_path / 'shared', name) == pytest.approx(expected, rel=1e-5)
    one, two = (
        {key: tensor for key, tensor, _ in read_tensors(folder / 'checkpoint')}
        for folder in (whole, tmp_path / 'shared')
    )
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=0, atol=1e-5)
