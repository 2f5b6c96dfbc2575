# SPDX-License-Identifier: Apache-2.0
"""Stage 0: an encoder from nothing, for a small model that has no CLIP to begin with.

The paper's encoder has learned from 400 million captions what pictures show. Ours learns from the
simulator's own truth: which room, what happens to what, what stands where. Besides, it learns to
be remembered well: frames of one event lie close together, those of different events far apart,
and frames in which nothing happens close to each other. Then the temporal memory's merges give
quiet times few clusters, and events one each.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from flash_vstream_ros.core.encoder import CLIP_MEAN, CLIP_STD, Encoder
from flash_vstream_ros.core.star_memory import pool
from flash_vstream_ros.training.labelled_frames import (
    CLASSES,
    COLOUR_LABELS,
    NO_EVENT,
    OBJECT_LABELS,
    SHAPE_LABELS,
    FrameStore,
    normalise,
)
from flash_vstream_ros.training.model import Loss

# Of one item: a patrol's frames
EVENTS = 5
FRAMES_AN_EVENT = 2
QUIET_FRAMES = 6

EXPOSURES = (0.85, 1.15)  # drawn anew each time a frame is shown
# Squared distances of temporal maps, in mean squares of an element: events, quiet frames
FAR, NEAR = 1.0, 0.1
PART_WEIGHT = 0.5  # of what each part of the map says by itself
PRESENCE_WEIGHT = 4.0
OBJECT_WEIGHT = 1.0
OBJECT_GAIN = 6.0
APART_WEIGHT = 2.0


class EncoderHeads(nn.Module):
    """Linear read-outs, used in training only: what is linear in a map survives averaging.

    :param width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classes = nn.ModuleDict({k: nn.Linear(width, len(v)) for k, v in CLASSES.items()})
        self.objects = nn.Linear(width, OBJECT_LABELS)


