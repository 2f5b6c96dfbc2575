# SPDX-License-Identifier: Apache-2.0
"""Passes of a fixed form: a token of each answer, in tensors that stay where they are.

A token of a small batch costs the model little arithmetic and many small operations, and the host
that starts them one by one is slower than the device. A pass whose tensors keep their shapes and
places can be started as a whole: as a captured CUDA graph, or compiled by ``torch.compile``.
"""

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor
from torch._inductor.runtime.cache_dir_utils import default_cache_dir
from transformers import LlamaForCausalLM
from transformers.cache_utils import Cache, DynamicLayer

from flash_vstream_ros.core.growing_cache import GrowingCache
from flash_vstream_ros.core.language_model import LanguageModel, likeliest_of

logger = logging.getLogger(__name__)

NOBODY = -1  # owner of what no token sees, and of the tokens that fill a pass up
_LINES = 5  # of what is told of each token: see StaticPasses.read
_CACHE_VARIABLE = 'TORCHINDUCTOR_CACHE_DIR'
# How far logits of the same pass may be apart, of the largest one.
_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.1}

Buffers = Sequence[tuple[Tensor, Tensor]]
Pass = Callable[[], tuple[Tensor, Tensor]]


class _PlacedLayer(DynamicLayer):
    """Writes keys and values into buffers where it is told to, and shows the buffers whole."""

    def __init__(self, buffers: tuple[Tensor, Tensor], places: Tensor) -> None:
        super().__init__()
        self.keys, self.values = buffers
        self._places = places
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write keys and values, (1, heads, n, E / heads) each."""
        self.keys.index_copy_(2, self._places, key_states)
        self.values.index_copy_(2, self._places, value_states)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """0, as of a cache that says nothing of positions: they are told."""
        return 0


def hide(owners: Tensor, lines: Tensor, dtype: torch.dtype) -> Tensor:
    """What attention adds so that tokens see their own segment and those before it only.

    :param owners: (C,) int64 segment of each token of the cache.
    :param lines: (3, n) int64 segments that each token sees: its own, and two before it.
    :returns: (n, C): 0 where a token sees another, else next to minus infinity.
    """
    sees = (owners == lines[:, :, None]).any(0)
    return sees.new_zeros(sees.shape, dtype=dtype).masked_fill_(~sees, torch.finfo(dtype).min)


def _read(
    llama: LlamaForCausalLM, lines: Tensor, places: Tensor, owners: Tensor, buffers: Buffers
) -> tuple[Tensor, Tensor]:
    """Read tokens. Returns (n, V) float32 logits, and the most probable tokens, (n, 2) float64."""
    token_ids, positions = lines[:2]
    hidden = hide(owners, lines[2:], buffers[0][0].dtype)
    output = llama(
        input_ids=token_ids[None],
        attention_mask=hidden[None, None],
        position_ids=positions[None],
        past_key_values=Cache(layers=[_PlacedLayer(pair, places) for pair in buffers]),
        use_cache=True,
    )
    logits = output.logits[0].float()
    return logits, likeliest_of(logits)


class _Told:
    """What the host tells the device before a pass, in tensors that stay where they are."""

    def __init__(self, sizes: tuple[int, ...], device: torch.device) -> None:
        is_apart = device.type == 'cuda'
        self.host = torch.zeros(sizes, dtype=torch.int64, pin_memory=is_apart)
        self.device = self.host.to(device) if is_apart else self.host

    def send(self) -> None:
        """Send what the host has; the pass before must have been waited for."""
        if self.device is not self.host:
            self.device.copy_(self.host, non_blocking=True)


class StaticPasses:
    """Makes and runs passes of a token of each answer, for the buffers of one cache at a time.

    What cannot be made here is said once, and passes of any form (``None``) are left to do it.

    :param most: tokens of a pass; fewer are filled up, but for a single one.
    :param room: tokens of a cache that passes are made for before anybody asks.
    :param is_compiled: by ``torch.compile``, which takes a minute or more at first and is kept for
        the next start; on a CUDA device passes are captured as graphs either way.
    """

    def __init__(
        self, model: LanguageModel, most: int, room: int, *, is_compiled: bool = False
    ) -> None:
        self._model = model
        self._sizes = sorted({1, most})
        self._room = room
        self._device = model.llama.get_input_embeddings().weight.device
        self._is_captured = self._device.type == 'cuda'
        self._plain = self._function = partial(_read, model.llama)
        self.kind = 'compiled' if is_compiled else 'graph'
        if is_compiled:
            self._function = _compiled(self._plain)
        self._passes: dict[int, Pass] = {}
        self._told: dict[int, _Told] = {}
        self._owners: _Told | None = None
        self.fault = ''

    def size_for(self, tokens: int) -> int:
        """Tokens of the pass that reads so many; 0: there is none."""
        return 0 if self.fault else next((s for s in self._sizes if s >= tokens > 0), 0)

    def release(self) -> None:
        """Forget the cache, which is about to change its buffers or to go."""
        self._passes.clear()
        self._told.clear()
        self._owners = None

    @torch.no_grad()
    def warm_up(self, cache: GrowingCache) -> None:
        """Make all passes before anybody asks.

        :param cache: that nothing was put into yet.
        """
        started = perf_counter()
        empty = self._model.prefill_prefix(self._model.embed([0]))
        cache.append(empty.layers)
        cache.reserve(self._room + sum(self._sizes))
        for size in self._sizes:
            lines = torch.zeros(_LINES, size, dtype=torch.int64)
            self.read(lines, torch.zeros(cache.get_seq_length() + size, dtype=torch.int64), cache)
        cache.empty()
        if not self.fault:
            logger.info('decoding %s: ready in %.1f s', self.kind, perf_counter() - started)

    def read(
        self, lines: Tensor, owners: Tensor, cache: GrowingCache
    ) -> tuple[Tensor, Tensor] | None:
        """Read a token of each answer and append its keys and values to the cache.

        :param lines: (5, n) int64: of each token its id, its position, its segment, and two
            segments that it sees.
        :param owners: (N,) int64, the segment of each token of the cache, the new ones at the end.
        :param cache: with room for a pass.
        :returns: (n, V) float32 logits and (n, 2) float64 of the most probable token; None: it
            cannot be done here.
        """
        count = lines.shape[1]
        size = self.size_for(count)
        if not size or not cache.is_even:
            return None
        self._tell(size, lines, owners, cache.capacity)
        if size not in self._passes and not self._make(size, cache.buffers):
            return None
        logits, likeliest = self._passes[size]()
        cache.advance(count)
        return logits[:count], likeliest[:count]

    def _tell(self, size: int, lines: Tensor, owners: Tensor, capacity: int) -> None:
        """Tell the device what to read."""
        if self._owners is None:
            self._owners = _Told((capacity,), self._device)
        if size not in self._told:
            self._told[size] = _Told((_LINES + 1, size), self._device)
        told, count = self._told[size], lines.shape[1]
        told.host[:2] = 0
        told.host[2:_LINES] = NOBODY
        told.host[:_LINES, :count] = lines
        first = len(owners) - count
        told.host[_LINES] = torch.arange(first, first + size)
        self._owners.host[: len(owners)] = owners
        self._owners.host[len(owners) :] = NOBODY
        told.send()
        self._owners.send()

    def _make(self, size: int, buffers: Buffers) -> bool:
        """Make a pass. Returns whether it can be used."""
        told, owners = self._told[size].device, self._owners.device
        given = (told[:_LINES], told[_LINES], owners, buffers)
        if self.kind == 'compiled':
            for tensor in (owners, *(each for pair in buffers for each in pair)):
                torch._dynamo.mark_dynamic(tensor, min(tensor.dim() - 1, 2))
        try:
            made = partial(self._function, *given)
            if self._is_captured:
                made = _captured(made, self._device)
            _compare(made()[0], self._plain(*given)[0], self._model.llama.dtype)
        except torch.OutOfMemoryError:
            raise  # it is the question's, and of today
        except Exception as error:  # noqa: BLE001 - whatever it is, there is another way
            what = str(error).strip().partition('\n')[0]
            self.fault = f'{type(error).__name__}: {what}'
            self.release()
            logger.warning('no passes of a fixed form (%s); tokens come by plain ones', self.fault)
            return False
        self._passes[size] = made
        return True


def _compiled(function: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., object]:
    if os.environ.get(_CACHE_VARIABLE) in (None, default_cache_dir()):
        # Not where torch has it, in /tmp, which the next boot may clear.
        home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
        os.environ[_CACHE_VARIABLE] = str(Path(home) / 'flash_vstream_ros' / 'compiled')
    return torch.compile(function, fullgraph=True, options={'compile_threads': 1})


def _captured(function: Pass, device: torch.device) -> Pass:
    """Capture what a function starts on a CUDA device, to be started as a whole."""
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):  # what libraries set up at their first call is not to be captured
                function()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Of this thread only: a frame handler may be at work in another one.
        with torch.cuda.graph(graph, capture_error_mode='thread_local'):
            outputs = function()

    def replay() -> tuple[Tensor, Tensor]:
        graph.replay()
        return outputs

    return replay


def _compare(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    """Refuse a pass that computes something else than the plain one."""
    tolerance = _TOLERANCE[dtype] * float(expected.abs().max().nan_to_num(1.0))
    if not torch.allclose(found, expected, rtol=0.0, atol=tolerance, equal_nan=True):
        apart = float((found - expected).abs().max())
        raise RuntimeError(f'its logits are {apart:.3g} from those of a plain pass')
