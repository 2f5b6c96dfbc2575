# SPDX-License-Identifier: Apache-2.0
"""Continuous batching: several answers at once, a token of each in one pass of the model.

All of them lie side by side in one row, each blind to the others. What comes before the question
is there once, for all questions about one snapshot, and read once a pass; so are the weights,
which is what a token costs. A question joins before any pass and leaves after any.
"""

import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

from flash_vstream_ros.core.branches import Branch, Scored, Spoken, Text
from flash_vstream_ros.core.growing_cache import GrowingCache
from flash_vstream_ros.core.language_model import (
    MOST_BRANCH_TOKENS,
    LanguageModel,
    Prefix,
    Sampling,
)

_MOST_DEAD = 256  # tokens nobody sees any more, before they are dropped


class ContinuousBatch:
    """Answers on their way, and the keys and values of all they have read.

    :param model: for one thread at a time.
    """

    shares_passes = True  # a failure is everyone's

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._branches: list[Branch] = []
        self._segments = 0
        self.clear()

    def __len__(self) -> int:
        """Answers on their way."""
        return len(self._branches)

    @property
    def tokens(self) -> int:
        """Tokens whose keys and values it holds."""
        return len(self._owners)

    def clear(self) -> None:
        """Forget all, also after a pass that failed."""
        self._branches.clear()
        self._prefixes: list[tuple[weakref.ref[Prefix], int]] = []
        self._cache = GrowingCache(self._model.llama.config.num_hidden_layers)
        self._owners = torch.zeros(0, dtype=torch.int64)  # the segment of each token in the cache

    def speak(
        self, prefix: Prefix, question_ids: Sequence[int], sampling: Sampling, most: int
    ) -> Spoken:
        """Let an answer be spoken from the next pass on.

        :param prefix: of :meth:`LanguageModel.prefill_prefix`.
        :param most: tokens; none is computed behind them.
        """
        known = self._place(prefix)
        return self._join(Spoken(self, known, prefix.length, question_ids, sampling, most))

    def score_each(
        self, prefix: Prefix, question_ids: Sequence[int], answers: Sequence[Sequence[int]]
    ) -> Scored:
        """Let given answers be scored from the next pass on.

        :param answers: token ids, at least one each.
        """
        known = self._place(prefix)
        return self._join(Scored(self, known, prefix.length, question_ids, answers))

    def leave(self, branch: Branch) -> None:
        """Go on without an answer; one that has left already may leave again."""
        if branch in self._branches:
            self._branches.remove(branch)
            if not self._branches:
                self.clear()  # the device's memory is for others then

    @torch.no_grad()
    def step(self) -> None:
        """One pass of the model: reads the questions that joined, and a token of each answer.

        After an error of the model the batch must be cleared.
        """
        self._drop_dead()
        texts = self._next_texts()
        logits = iter(self._read([text for _, own in texts for text in own]))
        found = [branch.see([next(logits) for _ in own]) for branch, own in texts]
        if found:
            values = iter(torch.cat(found).tolist())  # one wait for the device
            for (branch, _), own in zip(texts, found, strict=True):
                branch.note([next(values) for _ in own])

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
            self.clear()
        segment = self.new_segment()
        owners = torch.cat([self._owners, torch.full((prefix.length,), segment)])
        self._cache.append(prefix.layers)  # last of what can fail: the others go on then
        self._owners = owners
        self._prefixes.append((weakref.ref(prefix), segment))
        return segment

    def _drop_dead(self, at_most: int = _MOST_DEAD) -> None:
        """Drop what nobody sees any more, where it is much."""
        used = {branch.prefix for branch in self._branches}
        used |= {branch.segment for branch in self._branches}
        alive = torch.isin(self._owners, torch.tensor(sorted(used), dtype=torch.int64))
        if len(alive) - int(alive.sum()) <= at_most:
            return
        places = alive.nonzero()[:, 0]
        owners = self._owners[places]
        self._cache.keep(places.to(self._cache.layers[0].device))
        self._owners = owners
        self._prefixes = [known for known in self._prefixes if known[1] in used]

    def _read(self, texts: Sequence[Text]) -> Sequence[Tensor]:
        """Read texts behind what they see. Returns float32 logits, (n, V) of each."""
        ids = [token for text in texts for token in text.ids]
        weight = self._model.llama.get_input_embeddings().weight
        sizes = [min(len(text.ids), 1) if text.is_last_wanted else len(text.ids) for text in texts]
        if not ids:
            return [torch.zeros(0, weight.shape[0], device=weight.device)] * len(texts)
        positions = [text.position + i for text in texts for i in range(len(text.ids))]
        ends = torch.tensor([len(text.ids) for text in texts]).cumsum(0).tolist()
        wanted = [
            place
            for text, size, end in zip(texts, sizes, ends, strict=True)
            for place in range(end - size, end)
        ]
        hidden = self._hide(texts, weight.dtype)
        place = torch.tensor([positions, ids])
        position_ids, token_ids = place.to(weight.device)
        output = self._model.llama(
            input_ids=token_ids[None],
            attention_mask=hidden[None, None].to(weight.device),
            position_ids=position_ids[None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=torch.tensor(wanted, device=weight.device),
        )
        return output.logits[0].float().split(sizes)

    def _hide(self, texts: Sequence[Text], dtype: torch.dtype) -> Tensor:
        """What attention adds: 0 where a token sees another, (tokens, cache with them)."""
        new = [torch.full((len(text.ids),), text.segment) for text in texts]
        self._owners = torch.cat([self._owners, *new])
        sees = torch.zeros(sum(map(len, new)), len(self._owners), dtype=torch.bool)
        begin, past = 0, len(self._owners) - len(sees)
        for text in texts:
            end = begin + len(text.ids)
            owners = torch.tensor([*text.sees, text.segment])
            sees[begin:end] = torch.isin(self._owners, owners)
            sees[begin:end, past + begin : past + end].tril_()
            begin = end
        hidden = torch.zeros(sees.shape, dtype=dtype)
        return hidden.masked_fill_(~sees, torch.finfo(dtype).min)
