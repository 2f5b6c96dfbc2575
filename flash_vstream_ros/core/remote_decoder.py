# SPDX-License-Identifier: Apache-2.0
"""A language model on a server: the prompt goes there as embeddings, the tokens come back.

Any server with vLLM's form of OpenAI's completions: ``prompt_embeds``, a tensor as ``torch.save``
writes it, in base64. Here remain the embeddings of the text and the projector of the memory.
"""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig

from flash_vstream_ros.core.language_model import GREEDY, ModelError, Sampling
from flash_vstream_ros.core.remote_answers import (
    IsWanted,
    Put,
    RemoteAnswer,
    Work,
    map_in_threads,
)

KEY_VARIABLE = 'FLASH_VSTREAM_DECODER_KEY'  # of the environment: the API key

_CONNECT_S = 5.0
_SILENCE_S = 30.0  # of a server, before the first token and between two
_PARALLEL = 8  # requests of one question's choices
_START = 'vllm serve DECODER --enable-prompt-embeds, as docs/operation.md says'


@dataclass(frozen=True)
class Embedded:
    """The prefix as the server will read it: (N, E) embeddings on the CPU."""

    embeddings: Tensor

    @property
    def length(self) -> int:
        """N, the tokens in it."""
        return len(self.embeddings)


class RemoteDecoder:
    """What :class:`~flash_vstream_ros.core.language_model.LanguageModel` does, by a server.

    :param config: of the language model.
    :param embeddings: of its tokens.
    :param url: base of the server's interface, as ``http://host:8000/v1``.
    :param model: its name there; empty: the first that the server has.

    The API key is that of :data:`KEY_VARIABLE` in the environment; most local servers want none.

    :raises ValueError: the package openai is not there.
    """

    def __init__(
        self,
        config: LlamaConfig,
        embeddings: nn.Embedding,
        url: str,
        model: str = '',
    ) -> None:
        try:
            import openai  # only who has a server needs it
        except ModuleNotFoundError as error:
            raise ValueError(
                'decoder_url: needs openai (LEAVE=numpy scripts/install_locked.sh python remote), '
                f'and got: {error}'
            ) from error
        self._openai = openai
        self._url, self._given, self._model = url, model, model
        self._embeddings = embeddings
        self._end_id = config.eos_token_id
        self.context: int = config.max_position_embeddings
        key = os.environ.get(KEY_VARIABLE) or 'none'
        timeout = openai.Timeout(_SILENCE_S, connect=_CONNECT_S)
        self._client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=timeout)

    def embed(self, token_ids: Sequence[int]) -> Tensor:
        """Token ids -> (N, E) embeddings."""
        weight = self._embeddings.weight
        return self._embeddings(torch.tensor(token_ids, device=weight.device))

    def prefill_prefix(self, embeddings: Tensor) -> Embedded:
        """Keep the prefix; the server reads it with the question.

        :param embeddings: (N, E).
        """
        return Embedded(embeddings.cpu())

    def speak(
        self, prefix: Embedded, question_ids: Sequence[int], sampling: Sampling, most: int
    ) -> RemoteAnswer:
        """An answer token by token: ids with their natural log-probability (at temperature 1)."""
        return RemoteAnswer(self.speaking(prefix, question_ids, sampling, most))

    def score_each(
        self, prefix: Embedded, question_ids: Sequence[int], answers: Sequence[Sequence[int]]
    ) -> RemoteAnswer:
        """Summed natural log-probabilities of given answers, all in one list."""
        return RemoteAnswer(self.scoring(prefix, question_ids, answers))

    def speaking(
        self, prefix: Embedded, question_ids: Sequence[int], sampling: Sampling, most: int
    ) -> Work:
        """The work of :meth:`speak`, for a thread."""
        seed = None
        if sampling.generator is not None:
            device = sampling.generator.device
            seed = int(torch.randint(2**31, (1,), generator=sampling.generator, device=device))

        def work(put: Put, is_wanted: IsWanted) -> None:
            chunks = self._ask(
                prefix, question_ids, most, stream=True, sampling=sampling, seed=seed
            )
            began = False
            with chunks:  # left early, the connection ends, and with it the server's work
                for chunk in chunks:
                    began = True
                    if self._pass_on(chunk, put) or not is_wanted():
                        return
            what = 'broke off in the middle of an answer' if began else 'sent no completion'
            raise ModelError(f'decoder_url: {self._url} {what}')

        return self._named(work)

    def _pass_on(self, chunk: Any, put: Put) -> bool:
        """Put the tokens of a piece of a stream; True where it was the last."""
        reason = None
        for choice in chunk.choices:
            tokens, reason = _tokens(choice), choice.finish_reason
            if reason == 'stop' and (not tokens or tokens[-1][0] != self._end_id):
                tokens.append((self._end_id, 0.0))  # some servers keep it for themselves
            for token in tokens:
                put(token)
            if reason not in (None, 'stop', 'length'):
                raise ModelError(f'decoder_url: the answer ended by {reason!r}')
        return reason is not None

    def scoring(
        self, prefix: Embedded, question_ids: Sequence[int], answers: Sequence[Sequence[int]]
    ) -> Work:
        """The work of :meth:`score_each`, for a thread: a request a token, many at a time."""
        places = [(n, i) for n, answer in enumerate(answers) for i in range(len(answer))]

        def score(place: tuple[int, int]) -> float:
            answer, i = answers[place[0]], place[1]
            ids = [*question_ids, *answer[:i]]
            forced = {'allowed_token_ids': [answer[i]]}
            response = self._ask(prefix, ids, 1, stream=False, more=forced)
            ((token, value),) = _tokens(response.choices[0])
            if token != answer[i]:
                raise ModelError(f'decoder_url: {self._url} takes no notice of allowed_token_ids')
            return value

        def work(put: Put, is_wanted: IsWanted) -> None:
            values = map_in_threads(score, places, _PARALLEL, is_wanted)
            if values is None:
                return
            if not any(values):
                raise ModelError(
                    f'decoder_url: {self._url} gives every token that it may choose probability '
                    f'1; start it with --logprobs-mode raw_logprobs'
                )
            totals = [0.0] * len(answers)
            for (n, _), value in zip(places, values, strict=True):
                totals[n] += value
            put(totals)

        return self._named(work)

    def _named(self, work: Work) -> Work:
        """The same work, whose faults name the server and what to do."""

        def named(put: Put, is_wanted: IsWanted) -> None:
            try:
                work(put, is_wanted)
            except self._openai.OpenAIError as error:
                raise self._fault(error) from error
            except (AttributeError, TypeError, LookupError, ValueError) as error:
                raise ModelError(
                    f'decoder_url: {self._url} sent what is no completion ({error!r}); the URL of '
                    f'a server that was started with {_START} ends in /v1'
                ) from error

        return named

    def _ask(
        self,
        prefix: Embedded,
        token_ids: Sequence[int],
        max_tokens: int,
        *,
        stream: bool,
        sampling: Sampling = GREEDY,
        seed: int | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Any:
        prompt = torch.cat([prefix.embeddings, self.embed(token_ids).cpu()])
        body = {'prompt_embeds': encode(prompt), 'return_tokens_as_token_ids': True}
        return self._client.completions.create(
            model=self._name(),
            prompt='',
            max_tokens=max_tokens,
            logprobs=1,
            stream=stream,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=seed,
            extra_body=body | dict(more or {}),
        )

    def _name(self) -> str:
        if not self._model:
            served = [model.id for model in self._client.models.list()]
            if not served:
                raise ModelError(
                    f'decoder_url: {self._url} serves no model; start it with {_START}'
                )
            self._model = served[0]
        return self._model

    def _fault(self, error: Exception) -> ModelError:
        if isinstance(error, self._openai.APIConnectionError):
            return ModelError(
                f'decoder_url: no answer from {self._url} ({error.__cause__ or error}); start it '
                f'with {_START}'
            )
        if isinstance(error, self._openai.NotFoundError):
            self._model = self._given  # another one may be served now
        return ModelError(f'decoder_url: {self._url} refused: {error}')


def encode(embeddings: Tensor) -> str:
    """(N, E) -> base64 of what ``torch.save`` writes."""
    buffer = io.BytesIO()
    torch.save(embeddings.detach().contiguous().clone(), buffer)
    return base64.b64encode(buffer.getvalue()).decode('ascii')


def _tokens(choice: Any) -> list[tuple[int, float]]:
    """Token ids and log-probabilities of a piece of a response.

    :raises ModelError: the server does not send them.
    """
    found = choice.logprobs
    if found is None or found.tokens is None or found.token_logprobs is None:
        if not choice.text:
            return []
        raise ModelError('decoder_url: the server sends no log-probabilities; vLLM does')
    return [
        (_token_id(token), float(value))
        for token, value in zip(found.tokens, found.token_logprobs, strict=True)
    ]


def _token_id(token: str) -> int:
    name, _, number = token.partition(':')
    if name != 'token_id' or not number.isdecimal():
        raise ModelError(
            f'decoder_url: the server sends the token {token!r}, expected token_id:NUMBER as vLLM '
            f'does with return_tokens_as_token_ids'
        )
    return int(number)
