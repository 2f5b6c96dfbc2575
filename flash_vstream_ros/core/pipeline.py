# SPDX-License-Identifier: Apache-2.0
"""Flash-VStream, the whole thing: frames in, memory, questions answered. Read this first.

    vstream = FlashVStream.from_pretrained('models/some-checkpoint')
    memory = vstream.new_memory()
    for frame, stamp_ns in camera:
        vstream.write(memory, frame, stamp_ns)
    print(vstream.answer(memory.snapshot(), 'What is on the table?').text)

The two halves run in two processes on a robot: the frame handler perceives (``encode``,
``write``), the question handler answers (``answer``). The snapshot is all that goes between them.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flash_vstream_ros.core.answer import Answer, AnswerClock, choose, speak, stop_check
from flash_vstream_ros.core.checkpoint import Modules, load_checkpoint
from flash_vstream_ros.core.checkpoint_files import check_vocabulary, resolve_folder
from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.devices import check_decoding, resolve_device, resolve_dtype
from flash_vstream_ros.core.encoder import Frames
from flash_vstream_ros.core.language_model import GREEDY, Prefix, Sampling
from flash_vstream_ros.core.prefix_cache import PrefixCache
from flash_vstream_ros.core.prompt import Prompt, RequestError, TextStream
from flash_vstream_ros.core.quantization import check_quantization, quantization_of
from flash_vstream_ros.core.remote_answers import RemoteBatch
from flash_vstream_ros.core.remote_decoder import RemoteDecoder
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.core.static_passes import StaticPasses

logger = logging.getLogger(__name__)

_QUESTION = 64  # tokens of one that there is room for from the start


class FlashVStream:
    """A loaded model. For one thread at a time; memories and snapshots may be anywhere.

    :param modules: what :func:`~flash_vstream_ros.core.checkpoint.load_checkpoint` returned.
    :param prompt: the checkpoint's prompt; needed to answer.
    """

    def __init__(self, modules: Modules, prompt: Prompt | None, device: torch.device) -> None:
        self.config = modules.config
        self.geometry = modules.config.geometry
        self.encoder_id = modules.encoder_id
        self.device = device
        self.encoder = modules.encoder
        self.attention = modules.attention
        self.projector = modules.projector
        self.language_model = modules.language_model
        self.prompt = prompt
        self.prefixes = PrefixCache()

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike,
        device: str | torch.device = 'cpu',
        dtype: str | torch.dtype = 'float32',
        parts: Sequence[str] = ('vision', 'language'),
        quantization: str = 'none',
        decoder_url: str = '',
        decoder_model: str = '',
    ) -> 'FlashVStream':
        """Load a checkpoint in the published layout.

        :param path: its folder, or a hub id as ``owner/name`` or ``owner/name@revision``.
        :param device: a torch device, or ``auto``: CUDA where there is one.
        :param dtype: float32, bfloat16, float16, or ``auto``: float16 on CUDA, else float32.
        :param parts: ``vision`` to perceive, ``language`` to answer.
        :param quantization: of the language model: ``none``, ``int8`` or ``nf4`` (4 bits).
        :param decoder_url: of a server that has the language model; only the embeddings of its
            tokens are loaded then. ``decoder_model`` is its name there.
        :raises CheckpointError: the checkpoint is not there, damaged, or of another layout.
        """
        device = resolve_device(device)
        dtype = resolve_dtype(dtype, device)
        check_quantization(quantization)
        if decoder_url:
            parts = ['embeddings' if part == 'language' else part for part in parts]
        folder = resolve_folder(os.fspath(path))
        # First, because it is quick: the weights of 7B take a while.
        answers = set(parts) & {'language', 'embeddings'}
        prompt = Prompt.from_file(folder / 'tokenizer.model') if answers else None
        modules = load_checkpoint(folder, device, dtype, parts, quantization)
        if prompt is not None:
            check_vocabulary(prompt.vocabulary, modules.config.language.vocab_size, folder)
        kind = '' if quantization == 'none' else f', layers in {quantization}'
        logger.info('loaded %s as %s%s', modules.report, dtype, kind)
        vstream = cls(modules, prompt, device)
        if decoder_url:
            embeddings = modules.language_model.llama.get_input_embeddings()
            vstream.language_model = RemoteDecoder(
                modules.config.language, embeddings, decoder_url, decoder_model
            )
        return vstream

    def new_batch(
        self, most: int = QuestionHandlerConfig.batch_size, decoding: str = 'plain'
    ) -> ContinuousBatch | RemoteBatch:
        """Make a batch for several answers at once.

        :param most: answers at once for which passes are made, where they are made at all.
        :param decoding: ``plain``; ``graph``, captured as CUDA graphs; or ``compiled`` by
            ``torch.compile``, which takes a minute or more the first time. What cannot be had is
            logged, and ``plain`` it is.
        :raises ValueError: no such way of decoding, or not here.
        """
        self._need(self.language_model, 'language')
        if isinstance(self.language_model, RemoteDecoder):
            return RemoteBatch(self.language_model)
        check_decoding(decoding, self.device, quantization_of(self.language_model))
        if decoding == 'plain':
            return ContinuousBatch(self.language_model)
        # Of answers to questions about two memories: there is a new one while the old is asked.
        prefix = len(self.prompt.before_memory()) + self.geometry.tokens
        room = 2 * prefix + most * (_QUESTION + QuestionHandlerConfig.max_new_tokens)
        room = min(room, self.language_model.context)
        is_compiled = decoding == 'compiled'
        passes = StaticPasses(self.language_model, most, room, is_compiled=is_compiled)
        return ContinuousBatch(self.language_model, passes)

    def new_memory(self) -> StarMemory:
        """Make an empty memory for one stream."""
        self._need(self.attention, 'vision')
        memory = StarMemory(self.geometry, self.attention, self.encoder_id, self.device)
        memory.captures = self.encoder.captures
        return memory

    def load_memory(self, path: str | os.PathLike) -> StarMemory:
        """Read a saved memory, which goes on as if never stopped; see :meth:`StarMemory.load`."""
        self._need(self.attention, 'vision')
        about = (self.geometry, self.attention, self.encoder_id, self.device)
        memory = StarMemory.load(path, *about)
        memory.captures = self.encoder.captures
        return memory

    def encode(self, frames: Frames) -> Tensor:
        """Encode frames.

        :param frames: (B, H, W, 3) uint8 RGB, or a list of (H, W, 3).
        :returns: (B, P, P, D) features.
        """
        self._need(self.encoder, 'vision')
        return self.encoder(frames)

    def write(self, memory: StarMemory, frame: np.ndarray | Tensor, stamp_ns: int) -> None:
        """Memorise one frame.

        :param frame: (H, W, 3) uint8 RGB.
        :param stamp_ns: nanoseconds, after all stamps before.
        """
        memory.write(self.encode(frame[None])[0], stamp_ns)

    @torch.no_grad()
    def prepare(self, snapshot: MemorySnapshot) -> Prefix:
        """Prefill all that comes before the question, or reuse it: one snapshot, one prefill.

        May be called before anybody asks: the first token then waits for the question's own tokens
        only. ``prefixes.size`` says of how many snapshots the prefixes are kept.

        :raises ValueError: the snapshot is empty or of another encoder.
        """
        self._need(self.language_model, 'language')
        self._check_snapshot(snapshot)
        prefix = self.prefixes.get(snapshot.key)
        if prefix is None:
            self.prefixes.make_room(snapshot.key)
            tokens = snapshot.tokens().to(self.device, self.projector[0].weight.dtype)
            text = self.language_model.embed(self.prompt.before_memory())
            embeddings = torch.cat([text, self.projector(tokens)])  # (text + N, E)
            prefix = self.language_model.prefill_prefix(embeddings)
            self.prefixes.put(snapshot.key, prefix)
        return prefix

    def answer(
        self,
        snapshot: MemorySnapshot,
        question: str,
        choices: Sequence[str] | None = None,
        **options: Any,
    ) -> Answer:
        """Answer a question about one snapshot; all arguments are :meth:`stream_answer`'s."""
        pieces = self.stream_answer(snapshot, question, choices, **options)
        while True:
            try:
                next(pieces)
            except StopIteration as end:
                return end.value

    def stream_answer(
        self,
        snapshot: MemorySnapshot,
        question: str,
        choices: Sequence[str] | None = None,
        *,
        max_new_tokens: int = QuestionHandlerConfig.max_new_tokens,
        sampling: Sampling = GREEDY,
        cancelled: Callable[[], bool] = lambda: False,
        deadline: float = float('inf'),
        batch: ContinuousBatch | RemoteBatch | None = None,
    ) -> Generator[str, None, Answer]:
        """Answer a question, piece by piece.

        :param choices: the answer is the most probable one of these, where given.
        :param max_new_tokens: tokens at most; fewer where the model's context ends before.
        :param cancelled: asked before each token; True ends the answer.
        :param deadline: time of ``time.monotonic`` at which the answer ends.
        :param batch: of :meth:`new_batch`; the answer goes on with the others in it, a token each
            time the caller steps it, and yields ``''`` where it waits for that.
        :returns: pieces of text as they come; the generator's value is the :class:`Answer`.
        :raises RequestError: the question is empty or too long, or a choice is.
        :raises ValueError: the snapshot is empty or of another encoder.
        """
        started = time.perf_counter()
        self.check_request(snapshot, question, choices, max_new_tokens)
        question_ids, prompt_tokens, room = self._fit(snapshot, question)
        clock = AnswerClock(started, prompt_tokens)
        stop = stop_check(cancelled, deadline)
        if reason := stop():  # it waited too long: it must not cost the next one a prefill
            return clock.answer('', [], reason, 0.0)
        clock.prefix_ready = snapshot.key in self.prefixes
        prefix = self.prepare(snapshot)
        speaker = self.language_model if batch is None else batch
        if choices:
            ids = self._choice_ids(choices, room)
            with contextlib.closing(speaker.score_each(prefix, question_ids, ids)) as scores:
                return (yield from choose(choices, ids, scores, clock, stop))
        most = min(max_new_tokens, room)
        with contextlib.closing(speaker.speak(prefix, question_ids, sampling, most)) as tokens:
            return (yield from speak(TextStream(self.prompt), tokens, most, clock, stop))

    def check_request(
        self,
        snapshot: MemorySnapshot,
        question: str,
        choices: Sequence[str] | None = None,
        max_new_tokens: int = 1,
    ) -> None:
        """Check what can be checked without computing.

        :raises ValueError: see :meth:`stream_answer`.
        """
        self._need(self.language_model, 'language')
        if max_new_tokens < 1:
            raise RequestError(f'max_new_tokens: expected at least 1, got {max_new_tokens}')
        if isinstance(choices, str):
            raise RequestError(f'choices: expected a list of answers, got the text {choices!r}')
        self.prompt.after_memory(question)
        for choice in choices or ():
            self.prompt.choice(choice)
        self._check_snapshot(snapshot)

    def _fit(self, snapshot: MemorySnapshot, question: str) -> tuple[list[int], int, int]:
        """Tokens of a question, how many its prompt has, and how many the context has left."""
        question_ids = self.prompt.after_memory(question)
        context, asked = self.language_model.context, len(question_ids)
        prefix_tokens = len(self.prompt.before_memory()) + snapshot.token_count
        room = context - prefix_tokens - asked
        if room < 1:
            raise RequestError(
                f'question: {asked} tokens behind {prefix_tokens} of memory do not '
                f'fit a context of {context}; ask a shorter one'
            )
        return question_ids, prefix_tokens + asked, room

    def _choice_ids(self, choices: Sequence[str], room: int) -> list[list[int]]:
        ids = [self.prompt.choice(choice) for choice in choices]
        longest = max(map(len, ids))
        if longest > room:
            raise RequestError(f'choices: expected at most {room} tokens, got {longest}')
        return ids

    def _check_snapshot(self, snapshot: MemorySnapshot) -> None:
        if snapshot.encoder_id != self.encoder_id:
            raise ValueError(
                f'snapshot: expected a memory of encoder {self.encoder_id}, got one of '
                f'{snapshot.encoder_id}; both halves must load the same checkpoint'
            )
        if snapshot.is_empty:
            raise ValueError('snapshot: expected a memory with frames in it, got an empty one')

    def _need(self, part: object, name: str) -> None:
        if part is None:
            raise RuntimeError(
                f"this model was loaded without its {name} part; load it with parts=('{name}',)"
            )
