# SPDX-License-Identifier: Apache-2.0
"""The part of Flash-VStream that is trained: semantic attention, projector, language model."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from flash_vstream_ros.core.checkpoint import ATTENTION, PROJECTOR, Modules
from flash_vstream_ros.training.memory_loop import attend_streams, round_to_float16
from flash_vstream_ros.training.sequences import NO_LABEL
from flash_vstream_ros.training.turn_attention import NAME as TURN_ATTENTION
from flash_vstream_ros.training.turn_attention import find_places

_KEYS = {'attention.': ATTENTION, 'projector.': PROJECTOR, 'llama.': ''}


class Loss(NamedTuple):
    """Summed negative log-probability (natural) of the labels, and how many they are."""

    total: Tensor
    labels: Tensor


class TrainedModel(nn.Module):
    """Reads memory and questions, returns how improbable the right answers are.

    :param modules: a loaded checkpoint, language part and semantic attention.
    :param trainable: which parts, of those of stage 2, are trained; the others keep their weights.
    """

    _no_split_modules = ('LlamaDecoderLayer',)  # what FSDP wraps, as Accelerate asks for it

    def __init__(self, modules: Modules, trainable: Iterable[str]) -> None:
        super().__init__()
        geometry = modules.config.geometry
        self._slots, self._update_ratio = geometry.abstract_slots, geometry.update_ratio
        self.attention = modules.attention
        self.projector = modules.projector
        self.llama = modules.language_model.llama
        parts = {'attention': self.attention, 'projector': self.projector}
        parts['language_model'] = self.llama
        for name in trainable:
            parts[name].requires_grad_(True)
        # The checkpoint holds more than the memory uses; DDP would wait for gradients for ever.
        for unused in ('v_proj', 'out_proj', 'out_ln'):
            getattr(self.attention, unused).requires_grad_(False)

    def forward(self, batch: dict[str, Any]) -> Loss:
        """Compute the loss.

        :param batch: of :func:`~flash_vstream_ros.training.sequences.make_batch`.
        """
        tokens = self.projector(self._memory(batch['pooled'], batch['fixed']))  # (sum of N, E)
        embeddings = self.llama.get_input_embeddings()(batch['ids'])  # (B, L, E)
        place = batch['is_memory'][..., None]
        embeddings = embeddings.masked_scatter(place, tokens.to(embeddings.dtype))
        hidden = self._read(embeddings, batch)
        labels = batch['labels'][:, 1:]
        chosen = labels != NO_LABEL
        logits = self.llama.lm_head(hidden[:, :-1][chosen]).float()  # (labels, V)
        total = functional.cross_entropy(logits, labels[chosen], reduction='sum')
        return Loss(total + self._nothing(), chosen.sum())

    def _read(self, embeddings: Tensor, batch: dict[str, Any]) -> Tensor:
        """Run the decoder, (B, L, E) -> (B, L, E)."""
        places = find_places(batch['turns'])
        arguments = {'position_ids': batch['positions'], 'use_cache': False}
        if places is not None:  # independent turns
            self.llama.model.set_attn_implementation(TURN_ATTENTION)
            # A mask of four dimensions is not replaced by a causal one of L x L.
            nothing = embeddings.new_zeros(len(embeddings), 1, 1, 1)
            arguments |= {'places': places, 'attention_mask': nothing}
        else:
            self.llama.model.set_attn_implementation('sdpa')
        return self.llama.model(inputs_embeds=embeddings, **arguments).last_hidden_state

    def _memory(self, pooled: list[Tensor], fixed: list[Tensor]) -> Tensor:
        """All memory tokens of a batch, one stream after the other, rounded as a message."""
        weight = self.attention.q_proj.weight
        # As in streaming, memory arithmetic is float32 whatever the language model computes in.
        with torch.autocast(weight.device.type, enabled=False):
            streams = [stream.to(weight.dtype) for stream in pooled]
            abstract = attend_streams(streams, self.attention, self._slots, self._update_ratio)
            pairs = zip(abstract, fixed, strict=True)
            tokens = [t for a, f in pairs for t in (round_to_float16(a), f.to(weight.dtype))]
            return torch.cat(tokens).to(self.projector[0].weight.dtype)

    def _nothing(self) -> Tensor:
        """Zero, with a gradient of zero for attention and projector.

        Short streams do not pass through semantic attention, text alone not through the
        projector; DDP waits for a gradient of every trained weight.
        """
        small = (*self.attention.parameters(), *self.projector.parameters())
        return sum(p.float().sum() for p in small if p.requires_grad) * 0.0


def published_tensors(
    state: dict[str, Tensor], dtype: torch.dtype
) -> Iterator[tuple[str, Tensor]]:
    """A :class:`TrainedModel`'s state under the keys of the published layout.

    :param dtype: the type it is saved in.
    """
    for name, tensor in state.items():
        prefix = next(prefix for prefix in _KEYS if name.startswith(prefix))
        key = _KEYS[prefix] + name.removeprefix(prefix)
        # A copy: what FSDP gathers on the CPU is no plain tensor.
        yield key, tensor.detach().to('cpu', dtype, copy=True).contiguous()
