# SPDX-License-Identifier: Apache-2.0
"""What the encoder of stage 0 tells of patrols it has not seen, and what the memory keeps of them.

python3 benchmarks/patrol_encoder.py runs/patrol-tiny/stage0
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from flash_vstream_ros.core.encoder import CLIP_MEAN, CLIP_STD
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.star_memory import pool
from flash_vstream_ros.evaluation.kept import ClusterTracker
from flash_vstream_ros.simulator.dataset import split_seeds
from flash_vstream_ros.simulator.drawing import draw
from flash_vstream_ros.simulator.world import Patrol
from flash_vstream_ros.training.encoder_stage import EncoderInTraining
from flash_vstream_ros.training.labelled_frames import (
    CLASSES,
    COLOUR_LABELS,
    SHAPE_LABELS,
    draw_labelled,
    normalise,
)

SIZES = ((128, 96), (320, 240), (640, 480))
SECONDS = 420.0
STREAM_S = 600.0
KEPT = 0.5  # of an event's frames in one cluster, and of that cluster's frames in the event
NS_PER_S = 1_000_000_000


def load(run: Path) -> tuple[FlashVStream, EncoderInTraining]:
    """Read a run's checkpoint, and its encoder with the read-outs that only training uses."""
    vstream = FlashVStream.from_pretrained(run / 'checkpoint', parts=('vision',))
    model = EncoderInTraining(vstream.encoder, vstream.geometry.detail_side, 1)
    model.load_state_dict(load_file(next((run / 'state').glob('step-*/model.safetensors'))))
    return vstream, model.eval()


@torch.no_grad()
def classes_told(
    model: EncoderInTraining, seeds: Sequence[int], size: tuple[int, int], cells: int
) -> dict[str, list[Tensor]]:
    """Whether each class of each frame is told right."""
    right: dict[str, list[Tensor]] = {name: [] for name in CLASSES}
    for seed in seeds:
        frames = draw_labelled(seed, SECONDS, model.encoder, size, cells)
        features = model.encoder.encode(normalise(frames.pixels, CLIP_MEAN, CLIP_STD))
        whole = pool(features, 1)[:, 0]
        for name, head in model.heads.classes.items():
            truth = frames.labels[name]
            right[name].append((head(whole).argmax(-1) == truth)[truth >= 0])
    return right


@torch.no_grad()
def objects_told(
    model: EncoderInTraining, seeds: Sequence[int], size: tuple[int, int], cells: int
) -> tuple[int, int, int]:
    """Objects in cells that hold one alone: how many, found, found with colour and shape right."""
    shown = found = right = 0
    for seed in seeds:
        frames = draw_labelled(seed, SECONDS, model.encoder, size, cells)
        features = model.encoder.encode(normalise(frames.pixels, CLIP_MEAN, CLIP_STD))
        said = model.heads.objects(pool(features.float(), cells))  # (F, Q * Q, labels)
        parts = [said[..., part].argmax(-1) for part in (COLOUR_LABELS, SHAPE_LABELS)]
        truths = [frames.objects[..., part] for part in (COLOUR_LABELS, SHAPE_LABELS)]
        alone = (frames.objects_known > 0) & (truths[0].sum(-1) == 1) & (truths[1].sum(-1) == 1)
        is_found = alone & (said[..., -1] > 0)
        is_right = [p == t.argmax(-1) for p, t in zip(parts, truths, strict=True)]
        shown += int(alone.sum())
        found += int(is_found.sum())
        right += int((is_found & is_right[0] & is_right[1]).sum())
    return shown, found, right


@torch.no_grad()
def events_kept(vstream: FlashVStream, seed: int) -> tuple[int, int, int]:
    """Events of a stream of ten minutes, those in one cluster, those with one of their own."""
    patrol = Patrol(seed, STREAM_S)
    memory = vstream.new_memory()
    tracker = ClusterTracker(memory.temporal)
    for second in range(int(STREAM_S)):
        stamp_ns = (second + 1) * NS_PER_S
        vstream.write(memory, draw(patrol.view_at(float(second)), SIZES[0]), stamp_ns)
        tracker.observe(stamp_ns)
    together = alone = 0
    for event in patrol.events:
        kept = tracker.kept(
            *(round((at_s + 1.0) * NS_PER_S) for at_s in (event.start_s, event.end_s))
        )
        together += kept is not None and kept.share >= KEPT
        alone += kept is not None and kept.share >= KEPT and kept.purity >= KEPT
    return len(patrol.events), together, alone


def main() -> int:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('run', type=Path, help='folder of a stage 0 run')
    parser.add_argument('--patrols', type=int, default=10, help='default: %(default)s')
    arguments = parser.parse_args()
    vstream, model = load(arguments.run)
    seeds = split_seeds('validation', arguments.patrols)
    heads = [*CLASSES, 'objects', 'found', 'colour and shape right']
    print('| pictures | frames |', ' | '.join(heads), '|')
    print('|---|---|' + '---|' * len(heads))
    for size in SIZES:
        right = classes_told(model, seeds, size, vstream.geometry.detail_side)
        shares = [f'{torch.cat(parts).float().mean():.3f}' for parts in right.values()]
        frames = sum(map(len, right['room']))
        shown, found, known = objects_told(model, seeds, size, vstream.geometry.detail_side)
        shares += [str(shown), f'{found / shown:.3f}', f'{known / shown:.3f}']
        print(f'| {size[0]}x{size[1]} | {frames} |', ' | '.join(shares), '|')
    events, together, alone = (
        sum(counts) for counts in zip(*(events_kept(vstream, s) for s in seeds), strict=True)
    )
    slots = vstream.geometry.temporal_slots
    print(
        f'\nAfter ten minutes, {slots} clusters: of {events} events {together} lie half or more '
        f'in one cluster, {alone} of them in one that is half or more theirs.'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
