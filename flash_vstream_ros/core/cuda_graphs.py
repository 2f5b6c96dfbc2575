# SPDX-License-Identifier: Apache-2.0
"""Kernels that are started as a whole: to start them one by one takes longer than to run them."""

import logging
import threading
from collections.abc import Callable
from functools import cache
from math import inf
from typing import Generic, TypeVar

import torch

Outputs = TypeVar('Outputs')
logger = logging.getLogger(__name__)

_WARM_UP = 2  # calls; what libraries set up at their first one cannot be captured
_PATIENCE = 100  # calls until what there was no room for is tried again, then twice as many...
# Torch captures one graph at a time, and what anybody starts on the stream of a capture meanwhile
# would be captured with it.
_lock = threading.Lock()


def capture(function: Callable[[], Outputs], device: torch.device) -> Callable[[], Outputs]:
    """Capture what a function starts on a CUDA device as a CUDA graph.

    :param function: is called some times, and must do the same each time: its tensors keep their
        shapes and places, and nothing in it waits for the device. Meanwhile nobody else can
        capture: what takes long at the first call of all must have been called before.
    :returns: starts all of it at once; what it returns are the same tensors each time.
    :raises RuntimeError: something in it cannot be captured.
    """
    with _lock, torch.cuda.device(device):
        stream, current = _stream_of(torch.cuda.current_device()), torch.cuda.current_stream()
        stream.wait_stream(current)
        # Around the capture as well: one that fails does not leave its stream by itself.
        try:
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    function()
                graph = torch.cuda.CUDAGraph()
                # Of this thread only: others of the process may be at work on the device.
                with torch.cuda.graph(graph, stream=stream, capture_error_mode='thread_local'):
                    outputs = function()
        finally:
            current.wait_stream(stream)  # a call that failed may have begun something

    def replay() -> Outputs:
        graph.replay()
        return outputs

    return replay


@cache
def _stream_of(device: int) -> torch.cuda.Stream:
    """The stream on which graphs of a device are captured; libraries keep room for each stream."""
    return torch.cuda.Stream(device)


class CapturedCall(Generic[Outputs]):
    """A call that is captured if that can be; where there was no room, it is tried again later.

    :param what: it does, for the log.
    """

    def __init__(self, what: str) -> None:
        self.replay: Callable[[], Outputs] | None = None
        self._what = what
        self._left: float = 0  # calls until it is tried
        self._patience = _PATIENCE

    def is_due(self) -> bool:
        """Whether to try now; asked before each call."""
        if self.replay is not None:
            return False
        self._left -= 1
        return self._left < 0

    def capture(self, function: Callable[[], Outputs], device: torch.device) -> None:
        """Capture, or say why not; ``replay`` is None then."""
        try:
            self.replay = capture(function, device)
        except torch.OutOfMemoryError as error:
            self._left = self._patience
            self._patience *= 2
            self._say(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, there is another way
            self._left = inf
            self._say(error)

    def _say(self, error: Exception) -> None:
        text = 'no CUDA graph for %s (%s); it is started kernel by kernel'
        level = logging.DEBUG if self._patience > 2 * _PATIENCE else logging.WARNING
        logger.log(level, text, self._what, error)
