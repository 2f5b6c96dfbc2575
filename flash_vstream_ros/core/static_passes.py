# SPDX-License-Identifier: Apache-2.0
"""Passes of a fixed form: a token of each answer, in tensors that stay where they are.

A token of a small batch costs the model little arithmetic and many small operations, and the host
that starts them one by one is slower than the device. A pass whose tensors keep their shapes and
places can be started as a whole: as a captured CUDA graph, or compiled by ``torch.compile``.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

import torch
from torch import Tensor
from transformers import LlamaForCausalLM
from transformers.cache_utils import Cache, DynamicLayer

from flash_vstream_ros.core.compiling import Buffers, compiled, forget_compiled, leave_open
from flash_vstream_ros.core.cuda_graphs import capture
from flash_vstream_ros.core.growing_cache import GrowingCache
from flash_vstream_ros.core.language_model import LanguageModel, likeliest_of

logger = logging.getLogger(__name__)

NOBODY = -1  # owner of what no token sees, and of the tokens that fill a pass up
_LINES = 5  # of what is told of each token: see StaticPasses.read
# How far logits of the same pass may be apart, of the largest one.
_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.1}

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

    :param most: tokens of a pass. A graph is captured of 1, 2, 4 and so on, and what is fewer is
        filled up; a compiled pass reads just as many as there are.
    :param room: tokens of the cache that passes are made for before anybody asks.
    :param is_compiled: by ``torch.compile``, which takes a minute or more at first and is kept for
        the next start; on a CUDA device passes are captured as graphs either way.
    """

    def __init__(
        self, model: LanguageModel, most: int, room: int, *, is_compiled: bool = False
    ) -> None:
        self._model = model
        self._rooms = [room] if room >= model.context else [room, model.context]
        self._device = model.llama.get_input_embeddings().weight.device
        self._is_captured = self._device.type == 'cuda'
        self._sizes = doubled(most) if self._is_captured else range(1, most + 1)
        self._plain = self._function = partial(_read, model.llama)
        self._kind = 'compiled' if is_compiled else 'graph'
        self._passes: dict[int, Pass | None] = {}  # None: there was no room for it
        self._told: dict[int, _Told] = {}
        self._owners: _Told | None = None
        self.fault = ''

    @property
    def state(self) -> str:
        """``graph`` or ``compiled``, and where that is not so, why."""
        if self.fault:
            return f'plain, not {self._kind}: {self.fault}'
        without = [str(size) for size, made in self._passes.items() if made is None]
        no_room = f', plain for want of room: {", ".join(without)} tokens' if without else ''
        return self._kind + no_room

    @property
    def rooms(self) -> Sequence[int]:
        """How large a cache should be, so that passes need not be made anew: tokens, rising."""
        return () if self.fault else self._rooms

    def size_for(self, tokens: int) -> int:
        """Tokens of the pass that reads so many; 0: there is none."""
        return 0 if self.fault else next((s for s in self._sizes if s >= tokens > 0), 0)

    def release(self) -> None:
        """Forget the cache, which is about to change its buffers or to go."""
        self._passes.clear()
        self._told.clear()
        self._owners = None

    def begin_anew(self) -> None:
        """Try again what there was no room for: others may have left the device."""
        self._passes = {size: made for size, made in self._passes.items() if made is not None}

    @torch.no_grad()
    def warm_up(self, cache: GrowingCache) -> None:
        """Make passes before anybody asks.

        :param cache: of :attr:`rooms` that nothing was put into yet; what it holds afterwards
            means nothing.
        """
        started = perf_counter()
        self._try_to_warm_up(cache)
        if self.fault and self._kind == 'compiled' and forget_compiled(self.fault):
            logger.warning('what was compiled before is deleted, and compiled again')
            self.fault = ''
            cache.empty()
            self._try_to_warm_up(cache)
        if not self.fault:
            logger.info('decoding %s: ready in %.1f s', self.state, perf_counter() - started)

    def _try_to_warm_up(self, cache: GrowingCache) -> None:
        try:
            self._warm_up(cache)
        except Exception as error:  # noqa: BLE001 - plain passes may do, also on a full device
            self._give_up(error)

    def _warm_up(self, cache: GrowingCache) -> None:
        if self._kind == 'compiled':
            self._function = partial(compiled(_read), self._model.llama)
        empty = self._model.prefill_prefix(self._model.embed([0]))
        cache.append(empty.layers)
        sizes = self._sizes if self._is_captured else self._sizes[:2]  # 2: as any above
        cache.reserve(sum(sizes))
        owners = torch.zeros(1, dtype=torch.int64)
        for size in sizes:  # each token sees the first one and itself
            own = torch.arange(1, 1 + size)
            nothing = torch.zeros_like(own)
            owners = torch.cat([owners, own])
            if self.read(torch.stack([own, own, own, nothing, nothing]), owners, cache) is None:
                break

    def read(
        self, lines: Tensor, owners: Tensor, cache: GrowingCache
    ) -> tuple[Tensor, Tensor] | None:
        """Read a token of each answer and append its keys and values to the cache.

        :param lines: (5, n) int64: of each token its id, its position, its segment, and two
            segments that it sees.
        :param owners: (N,) int64, the segment of each token of the cache, the new ones at the end.
        :param cache: with room for a pass.
        :returns: (n, V) float32 logits and (n, 2) float64 of the most probable token; None: it
            cannot be done here, or is not worth while: a giant cache grows on and is not kept.
        """
        count = lines.shape[1]
        size = self.size_for(count)
        is_giant = self._is_captured and cache.capacity > max(self._rooms)
        if not size or is_giant or not cache.is_even:
            return None
        self._tell(size, lines, owners, cache.capacity)
        try:
            if size not in self._passes:
                self._passes[size] = self._make(size, cache.buffers)
            run = self._passes[size]
            found = None if run is None else run()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, there is another way
            found = None
            self._give_up(error)
        if found is None:
            return None
        logits, likeliest = found
        cache.advance(count)
        # The next replay writes into the same place.
        return logits[:count].clone() if self._is_captured else logits, likeliest[:count]

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

    def _make(self, size: int, buffers: Buffers) -> Pass | None:
        """Make a pass; None: there is no room for it beside all else, for now."""
        told, owners = self._told[size].device, self._owners.device
        given = (told[:_LINES], told[_LINES], owners, buffers)
        if self._kind == 'compiled':
            leave_open(size, *given)
        made = partial(self._function, *given)
        if self._is_captured:
            try:
                if self._kind == 'compiled':
                    made()  # takes minutes, in which others of the process may capture
                made = capture(made, self._device)
            except torch.OutOfMemoryError as error:
                logger.warning('no room for a CUDA graph of %d tokens: %s', size, error)
                return None
        expected = self._plain(*given)[0]
        if self._is_captured:
            made()[0].fill_(torch.nan)  # a graph of nothing would leave what was there
        _compare(made()[0], expected, self._model.llama.dtype)
        return made

    def _give_up(self, error: Exception) -> None:
        what = str(error).strip().partition('\n')[0]
        self.fault = f'{type(error).__name__}: {what}'
        self.release()
        logger.warning('no passes of a fixed form (%s); tokens come by plain ones', self.fault)


def doubled(most: int) -> list[int]:
    """1, 2, 4 and so on, and the most."""
    return sorted({2**n for n in range(most.bit_length())} | {most})


def _compare(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    """Refuse a pass that computes something else than the plain one."""
    tolerance = _TOLERANCE[dtype] * float(expected.abs().max().nan_to_num(1.0))
    if not torch.allclose(found, expected, rtol=0.0, atol=tolerance, equal_nan=True):
        apart = float((found - expected).abs().max())
        raise RuntimeError(f'its logits are {apart:.3g} from those of a plain pass')
