# SPDX-License-Identifier: Apache-2.0
"""Kernels that are started as a whole: to start them one by one takes longer than to run them."""

import logging
import threading
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch

Outputs = TypeVar('Outputs')
logger = logging.getLogger(__name__)

_WARM_UP = 2  # calls; what libraries set up at their first one cannot be captured
_lock = threading.Lock()  # torch captures one graph at a time


def capture(function: Callable[[], Outputs], device: torch.device) -> Callable[[], Outputs]:
    """Capture what a function starts on a CUDA device as a CUDA graph.

    :param function: is called some times, and must do the same each time: its tensors keep their
        shapes and places, and nothing in it waits for the device.
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


def try_capture(
    function: Callable[[], Outputs], device: torch.device, what: str
) -> Callable[[], Outputs] | None:
    """Capture, or say why not.

    :param what: it does, for the log.
    :returns: None where it cannot be captured, or there is no room for that.
    """
    try:
        return capture(function, device)
    except Exception as error:  # noqa: BLE001 - whatever it is, there is another way
        logger.warning('no CUDA graph for %s (%s); it is started kernel by kernel', what, error)
        return None
