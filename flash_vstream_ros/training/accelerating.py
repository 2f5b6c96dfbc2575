# SPDX-License-Identifier: Apache-2.0
"""What knows of devices, processes and precision, for a training run."""

import logging

from accelerate import Accelerator
from accelerate.utils import AutocastKwargs, DistributedType

from flash_vstream_ros.core.devices import multiplies_bfloat16
from flash_vstream_ros.training.config import RunConfig

logger = logging.getLogger(__name__)


def make_accelerator(config: RunConfig) -> Accelerator:
    """Make what knows of devices, processes and precision.

    :raises ValueError: the device does not know the precision.
    """
    # The steps to accumulate depend on the number of processes, which the first one finds out.
    accelerator = Accelerator(
        mixed_precision=config.precision,
        log_with='tensorboard',
        project_dir=config.out,
        # A pass reads each weight once: kept until its end, their casts would only take memory.
        kwargs_handlers=[AutocastKwargs(cache_enabled=False)],
    )
    if config.precision == 'fp16' and accelerator.device.type == 'cpu':
        raise ValueError('precision: expected bf16 or no on a CPU, got fp16')
    is_slow = config.precision == 'bf16' and not multiplies_bfloat16(accelerator.device)
    if is_slow and accelerator.is_main_process:
        logger.warning(
            'precision: bf16 is several times as slow as no on this CPU, which has no '
            'instructions for it; give --set precision=no'
        )
    stride = config.micro_batch * accelerator.num_processes
    accelerator.gradient_accumulation_steps = max(1, config.global_batch // stride)
    if accelerator.distributed_type == DistributedType.FSDP:
        # It would cast memory arithmetic, loss and sums of gradients as well. Autocast does not.
        accelerator.state.fsdp_plugin.mixed_precision_policy = None
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        settings = accelerator.state.deepspeed_plugin.deepspeed_config
        settings |= {
            'train_micro_batch_size_per_gpu': config.micro_batch,
            'gradient_accumulation_steps': accelerator.gradient_accumulation_steps,
            'gradient_clipping': config.max_grad_norm,
        }
        zero = settings.setdefault('zero_optimization', {})
        zero['stage3_gather_16bit_weights_on_model_save'] = True  # or nothing could be saved
    return accelerator
