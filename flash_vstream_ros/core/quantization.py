# SPDX-License-Identifier: Apache-2.0
"""Weights of the language model in 8 or 4 bits, by bitsandbytes.

The linear layers of the decoder become bitsandbytes' own, one by one as the checkpoint is read, so
that the whole model never lies on the device in more bits. Embeddings, norms and the last layer,
which chooses the words, keep their type. It was chosen because one library does both widths on
NVIDIA GPUs (Jetson among them) and on CPUs, without a compilation at each start.
"""

import logging
import warnings
from types import ModuleType

import torch
from torch import Tensor, nn

from flash_vstream_ros.core.config import QUANTIZATIONS

_KINDS = {'Linear8bitLt': 'int8', 'Linear4bit': 'nf4'}  # bitsandbytes' classes
_OUTLIER = 6.0  # LLM.int8 (arXiv 2208.07339): features above are multiplied in 16 bits


def check_quantization(quantization: str) -> None:
    """Check that weights can be made of this kind here.

    :param quantization: one of ``none``, ``int8`` (LLM.int8, arXiv 2208.07339) and ``nf4``
        (QLoRA's, arXiv 2305.14314).
    :raises ValueError: there is no such kind, or bitsandbytes is not there or does not work.
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(f'quantization: expected one of {QUANTIZATIONS}, got {quantization!r}')
    if quantization != 'none':
        _library()


def is_quantized(owner: nn.Module, name: str) -> bool:
    """Whether the weight of a layer is one that is stored in fewer bits.

    :param name: of the parameter, as the checkpoint has it.
    """
    return isinstance(owner, nn.Linear) and name.endswith('.weight') and '.layers.' in name


def quantized_linear(
    weight: Tensor, bias: nn.Parameter | None, quantization: str, device: torch.device
) -> nn.Module:
    """Make a linear layer of fewer bits.

    :param weight: (M, N), on the CPU, in the type that the layer computes in.
    :param bias: as it is, also one that has no storage yet.
    :param quantization: ``int8`` or ``nf4``.
    :returns: the layer, on the device.
    """
    library = _library()
    shape = (weight.shape[1], weight.shape[0])
    if quantization == 'int8':
        layer = library.nn.Linear8bitLt(
            *shape, bias=False, has_fp16_weights=False, threshold=_OUTLIER, device='meta'
        )
        layer.weight = library.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    else:
        layer = library.nn.Linear4bit(
            *shape, bias=False, compute_dtype=weight.dtype, quant_type='nf4', device='meta'
        )
        layer.weight = library.nn.Params4bit(weight, requires_grad=False, quant_type='nf4')
    layer = layer.to(device).eval()
    layer.bias = bias
    return layer


def quantization_of(model: nn.Module) -> str:
    """Of which kind a model's layers are: ``int8``, ``nf4`` or ``none``."""
    kinds = {_KINDS.get(type(layer).__name__, 'none') for layer in model.modules()}
    return next(iter(kinds - {'none'}), 'none')


def stored_bytes(layer: nn.Module) -> int:
    """What the weights of such a layer take, scales included."""
    state = layer.state_dict()
    return sum(value.nbytes for value in state.values() if isinstance(value, Tensor))


def _library() -> ModuleType:
    # It looks for faster kernels that would have to be downloaded, and says so each time.
    logging.getLogger('bitsandbytes').setLevel(logging.ERROR)
    warnings.filterwarnings('ignore', message='MatMul8bitLt: inputs will be cast')
    try:
        import bitsandbytes  # only who asks for fewer bits needs it
    except Exception as error:  # of its own libraries as well
        raise ValueError(
            f'quantization: bitsandbytes cannot be used here: {error!r}; install it '
            f'(LEAVE=numpy scripts/install_locked.sh python quantization), or choose '
            f'quantization none'
        ) from error
    return bitsandbytes
