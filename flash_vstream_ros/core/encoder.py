# SPDX-License-Identifier: Apache-2.0
"""Encoder: camera frames -> CLIP feature maps."""

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from flash_vstream_ros.core.cuda_graphs import CapturedCall
from flash_vstream_ros.core.snapshot import fits_float16

# Of OpenAI's CLIP, on pixel values of 0 to 1, RGB.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_MOST_GRAPHS = 4  # of as many numbers of frames; the room each computes in stays taken
LONGEST = 8  # a frame's long edge in short ones; what lies beyond is cut off first

Frames = np.ndarray | Tensor | Sequence[np.ndarray | Tensor]


class Encoder(nn.Module):
    """CLIP's vision tower up to the layer the memory reads; the layers behind it do not exist.

    :param config: of the whole tower.
    :param select_layer: index into the tower's hidden states, -2 for the published model: the
        output of the last layer but one.

    Where ``captures`` is set, passes on a GPU are captured as CUDA graphs.
    """

    captures = False

    def __init__(self, config: CLIPVisionConfig, select_layer: int = -2) -> None:
        super().__init__()
        states = config.num_hidden_layers + 1  # hidden_states[0] is the embedding
        if not -states <= select_layer < states:
            raise ValueError(
                f'mm_vision_select_layer: expected {-states} to {states - 1}, got {select_layer}'
            )
        kept = CLIPVisionConfig(**{**config.to_dict(), 'num_hidden_layers': select_layer % states})
        self.image_size = config.image_size
        self.side = config.image_size // config.patch_size
        self.width = config.hidden_size
        self.tower = CLIPVisionModel(kept)
        # By the number of frames; the pixels that a graph reads, and the graph.
        self._captured: dict[int, tuple[Tensor, CapturedCall[Tensor]]] = {}

    def restore_buffers(self, device: torch.device) -> None:
        """Make anew what no checkpoint holds: the numbers of the positions."""
        embeddings = self.tower.embeddings
        positions = torch.arange(embeddings.num_positions, device=device)
        embeddings.position_ids = positions.expand((1, -1))

    @torch.no_grad()
    def forward(self, frames: Frames) -> Tensor:
        """Encode frames of any size.

        :param frames: (B, H, W, 3) uint8 RGB, array or tensor, or a list of (H, W, 3) whose sizes
            may differ; at least one.
        :returns: (B, P, P, D) patch features in the tower's dtype, row by row.
        """
        if len(frames) == 0:
            raise ValueError('frames: expected at least one frame, got none')
        pixels = torch.stack([self.preprocess(frame) for frame in frames])
        return self._encode_captured(pixels) if self._may_capture else self.encode(pixels)

    @property
    def _may_capture(self) -> bool:
        return self.captures and self.tower.device.type == 'cuda'

    def _apply(self, *given: object, **options: object) -> 'Encoder':
        """Move the weights: what was captured reads them where they were."""
        self._captured.clear()
        return super()._apply(*given, **options)

    def _encode_captured(self, pixels: Tensor) -> Tensor:
        """Encode as a CUDA graph, one for each of the first numbers of frames that come."""
        count = len(pixels)
        if count not in self._captured:
            if len(self._captured) == _MOST_GRAPHS:
                return self.encode(pixels)
            call = CapturedCall[Tensor](f'an encoder pass of {count}')
            self._captured[count] = (pixels.clone(), call)
        given, call = self._captured[count]
        if call.is_due():
            call.capture(partial(self.encode, given), pixels.device)
        if call.replay is None:
            return self.encode(pixels)
        given.copy_(pixels)
        return call.replay().clone()  # the next pass writes into the same place

    def encode(self, pixels: Tensor) -> Tensor:
        """Encode preprocessed frames; differentiable.

        :param pixels: (B, 3, S, S) as :meth:`preprocess` makes them.
        :returns: (B, P, P, D) patch features in the tower's dtype, row by row.
        """
        tower = self.tower
        hidden = tower.embeddings(pixels.to(tower.dtype))  # (B, 1 + P * P, D)
        hidden = tower.encoder(inputs_embeds=tower.pre_layrnorm(hidden)).last_hidden_state
        # Drop the class token; (B, P * P, D) -> (B, P, P, D)
        return hidden[:, 1:].unflatten(1, (self.side, self.side))

    def preprocess(self, frame: np.ndarray | Tensor) -> Tensor:
        """Resize, crop and normalise one frame as CLIP does, on the encoder's device.

        :param frame: (H, W, 3) uint8 RGB.
        :returns: (3, S, S) float32.
        :raises ValueError: another shape or type.
        """
        pixels = self.square(frame)
        mean, std = _colours(pixels.device)
        return (pixels / 255.0 - mean) / std

    def square(self, frame: np.ndarray | Tensor) -> Tensor:
        """Resize and crop one frame as CLIP does, on the encoder's device.

        Shortest edge to the input size (bicubic, antialiased, rounded to grey levels), centre
        crop.

        :param frame: (H, W, 3) uint8 RGB.
        :returns: (3, S, S) float32, whole numbers of 0 to 255.
        :raises ValueError: another shape or type.
        """
        if isinstance(frame, np.ndarray):  # torch takes no negative strides and no locked arrays
            frame = np.require(frame, requirements=['C', 'W'])
        pixels = torch.as_tensor(frame)
        is_rgb = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == torch.uint8
        if not is_rgb or 0 in pixels.shape:
            raise ValueError(
                f'frame: expected (H, W, 3) uint8 RGB, got {tuple(pixels.shape)} {pixels.dtype}'
            )
        device = self.tower.device
        if device.type == 'cuda' and not pixels.is_cuda:
            pixels = pixels.pin_memory()  # else the host would wait for the device here
        pixels = (
            pixels.to(device, non_blocking=device.type == 'cuda').permute(2, 0, 1)[None].float()
        )
        size = self.image_size
        short = min(pixels.shape[2:])
        pixels = _centre(pixels, (short * LONGEST, short * LONGEST))  # no camera; bounds the cost
        height, width = pixels.shape[2:]
        if short != size:
            resized = (size * height // short, size * width // short)
            pixels = functional.interpolate(pixels, resized, mode='bicubic', antialias=True)
        return _centre(pixels, (size, size))[0].round().clamp(0, 255)


def whole_picture(feature: Tensor) -> Tensor | None:
    """What a frame shows as a whole, on the host; the only wait for the device.

    :param feature: (P, P, D) of any floating type, on any device.
    :returns: (1, D) float32 on the CPU, the mean over the patches; None: a value is not finite or
        does not fit float16.
    """
    mean = feature.flatten(0, -2).float().mean(0)
    found = torch.cat([mean, fits_float16(feature)[None].float()]).cpu()
    return found[None, :-1] if found[-1] else None


@cache
def _colours(device: torch.device) -> tuple[Tensor, Tensor]:
    """CLIP's mean and standard deviation, (3, 1, 1) each; sent to a device once."""
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
    return mean, std


def _centre(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut out the centre: (B, 3, H, W) -> (B, 3, H' <= size[0], W' <= size[1])."""
    top, left = (
        max(0, (have - want) // 2) for have, want in zip(pixels.shape[2:], size, strict=True)
    )
    return pixels[:, :, top : top + size[0], left : left + size[1]]
