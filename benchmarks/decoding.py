# SPDX-License-Identifier: Apache-2.0
"""Tokens of answers: plain passes, passes of a fixed form, and transformers' own generate."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.answers import PLACES, QUESTIONS, filled_memory
from benchmarks.measure import CPU, Figure, interleave, milliseconds, ratio
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.language_model import GREEDY
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import random_vstream
from flash_vstream_ros.core.snapshot import MemorySnapshot

ROUNDS = {'tiny': 15, '100m': 5}
QUICK_SIZES = ('tiny',)
TOKENS = 64  # of an answer
_HOME = 'TORCHINDUCTOR_CACHE_DIR'


def measure(quick: bool) -> list[Figure]:
    """Measure on the CPU; what random weights say means nothing, what it costs does."""
    rounds = dict.fromkeys(QUICK_SIZES, 2) if quick else ROUNDS
    return [figure for size, count in rounds.items() for figure in measure_size(size, count)]


def measure_size(size: str, rounds: int, tokens: int = TOKENS) -> list[Figure]:
    """Measure one size on the CPU, compiled from nothing and again as at the next start."""
    vstream = random_vstream(size, CPU, torch.float32)
    parameters = sum(p.numel() for p in vstream.language_model.parameters())
    label = f'{parameters / 1e6:.3g} M parameters'
    figures, former = [], os.environ.get(_HOME)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[_HOME] = folder
        try:
            for name in ('the first time', 'at a later start'):
                torch.compiler.reset()
                started = time.perf_counter()
                fast = vstream.new_batch(len(PLACES), 'compiled')
                seconds = time.perf_counter() - started
                figures.append(Figure(f'{label}: compiling, {name}', seconds, 's'))
            return figures + measure_decoding(vstream, fast, label, rounds, tokens)
        finally:
            os.environ.pop(_HOME)
            if former is not None:
                os.environ[_HOME] = former


def measure_decoding(
    vstream: FlashVStream,
    fast: ContinuousBatch,
    label: str,
    rounds: int,
    tokens: int = TOKENS,
    **target: float,
) -> list[Figure]:
    """Compare what says so many tokens, in turns.

    :param fast: a batch of :meth:`FlashVStream.new_batch` whose passes have a fixed form.
    :param target: of how many times faster it is than ``transformers.generate``.
    """
    kind = fast.decoding
    contenders = _contenders(vstream, fast, tokens)
    said = {name: call() for name, call in contenders.items()}
    times = interleave(contenders, rounds, warm_up=1, device=vstream.device)
    what = f'{label}: {tokens} tokens'
    all_ = f'{what} of {len(PLACES)} answers'
    differ = (said['plain'] != said[kind]) + sum(
        a != b for a, b in zip(said['all plain'], said[f'all {kind}'], strict=True)
    )
    generate = 'transformers.generate'
    return [
        milliseconds(f'{what} by {generate}', times['generate']),
        *(milliseconds(f'{what}, {name}', times[name]) for name in ('plain', kind)),
        ratio(f'{what}: {generate} / plain', times['generate'], times['plain']),
        ratio(f'{what}: {generate} / {kind}', times['generate'], times[kind], **target),
        ratio(f'{what}: plain / {kind}', times['plain'], times[kind]),
        *(
            milliseconds(f'{all_} at once, {name}', times[f'all {name}'])
            for name in ('plain', kind)
        ),
        ratio(f'{all_} at once: plain / {kind}', times['all plain'], times[f'all {kind}']),
        Figure(f'{label}: {kind} answers that differ from plain ones', differ, 'answers'),
    ]


def _contenders(
    vstream: FlashVStream, fast: ContinuousBatch, tokens: int
) -> dict[str, Callable[[], list[list[int]]]]:
    """What says so many tokens to one question, and to several at once, by name."""
    snapshot = filled_memory(vstream).snapshot()
    vstream.prepare(snapshot)
    kind, plain = fast.decoding, vstream.new_batch()
    questions = [f'What is on the {place} table?' for place in PLACES]
    one = QUESTIONS[:1]
    return {
        'generate': partial(_generate, vstream, snapshot, one[0], tokens),
        'plain': partial(_speak, vstream, plain, snapshot, one, tokens),
        kind: partial(_speak, vstream, fast, snapshot, one, tokens),
        'all plain': partial(_speak, vstream, plain, snapshot, questions, tokens),
        f'all {kind}': partial(_speak, vstream, fast, snapshot, questions, tokens),
    }


def _speak(
    vstream: FlashVStream,
    batch: ContinuousBatch,
    snapshot: MemorySnapshot,
    questions: Sequence[str],
    tokens: int,
) -> list[list[int]]:
    """Say so many tokens to each question at once, whatever they are."""
    prefix = vstream.prepare(snapshot)
    branches = [
        batch.speak(prefix, vstream.prompt.after_memory(text), GREEDY, tokens)
        for text in questions
    ]
    said: list[list[int]] = [[] for _ in branches]
    for _ in range(tokens):
        batch.step()
        for branch, ids in zip(branches, said, strict=True):
            ids.append(next(branch)[0])
    for branch in branches:
        branch.close()
    return said


@torch.no_grad()
def _generate(
    vstream: FlashVStream, snapshot: MemorySnapshot, question: str, tokens: int
) -> list[list[int]]:
    """Say so many tokens by transformers' own loop, which reads the whole prompt each time."""
    llama = vstream.language_model.llama
    found = llama.generate(
        inputs_embeds=_prompt_embeddings(vstream, snapshot, question)[None],
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
    )
    return found.tolist()


def _prompt_embeddings(vstream: FlashVStream, snapshot: MemorySnapshot, question: str) -> Tensor:
    """Embeddings of text, memory and question, (N, E)."""
    model, prompt = vstream.language_model, vstream.prompt
    memory = snapshot.tokens().to(vstream.device, vstream.projector[0].weight.dtype)
    parts = [
        model.embed(prompt.before_memory()),
        vstream.projector(memory),
        model.embed(prompt.after_memory(question)),
    ]
    return torch.cat(parts)
