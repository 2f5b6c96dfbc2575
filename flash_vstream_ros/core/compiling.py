# SPDX-License-Identifier: Apache-2.0
"""Compiling by torch.compile, kept over restarts where the next boot does not clear it."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

Buffers = Sequence[tuple[Tensor, Tensor]]  # keys and values of each layer
_CACHE_VARIABLE = 'TORCHINDUCTOR_CACHE_DIR'


def compiled(function: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., object]:
    """Have a function compiled when it is called first."""
    # Here, because it is torch's own affair and plain passes need none of it.
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    if os.environ.get(_CACHE_VARIABLE) in (None, default_cache_dir()):
        # Not where torch has it, in /tmp, which the next boot may clear.
        os.environ[_CACHE_VARIABLE] = str(_own_cache())
    return torch.compile(function, fullgraph=True, options={'compile_threads': 1})


def forget_compiled(fault: str) -> bool:
    """Delete all that was compiled where a file of it is damaged: a kill leaves some half written.

    :param fault: why nothing could be compiled or loaded.
    :returns: whether it was for a file in our folder; a user's own folder is left alone.
    """
    folder = _own_cache()
    if os.environ.get(_CACHE_VARIABLE) != str(folder) or str(folder) not in fault:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    torch.compiler.reset()
    return True


def _own_cache() -> Path:
    home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(home) / 'flash_vstream_ros' / 'compiled'


def leave_open(size: int, lines: Tensor, places: Tensor, owners: Tensor, buffers: Buffers) -> None:
    """Let what is compiled serve any capacity of the cache, and any number of tokens above one."""
    open_sizes = [(owners, 0), *((buffer, 2) for pair in buffers for buffer in pair)]
    if size > 1:  # torch.compile takes a size of 1 for a case of its own
        open_sizes += [(lines, 1), (places, 0)]
    for tensor, dimension in open_sizes:
        torch._dynamo.mark_dynamic(tensor, dimension)
