# SPDX-License-Identifier: Apache-2.0
"""Stands in for the capture of a CUDA graph where there is no GPU."""

from collections.abc import Callable
from typing import Any

import torch


class Captured:
    """Some calls to warm up, then outputs in one place, written anew by each replay.

    :param error: raised in place of a capture.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.count = 0
        self.outputs: list[tuple[torch.Tensor, ...]] = []  # of each capture that went well

    def __call__(self, function: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
        self.count += 1
        if self.error is not None:
            raise self.error
        for _ in range(3):
            outputs = function()
        places = _as_tuple(outputs)
        self.outputs.append(places)

        def replay() -> Any:
            for place, found in zip(places, _as_tuple(function()), strict=True):
                place.copy_(found)
            return outputs

        return replay


def _as_tuple(outputs: Any) -> tuple[torch.Tensor, ...]:
    if outputs is None:
        return ()
    return outputs if isinstance(outputs, tuple) else (outputs,)
