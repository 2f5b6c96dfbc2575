# SPDX-License-Identifier: Apache-2.0
"""Data folders of simulated patrols, for training and evaluation."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flash_vstream_ros.replay.new_output import new_outputs
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.world import Patrol
from flash_vstream_ros.simulator.writing import (
    SUFFIXES,
    Form,
    Progress,
    log_of,
    no_bar,
    question_entries,
    write_json,
    write_stream,
)

# Which seeds a set takes: none is trained on that is tested on.
SPLITS = {
    'train': range(1_000_000),
    'validation': range(1_000_000, 2_000_000),
    'test': range(2_000_000, 3_000_000),
}
QUESTIONS = 'questions.json'


def split_of(seed: int) -> str:
    """The set that a seed belongs to; '': none."""
    return next((name for name, seeds in SPLITS.items() if seed in seeds), '')


def split_seeds(split: str, count: int, skip: int = 0) -> range:
    """The first seeds of a set.

    :param skip: leave out so many before them.
    :raises ValueError: there is no such set, or it has not as many.
    """
    if split not in SPLITS:
        raise ValueError(f'split: expected one of {list(SPLITS)}, got {split!r}')
    seeds = SPLITS[split]
    if count < 1 or skip < 0 or skip + count > len(seeds):
        raise ValueError(f'expected 1 to {len(seeds)} seeds of {split}, got {count} behind {skip}')
    return seeds[skip : skip + count]


def check_seeds(seeds: Sequence[int]) -> None:
    """Check that seeds do not mix sets.

    :raises ValueError: they do.
    """
    names = sorted({split_of(seed) for seed in seeds})
    if len(names) > 1:
        raise ValueError(
            f'seeds {seeds[0]} to {seeds[-1]} belong to more than one of the sets: '
            + ', '.join(f'{name} from {SPLITS[name].start} on' for name in SPLITS)
        )


def stream_name(seed: int) -> str:
    """What the recording of a seed is called."""
    return f'patrol_{seed}'


def write_dataset(
    folder: Path,
    seeds: Sequence[int],
    about: PatrolDescription,
    form: Form,
    progress: Progress = no_bar,
) -> int:
    """Write a data folder, all of it or nothing.

    It holds a recording ``patrol_SEED`` with its log ``patrol_SEED.events.json`` for each seed,
    and one ``questions.json``.

    :param seeds: of one set.
    :param about: of each stream but for its seed.
    :param progress: goes around the seeds, and the frames of each, as tqdm does.
    :returns: how many questions were asked.
    :raises FileExistsError: the folder exists.
    :raises OSError: it cannot be written; the disk is full, say.
    :raises ValueError: the streams cannot be written so.
    """
    check_seeds(seeds)
    form.check(about)
    entries = []
    with new_outputs(folder) as (unfinished,):
        unfinished.mkdir()
        for seed in progress(seeds, unit='stream'):
            patrol = Patrol(seed, about.seconds)
            name = stream_name(seed)
            path = unfinished / f'{name}{SUFFIXES[form.format]}'
            write_stream(path, patrol, replace(about, seed=seed), form, progress)
            write_json(unfinished / f'{name}.events.json', log_of(patrol))
            entries += question_entries(patrol, name, form, about.size)
        write_json(unfinished / QUESTIONS, entries)
    return len(entries)
