# SPDX-License-Identifier: Apache-2.0
"""Language model: prefill of the prefix, prefill of the question, decoding."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isnan

import torch
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from flash_vstream_ros.core.devices import send


@dataclass(frozen=True)
class Prefix:
    """Keys and values of all before the question. Read only, so that questions share it."""

    layers: tuple[tuple[Tensor, Tensor], ...]  # per layer (1, heads, N, E / heads) each

    @property
    def length(self) -> int:
        """N, the tokens in it."""
        return self.layers[0][0].shape[2]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen from its logits.

    :param temperature: 0 takes the most probable token.
    :param top_p: draw from the smallest set of tokens that holds this much probability.
    :param generator: of the language model's device; needed where temperature is above 0.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not self.temperature >= 0.0:  # NaN fails as well
            raise ValueError(f'temperature: expected 0 or more, got {self.temperature}')
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f'top_p: expected 0 < top_p <= 1, got {self.top_p}')
        if self.temperature > 0.0 and self.generator is None:
            raise ValueError('generator: expected a torch.Generator with temperature above 0')

    @property
    def is_greedy(self) -> bool:
        """Whether it is the most probable token each time."""
        return self.temperature == 0.0

    def choose(self, logits: Tensor) -> Tensor:
        """Choose a token.

        :param logits: (V,) float32.
        :returns: int64 scalar.
        """
        if self.is_greedy:
            return logits.argmax()
        # A temperature that is next to nothing must not make infinities of the largest logits.
        scaled = (logits - logits.max()) / max(self.temperature, torch.finfo(logits.dtype).tiny)
        probabilities, order = scaled.softmax(-1).sort(descending=True)
        # Keep a token if the more probable ones before it hold less than top_p: one always stays.
        before = probabilities.cumsum(-1) - probabilities
        # NaN must not reach multinomial: on CUDA that ends the process. decode() reports it.
        kept = probabilities.masked_fill(before >= self.top_p, 0.0).nan_to_num(1.0)
        return order.gather(0, torch.multinomial(kept, 1, generator=self.generator))[0]


GREEDY = Sampling()


MOST_BRANCH_TOKENS = 512  # in one pass, and no more than one answer's beyond


class ModelError(RuntimeError):
    """The model failed at its computation; says what to do."""


def check_number(log_probability: float) -> None:
    """Refuse NaN before it becomes an answer that looks like one."""
    if isnan(log_probability):
        raise ModelError(
            'the model computed NaN instead of probabilities; its numbers may be too large for '
            'float16: choose dtype bfloat16 or float32'
        )


def chosen_of(logits: Tensor, sampling: Sampling) -> Tensor:
    """Choose a token.

    :param logits: (V,) float32.
    :returns: (2,) float64: its id, and its natural log-probability at temperature 1.
    """
    return _with_probabilities(sampling.choose(logits)[None], logits[None])[0]


def likeliest_of(logits: Tensor) -> Tensor:
    """Choose the most probable token of each row.

    :param logits: (N, V) float32.
    :returns: (N, 2) float64, as of :func:`chosen_of`.
    """
    return _with_probabilities(logits.argmax(-1), logits)


def _with_probabilities(tokens: Tensor, logits: Tensor) -> Tensor:
    # gather: to index by a token of the device would wait for it
    probabilities = logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
    return torch.stack([tokens.double(), probabilities.double()], -1)


def scores_of(answers: Sequence[Sequence[int]], first: Tensor, rest: Sequence[Tensor]) -> Tensor:
    """Sum the natural log-probabilities of the tokens of given answers.

    :param answers: token ids, at least one each.
    :param first: (V,) float32 logits of an answer's first token.
    :param rest: (n, V) float32 logits of each answer's n further tokens.
    :returns: (answers,) float64.
    """
    begin, totals = first.log_softmax(-1), []
    known = [torch.tensor(ids[1:], dtype=torch.int64) for ids in answers]
    for ids, chosen, rows in zip(answers, send(first.device, *known), rest, strict=True):
        later = rows.log_softmax(-1).gather(1, chosen[:, None]).sum()
        totals.append((begin[ids[0]] + later).double())
    return torch.stack(totals)


def in_groups(answers: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Cut answers into groups of a bounded number of tokens, in order; at least one in each."""
    group: list[Sequence[int]] = []
    for answer in answers:
        if group and sum(map(len, group)) + len(answer) > MOST_BRANCH_TOKENS:
            yield group
            group = []
        group.append(answer)
    if group:
        yield group


