# SPDX-License-Identifier: Apache-2.0
"""Weights of 16, 8 and 4 bits on the CPU: what they take and what they cost, against float32."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.answers import QUESTIONS, decoding_rate, filled_memory
from benchmarks.measure import Figure, interleave, milliseconds
from flash_vstream_ros.core.pipeline import Answer, FlashVStream
from flash_vstream_ros.core.quantization import stored_bytes
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.core.snapshot import MemorySnapshot

SIZE = '100m'
KINDS = {
    'float32': ('float32', 'none'),
    'bfloat16': ('bfloat16', 'none'),
    'int8': ('bfloat16', 'int8'),
    'nf4': ('bfloat16', 'nf4'),
}
TOKENS = 16


def measure(quick: bool, size: str = SIZE) -> list[Figure]:
    """Answer the same question with each kind of weights, in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = make_random_checkpoint(Path(name) / 'checkpoint', size)
        models = {
            kind: FlashVStream.from_pretrained(folder, dtype=dtype, quantization=quantization)
            for kind, (dtype, quantization) in KINDS.items()
        }
    snapshot = filled_memory(models['float32']).snapshot()
    answers: dict[str, list[Answer]] = {kind: [] for kind in KINDS}
    contenders = {
        kind: partial(_ask, model, snapshot, answers[kind]) for kind, model in models.items()
    }
    rounds = 1 if quick else 9
    interleave(contenders, rounds, warm_up=1)
    return [
        figure
        for kind, model in models.items()
        for figure in _describe(kind, model, answers[kind][-rounds:])
    ]


def _ask(vstream: FlashVStream, snapshot: MemorySnapshot, answers: list[Answer]) -> None:
    vstream.prefixes.clear()
    vstream.prepare(snapshot)
    answers.append(vstream.answer(snapshot, QUESTIONS[0], max_new_tokens=TOKENS))


def _describe(kind: str, vstream: FlashVStream, answers: list[Answer]) -> list[Figure]:
    first = np.array([answer.time_to_first_token for answer in answers])
    layers = sum(stored_bytes(layer) for layer in vstream.language_model.llama.model.layers)
    return [
        Figure(f'{kind}: layers of the language model', layers / 1e6, 'MB'),
        milliseconds(f'{kind}: first token, prefix ready', first),
        Figure(f'{kind}: decoding', decoding_rate(answers), 'tokens/s'),
    ]
