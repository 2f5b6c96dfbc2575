# SPDX-License-Identifier: Apache-2.0
"""Fingerprint of all that a memory's content depends on."""

import hashlib

import torch
from torch import Tensor

from flash_vstream_ros.core.model_config import ModelConfig

# Settings that change a tower's features but not its weights.
TOWER_VALUES = ('hidden_act', 'num_attention_heads', 'layer_norm_eps', 'image_size', 'patch_size')


class Fingerprint:
    """Names what a memory depends on: tower, semantic attention, geometry. 16 hex digits.

    Both nodes compute it from the checkpoint as stored, so that it does not depend on the dtype or
    device of either, nor on how the tensors are spread over files.

    :param prefixes: of the keys that count.
    """

    def __init__(self, config: ModelConfig, prefixes: tuple[str, ...]) -> None:
        self._prefixes = prefixes
        tower = {name: getattr(config.vision, name) for name in TOWER_VALUES}
        self._parts = [repr((config.geometry, config.select_layer, tower))]

    def add(self, key: str, tensor: Tensor) -> None:
        """Take in a tensor of the checkpoint, in any order."""
        if key.startswith(self._prefixes):
            data = tensor.contiguous().reshape(-1).view(torch.uint8).cpu().numpy()
            digest = hashlib.sha256(data).hexdigest()
            self._parts.append(f'{key} {tensor.dtype} {digest}')

    def hexdigest(self) -> str:
        """Return the fingerprint: 16 hexadecimal digits."""
        return hashlib.sha256('\n'.join(sorted(self._parts)).encode()).hexdigest()[:16]