class EncoderInTraining(nn.Module):
    """The encoder with its read-outs.

    :param detail_side: Q, cells a side for what stands where; that of the memory's details.
    :param parts_side: p, parts a side that say what is seen, and of which distances are; a
        divisor of Q, and no less than the side of the temporal memory's maps.
    """

    def __init__(self, encoder: Encoder, detail_side: int, parts_side: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = EncoderHeads(encoder.width)
        self._detail_side, self._parts_side = detail_side, parts_side

    def forward(self, batch: dict[str, Any]) -> Loss:
        """Compute the loss.

        :param batch: of :meth:`PatrolFrames.collate`.
        :returns: summed over frames, and the frames.
        """
        side = self._detail_side
        features = self.encoder.encode(batch['pixels']).float()  # (B, P, P, D)
        detail = pool(features, side).unflatten(1, (side, side))  # (B, Q, Q, D)
        coarse = pool(detail, self._parts_side)  # (B, p * p, D)
        loss = self._class_loss(coarse, batch) + self._object_loss(detail, batch)
        loss = loss + distance_loss(coarse, batch['events'])
        frames = len(features)
        return Loss(loss * frames, torch.tensor(frames, device=loss.device))

    def _class_loss(self, coarse: Tensor, batch: dict[str, Any]) -> Tensor:
        """Cross entropy of room, action, colour and shape, of the whole map and of each part."""
        loss = coarse.new_zeros(())
        for name, head in self.heads.classes.items():
            truth = batch[name]
            # Nothing may be known of any frame: then the mean would be 0 / 0.
            known = (truth >= 0).sum().clamp_min(1)
            whole = functional.cross_entropy(head(coarse.mean(1)), truth, reduction='sum')
            parts = head(coarse).flatten(0, 1)
            repeated = truth.repeat_interleave(coarse.shape[1])
            part = functional.cross_entropy(parts, repeated, reduction='sum') / coarse.shape[1]
            loss = loss + (whole + PART_WEIGHT * part) / known
        return loss

    def _object_loss(self, detail: Tensor, batch: dict[str, Any]) -> Tensor:
        """Where something stands; there, its colour and its shape."""
        said = self.heads.objects(detail.flatten(1, 2))  # (B, Q * Q, labels)
        truth, known = batch['objects'], batch['objects_known']
        # Objects are few: without a weight it pays to say that there are none.
        stands = functional.binary_cross_entropy_with_logits(
            said[..., -1],
            truth[..., -1],
            reduction='none',
            pos_weight=said.new_tensor(OBJECT_GAIN),
        )
        loss = PRESENCE_WEIGHT * _mean(stands, known)
        # Of occupied cells alone: among all the others these would count for next to nothing.
        occupied = known * truth[..., -1]
        for part in (COLOUR_LABELS, SHAPE_LABELS):
            shares = truth[..., part] / truth[..., part].sum(-1, keepdim=True).clamp_min(1.0)
            losses = -(shares * said[..., part].log_softmax(-1)).sum(-1)
            loss = loss + OBJECT_WEIGHT * _mean(losses, occupied)
        return loss


def distance_loss(coarse: Tensor, events: Tensor) -> Tensor:
    """Pull frames of one event together, push others apart, keep quiet frames close.

    :param coarse: (B, p * p, D) maps, p as in :class:`EncoderInTraining`.
    :param events: (B,) int64, equal for frames of one event; NO_EVENT: nothing happens.
    """
    maps = coarse.flatten(1) / coarse[0].numel() ** 0.5
    # By products, not by cdist, whose gradient at 0 is no number.
    squares = maps.square().sum(1)
    distances = (squares[:, None] + squares[None] - 2.0 * maps @ maps.T).clamp_min(0.0)
    happens = events != NO_EVENT
    itself = torch.eye(len(events), dtype=torch.bool, device=events.device)
    equal = events[:, None] == events[None]
    same = equal & happens[:, None] & ~itself
    quiet = ~happens[:, None] & ~happens[None] & ~itself
    together = _mean(distances, same)
    apart = _mean(functional.relu(FAR - distances), ~equal)
    close = _mean(functional.relu(distances - NEAR), quiet)
    return together + APART_WEIGHT * apart + close


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / chosen.sum().clamp_min(1)


class PatrolFrames(Dataset):
    """Frames to learn from, a few of one patrol an item.

    :param store: of the frames.
    :param first: seed of the first patrol; ``patrols`` of them are used.
    :param variants: how often a patrol is shown with other frames before they repeat.
    """

    def __init__(self, store: FrameStore, first: int, patrols: int, variants: int) -> None:
        self._store, self._first = store, first
        self._patrols, self._variants = patrols, variants

    def __len__(self) -> int:
        return self._patrols * self._variants

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        random = np.random.default_rng((self._first, index, 3))
        frames = self._store.get(self._first + index % self._patrols)
        numbers = frames.events.numpy()
        chosen = []
        for event in random.permutation(numbers.max() + 1)[:EVENTS]:
            chosen += list(random.permutation(np.flatnonzero(numbers == event))[:FRAMES_AN_EVENT])
        quiet = np.flatnonzero(numbers == NO_EVENT)
        chosen += list(random.permutation(quiet)[:QUIET_FRAMES])
        gains = torch.from_numpy(random.uniform(*EXPOSURES, (len(chosen), 1, 1, 1))).float()
        places = torch.tensor(chosen)
        item = {name: values[places] for name, values in frames.labels.items()}
        item['pixels'] = (frames.pixels[places].float() * gains).clamp(0.0, 255.0)
        for name in ('objects', 'objects_known', 'events'):
            item[name] = getattr(frames, name)[places]
        return item

    @staticmethod
    def collate(items: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Put items together; events of different patrols get different numbers."""
        batch = {name: torch.cat([item[name] for item in items]) for name in items[0]}
        batch['pixels'] = normalise(batch['pixels'], CLIP_MEAN, CLIP_STD)
        offsets, before = [], 0
        for item in items:
            events = item['events']
            offsets.append(torch.where(events == NO_EVENT, NO_EVENT, events + before))
            before += int(events.max()) + 1
        batch['events'] = torch.cat(offsets)
        return batch
