# SPDX-License-Identifier: Apache-2.0
"""Continuous batching: several answers at once, a token of each in one pass of the model.

All of them lie side by side in one row, each blind to the others. What comes before the question
is there once, for all questions about one snapshot, and read once a pass; so are the weights,
which is what a token costs. A question joins before any pass and leaves after any.
"""

import itertools
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

from flash_vstream_ros.core.branches import (
    Branch,
    GeneratedAnswer,
    PassResult,
    ScoredChoices,
    Text,
)
from flash_vstream_ros.core.devices import send
from flash_vstream_ros.core.growing_cache import GrowingCache
from flash_vstream_ros.core.language_model import (
    MOST_BRANCH_TOKENS,
    LanguageModel,
    Prefix,
    Sampling,
    likeliest_of,
)
from flash_vstream_ros.core.static_passes import StaticPasses, hide

_MOST_DEAD = 256  # tokens nobody sees any more, before they are dropped


class ContinuousBatch:
    """Answers on their way, and the keys and values of all they have read.

    :param model: for one thread at a time.
    :param static: for passes of a token of each answer; None: they are as any other.
    """

    shares_passes = True  # a failure is everyone's

    def __init__(self, model: LanguageModel, static: StaticPasses | None = None) -> None:
        self._model = model
        self._static = static
        self._branches: list[Branch] = []
        self._segments = 0
        weight = model.llama.get_input_embeddings().weight
        self._nothing = PassResult(torch.zeros(0, weight.shape[0], device=weight.device), None)
        self.clear()
        if static is not None:
            static.warm_up(self._cache)
            self._begin_anew()

    @property
    def decoding(self) -> str:
        """How its passes are run: ``plain``, ``graph`` or ``compiled``, and why not, if not."""
        return 'plain' if self._static is None else self._static.state

    def __len__(self) -> int:
        """Answers on their way."""
        return len(self._branches)

    @property
    def tokens(self) -> int:
        """Tokens whose keys and values it holds."""
        return len(self._owners)

    def clear(self) -> None:
        """Forget all, also after a pass that failed; the device's memory is for others then."""
        self._forget()
        if self._static is not None:
            self._static.release()
        rooms = self._static.rooms if self._static is not None else ()
        self._cache = GrowingCache(self._model.llama.config.num_hidden_layers, rooms)

    def _begin_anew(self) -> None:
        """Forget all, but keep the buffers that passes were made for, if they are no giants."""
        is_static = self._static is not None and not self._static.fault
        is_fit = is_static and 0 < self._cache.capacity <= max(self._static.rooms)
        if is_fit and self._cache.is_even:
            self._forget()
            self._cache.empty()
            self._static.begin_anew()
        else:
            self.clear()

    def _forget(self) -> None:
        self._branches.clear()
        self._prefixes: list[tuple[weakref.ref[Prefix], int]] = []
        self._owners = torch.zeros(0, dtype=torch.int64)  # the segment of each token in the cache

    def speak(
        self, prefix: Prefix, question_ids: Sequence[int], sampling: Sampling, most: int
    ) -> GeneratedAnswer:
        """Let an answer be spoken from the next pass on.

        :param prefix: of :meth:`LanguageModel.prefill_prefix`.
        :param most: tokens; none is computed behind them.
        """
        known = self._place(prefix)
        return self._join(
            GeneratedAnswer(self, known, prefix.length, question_ids, sampling, most)
        )

    def score_each(
        self, prefix: Prefix, question_ids: Sequence[int], answers: Sequence[Sequence[int]]
    ) -> ScoredChoices:
        """Let given answers be scored from the next pass on.

        :param answers: token ids, at least one each.
        """
        known = self._place(prefix)
        return self._join(ScoredChoices(self, known, prefix.length, question_ids, answers))

    def leave(self, branch: Branch) -> None:
        """Go on without an answer; one that has left already may leave again."""
        if branch in self._branches:
            self._branches.remove(branch)
            if not self._branches:
                self._begin_anew()

    @torch.no_grad()
    def step(self) -> None:
        """One pass of the model: reads the questions that joined, and a token of each answer.

        After an error of the model the batch must be cleared.
        """
        self._drop_dead()
        texts = self._next_texts()
        read = iter(self._read([text for _, own in texts for text in own]))
        found = [branch.reduce([next(read) for _ in own]) for branch, own in texts]
        if found:
            values = iter(torch.cat(found).tolist())  # one wait for the device
            for (branch, _), own in zip(texts, found, strict=True):
                branch.take([next(values) for _ in own])

    def _next_texts(self) -> list[tuple[Branch, list[Text]]]:
        """What the next pass reads: of all answers or as many as fit; the others come next."""
        texts, tokens, taken = [], 0, 0
        for branch in self._branches:
            if tokens >= MOST_BRANCH_TOKENS:
                break
            own = branch.texts()
            tokens += sum(len(text.ids) for text in own)
            taken += 1
            texts += [(branch, own)] if own else []
        self._branches = self._branches[taken:] + self._branches[:taken]
        return texts

    def new_segment(self) -> int:
        """A number that no tokens have yet."""
        self._segments += 1
        return self._segments

    def _join(self, branch: Branch) -> Branch:
        self._branches.append(branch)
        return branch

    def _place(self, prefix: Prefix) -> int:
        """The segment of a prefix, which is put into the cache if it is not there yet."""
        for known, segment in self._prefixes:
            if known() is prefix:
                return segment
        if self._branches:
            self._drop_dead(at_most=0)
        else:
            self._begin_anew()
        segment = self.new_segment()
        owners = torch.cat([self._owners, torch.full((prefix.length,), segment)])
        self._let_grow(prefix.length)
        self._cache.append(prefix.layers)  # last of what can fail: the others go on then
        self._owners = owners
        self._prefixes.append((weakref.ref(prefix), segment))
        return segment

    def _let_grow(self, tokens: int) -> None:
        """Get ready for so many more tokens in the cache."""
        if self._static is not None and not self._cache.has_room(tokens):
            self._static.release()

    def _drop_dead(self, at_most: int = _MOST_DEAD) -> None:
        """Drop what nobody sees any more, where it is much."""
        used = {branch.prefix for branch in self._branches}
        used |= {branch.segment for branch in self._branches}
        alive = torch.isin(self._owners, torch.tensor(sorted(used), dtype=torch.int64))
        if len(alive) - int(alive.sum()) <= at_most:
            return
        places = alive.nonzero()[:, 0]
        owners = self._owners[places]
        self._cache.keep(*send(self._cache.layers[0].device, places))
        self._owners = owners
        self._prefixes = [known for known in self._prefixes if known[1] in used]

    def _read(self, texts: Sequence[Text]) -> list[PassResult]:
        """Read texts behind what they see. Returns what was found behind each."""
        count = sum(len(text.ids) for text in texts)
        if not count:
            return [self._nothing] * len(texts)
        lines = _lines_of(texts)
        is_single = all(len(text.ids) == 1 for text in texts)
        size = self._static.size_for(count) if self._static is not None and is_single else 0
        self._let_grow(max(count, size))
        self._cache.reserve(max(count, size))
        self._owners = torch.cat([self._owners, lines[2]])
        found = self._static.read(lines, self._owners, self._cache) if size else None
        if found is not None:
            return [PassResult(row[None], best) for row, best in zip(*found, strict=True)]
        return self._read_plainly(texts, lines)

    def _read_plainly(self, texts: Sequence[Text], lines: Tensor) -> list[PassResult]:
        """Read texts of any length by the model's own pass."""
        sizes = [min(len(text.ids), 1) if text.is_last_wanted else len(text.ids) for text in texts]
        ends = itertools.accumulate(len(text.ids) for text in texts)
        wanted = [
            place
            for size, end in zip(sizes, ends, strict=True)
            for place in range(end - size, end)
        ]
        weight = self._model.llama.get_input_embeddings().weight
        told = (lines, self._owners, torch.tensor(wanted, dtype=torch.int64))
        lines, owners, wanted = send(weight.device, *told)
        hidden = hide(owners, lines[2:], weight.dtype)
        past = len(owners) - lines.shape[1]
        # Nobody sees what comes later; what a text sees comes before it.
        later = lines.new_ones(2 * lines.shape[1:], dtype=torch.bool).triu_(1)
        hidden[:, past:].masked_fill_(later, torch.finfo(weight.dtype).min)
        output = self._model.llama(
            input_ids=lines[:1],
            attention_mask=hidden[None, None],
            position_ids=lines[1:2],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=wanted,
        )
        rows = output.logits[0].float().split(sizes)
        lasts = [number for number, text in enumerate(texts) if text.is_last_wanted and text.ids]
        best = likeliest_of(torch.stack([rows[number][-1] for number in lasts])) if lasts else ()
        likeliest = dict(zip(lasts, best, strict=True))
        return [PassResult(row, likeliest.get(number)) for number, row in enumerate(rows)]


def _lines_of(texts: Sequence[Text]) -> Tensor:
    """Of each token its id, its position, its segment, and two that it sees: (5, n) int64."""
    tokens = [
        (token, text.position + place, text.segment, text.sees[0], text.sees[-1])
        for text in texts
        for place, token in enumerate(text.ids)
    ]
    return torch.tensor(tokens).T