class LanguageModel(nn.Module):
    """Llama (Vicuna-7B v1.5 in the published model) over its own key/value cache.

    :param config: of the language model.
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.llama = LlamaForCausalLM(config)

    def restore_buffers(self, device: torch.device) -> None:
        """Make anew what no checkpoint holds: the rotary frequencies (float32 always)."""
        self.llama.model.rotary_emb = LlamaRotaryEmbedding(self.llama.config).to(device)

    @property
    def context(self) -> int:
        """The longest text in tokens, memory and answer included."""
        return self.llama.config.max_position_embeddings

    def embed(self, token_ids: Sequence[int] | Tensor) -> Tensor:
        """Token ids, or (N,) int64 of them on the device -> (N, E) embeddings."""
        embeddings = self.llama.get_input_embeddings()
        if not isinstance(token_ids, Tensor):
            (token_ids,) = send(embeddings.weight.device, torch.tensor(token_ids))
        return embeddings(token_ids)

    @torch.no_grad()
    def prefill_prefix(self, embeddings: Tensor) -> Prefix:
        """Compute keys and values of the prefix, which does not depend on any question.

        :param embeddings: (N, E) embeddings of text and projected memory tokens.
        """
        cache = DynamicCache(config=self.llama.config)
        # The decoder alone: nobody asks for the logits of a prefix.
        self.llama.model(inputs_embeds=embeddings[None], past_key_values=cache, use_cache=True)
        return Prefix(tuple((layer.keys, layer.values) for layer in cache.layers))

    @torch.no_grad()
    def prefill_question(
        self, prefix: Prefix, token_ids: Sequence[int]
    ) -> tuple[Tensor, DynamicCache]:
        """Read the question behind the prefix, which stays as it is.

        :returns: (V,) float32 logits of the answer's first token, and the cache to go on with.
        """
        cache = DynamicCache(prefix.layers)
        return self._forward(token_ids, cache, 1)[-1], cache

    def speak(
        self, prefix: Prefix, question_ids: Sequence[int], sampling: Sampling, most: int
    ) -> Generator[tuple[int, float], None, None]:
        """Read the question and :meth:`decode`, ``most`` tokens at most."""
        first = self.prefill_question(prefix, question_ids)
        yield from islice(self.decode(*first, sampling), most)

    def score_each(
        self, prefix: Prefix, question_ids: Sequence[int], answers: Sequence[Sequence[int]]
    ) -> Generator[list[float], None, None]:
        """Read the question and :meth:`score` given answers, as many at a time as are bounded."""
        logits, cache = self.prefill_question(prefix, question_ids)
        for group in in_groups(answers):
            yield self.score(logits, cache, group)

    @torch.no_grad()
    def decode(
        self, logits: Tensor, cache: DynamicCache, sampling: Sampling
    ) -> Iterator[tuple[int, float]]:
        """Speak without end: who asks decides when to stop, before each token is computed.

        :param logits: (V,) of the first token.
        :returns: token ids with their natural log-probability (at temperature 1).
        """
        while True:
            chosen = chosen_of(logits, sampling)
            token_id, value = chosen.tolist()  # one wait for the device
            check_number(value)
            yield int(token_id), value
            logits = self._forward(chosen[:1].long(), cache)[-1]

    @torch.no_grad()
    def score(
        self, logits: Tensor, cache: DynamicCache, answers: Sequence[Sequence[int]]
    ) -> list[float]:
        """Summed natural log-probability of each of some given answers.

        One pass for all of them, side by side behind the question, each blind to the others; the
        cache is left as it was. :func:`in_groups` bounds what one pass costs.

        :param logits: (V,) of an answer's first token.
        :param answers: token ids, at least one each.
        """
        rest = self._forward_branches([ids[:-1] for ids in answers], cache)
        found = scores_of(answers, logits, rest).tolist()  # one wait for the device
        for total in found:
            check_number(total)
        return found

    def _forward_branches(
        self, branches: Sequence[Sequence[int]], cache: DynamicCache
    ) -> Sequence[Tensor]:
        """Read texts that each follow the cache. Returns (n, V) float32 logits of each one's n."""
        sizes = [len(branch) for branch in branches]
        total, past = sum(sizes), cache.get_seq_length()
        weight = self.llama.get_input_embeddings().weight
        if not total:
            empty = torch.zeros(0, weight.shape[0], device=weight.device)
            return [empty] * len(branches)
        device = weight.device
        ids = torch.tensor([token for branch in branches for token in branch])
        number = torch.arange(len(branches)).repeat_interleave(
            torch.tensor(sizes), output_size=total
        )
        depth = torch.cat([torch.arange(size) for size in sizes])
        ids, number, depth = send(device, ids, number, depth)
        sees = (number[:, None] == number) & (depth[:, None] >= depth)
        mask = torch.cat([sees.new_ones(total, past), sees], 1)
        hidden = torch.zeros(total, past + total, dtype=weight.dtype, device=device)
        hidden.masked_fill_(~mask, torch.finfo(weight.dtype).min)
        output = self.llama(
            inputs_embeds=self.embed(ids)[None],
            attention_mask=hidden[None, None],
            position_ids=(past + depth)[None],
            past_key_values=cache,
            use_cache=True,
        )
        cache.crop(-total)  # a negative number of tokens: removed from the end
        return output.logits[0].float().split(sizes)

    def _forward(
        self, token_ids: Sequence[int] | Tensor, cache: DynamicCache, logits: int = 0
    ) -> Tensor:
        """Append tokens to the cache. Returns float32 logits of the last N, (N, V); 0: of all."""
        embeddings = self.embed(token_ids)[None]
        output = self.llama(
            inputs_embeds=embeddings, past_key_values=cache, use_cache=True, logits_to_keep=logits
        )
        return output.logits[0].float()
