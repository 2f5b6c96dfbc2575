# SPDX-License-Identifier: Apache-2.0
"""Examples -> token ids, labels and what each token may see; padded batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flash_vstream_ros.core.prompt import Prompt
from flash_vstream_ros.data.conversations import Example
from flash_vstream_ros.training.memory_loop import MemoryTokens

NO_LABEL = -100  # what PyTorch's cross entropy leaves out
PADDING = -1  # the turn of a padding token; turn 0 is seen by all, others by themselves only


class TrainingPrompt(Prompt):
    """The prompt, with the later turns of a conversation, which streaming never has."""

    def later_turn(self, question: str) -> list[int]:
        """Token ids of a question that follows an answer, as Vicuna v1 writes it."""
        return self._pieces.encode(f'USER: {question} ASSISTANT:')


@dataclass(frozen=True)
class TrainingSequence:
    """One example as tokens, L long. Memory tokens hold a 0 that nobody reads.

    :param ids: (L,) int64 token ids.
    :param labels: (L,) int64, the id itself where it belongs to an answer, else NO_LABEL.
    :param turns: (L,) int64: 0 for what all following tokens see, else the number of a turn that
        sees turn 0 and itself.
    :param positions: (L,) int64 for the rotary embedding; each independent turn begins anew.
    :param is_memory: (L,) bool.
    :param cut: answers that did not fit whole.
    """

    ids: Tensor
    labels: Tensor
    turns: Tensor
    positions: Tensor
    is_memory: Tensor
    cut: int


def make_sequence(
    prompt: TrainingPrompt, example: Example, memory_tokens: int, max_length: int
) -> TrainingSequence:
    """Lay an example out as inference would read it.

    :param max_length: tokens that one answer's context may have, itself included; what lies
        beyond is cut off.
    :raises RequestError: a question or an answer is no Unicode text.
    """
    before = prompt.before_memory()
    prefix = len(before) + memory_tokens
    ids, labels = before + [0] * memory_tokens, [NO_LABEL] * prefix
    turns, positions, cut = [0] * prefix, list(range(prefix)), 0
    for number, (question, answer) in enumerate(example.turns, start=1):
        is_first = example.independent or number == 1
        asked = prompt.after_memory(question) if is_first else prompt.later_turn(question)
        said = prompt.choice(answer)
        begin = prefix if example.independent else len(ids)
        room = max(0, max_length - begin)
        cut += len(asked) + len(said) > room
        new = (asked + said)[:room]
        ids += new
        labels += ([NO_LABEL] * len(asked) + said)[:room]
        turns += [number if example.independent else 0] * len(new)
        positions += range(begin, begin + len(new))
    is_memory = [False] * len(before) + [True] * memory_tokens + [False] * (len(ids) - prefix)
    return TrainingSequence(*map(torch.tensor, (ids, labels, turns, positions, is_memory)), cut)


def make_batch(
    sequences: Sequence[TrainingSequence], memories: Sequence[MemoryTokens]
) -> dict[str, Any]:
    """Pad sequences to the longest and put their memories beside them.

    :returns: ``ids``, ``labels``, ``turns``, ``positions``, ``is_memory`` (B, L); ``pooled``,
        ``fixed``: lists of B.
    """
    fill = {'ids': 0, 'labels': NO_LABEL, 'turns': PADDING, 'positions': 0, 'is_memory': False}
    longest = max(len(sequence.ids) for sequence in sequences)
    batch: dict[str, Any] = {}
    for name, value in fill.items():
        rows = [getattr(sequence, name) for sequence in sequences]
        batch[name] = torch.full((len(rows), longest), value, dtype=rows[0].dtype)
        for target, row in zip(batch[name], rows, strict=True):
            target[: len(row)] = row
    batch['pooled'] = [memory.pooled for memory in memories]
    batch['fixed'] = [memory.fixed for memory in memories]
    return batch
