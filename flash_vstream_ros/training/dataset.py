# SPDX-License-Identifier: Apache-2.0
"""The training data: examples, their features, and the order in which they are seen."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.data.conversations import Example, read_conversations, read_questions
from flash_vstream_ros.data.features import FeatureFile, find_features, open_features
from flash_vstream_ros.data.recordings import check_made_of, recordings_named
from flash_vstream_ros.evaluation.clips import CLIP_LISTS
from flash_vstream_ros.training.config import DataSource, RunConfig, TrainingConfig
from flash_vstream_ros.training.held_out import check_trained_on, is_named_held_out
from flash_vstream_ros.training.memory_loop import MemoryLoop, MemoryTokens
from flash_vstream_ros.training.sequences import TrainingPrompt, TrainingSequence, make_sequence

logger = logging.getLogger(__name__)

Item = tuple[TrainingSequence, MemoryTokens, str]
CACHE_FOLDER = '.memory'


class TrainingData(Dataset):
    """All examples of a run. Everything that can be wrong with them is found at once.

    :param encoder_id: of the checkpoint's vision tower, see ``tower_id``.
    :raises OSError: a file is missing.
    :raises ValueError: a file is of no use, or made by another encoder.
    """

    def __init__(
        self,
        config: TrainingConfig,
        geometry: MemoryGeometry,
        prompt: TrainingPrompt,
        encoder_id: str,
    ) -> None:
        self._prompt = prompt
        self._max_length = config.max_length
        self._examples: list[tuple[Example, str, int]] = []  # with features file and frames
        self._files: dict[str, tuple[FeatureFile, MemoryLoop]] = {}
        self._asked: dict[str, set[int]] = {}
        self._width = geometry.feature_width
        self._digests: dict[str, dict[str, str]] = {}  # of each file, by folder and path
        for source in config.data:
            cache = Path(config.memory_cache or Path(source.features) / CACHE_FOLDER)
            loop = MemoryLoop(geometry, config.memory_input, cache)
            examples = _read(source, config.turns_per_sequence)
            if not examples:
                raise ValueError(f'{source.text}: expected at least one example, got none')
            for example in examples:
                self._add(example, source, loop, encoder_id)
            self._warn_of_held_out(source)
        self._check_room(geometry.tokens)

    @property
    def digests(self) -> dict[str, str]:
        """Of what is known of the features of each folder, without reading them, by its name."""
        return {
            folder: hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
            for folder, files in self._digests.items()
        }

    def _add(
        self, example: Example, source: DataSource, loop: MemoryLoop, encoder_id: str
    ) -> None:
        if not example.media:
            self._examples.append((example, '', 0))
            return
        try:
            name, path = _find(Path(source.features), example)
            key = str(path)
            if key not in self._files:
                features = open_features(path)
                loop.check(features)
                _check_encoder(features, encoder_id)
                recordings = recordings_named(Path(source.text).parent, name)
                check_made_of(features, recordings)
                check_trained_on(recordings)
                self._files[key] = (features, loop)
                self._digests.setdefault(source.features, {})[key] = features.digest
            frames = self._files[key][0].frames_until(example.at_s)
        except (OSError, ValueError) as error:
            raise type(error)(f'{example.source}: {error}') from error
        self._examples.append((example, key, frames))
        self._asked.setdefault(key, set()).add(frames)

    def _warn_of_held_out(self, source: DataSource) -> None:
        files = self._digests.get(source.features, {})
        names = sorted(Path(path).stem for path in files if is_named_held_out(Path(path).stem))
        if names:
            logger.warning(
                '%s: %d streams have the names of seeds that are kept for validation or tests, as '
                '%s; who trains on them cannot test on them',
                source.text,
                len(names),
                names[0],
            )

    def _check_room(self, largest: int) -> None:
        """Refuse a max_length at which no answer has room for a token.

        :param largest: tokens that any memory has at most.
        """
        if self._least_context(largest) < self._max_length:
            return
        example, key, frames = min(self._examples, key=lambda item: item[2])
        memory = 0
        if key:
            features, loop = self._files[key]
            memory = loop.count(features, frames)
        least = self._least_context(memory)
        if least >= self._max_length:
            raise ValueError(
                f'max_length: expected more than {least} (memory {memory}, prompt '
                f'{least - memory}, as in {example.source}), got {self._max_length}'
            )

    def _least_context(self, memory: int) -> int:
        """Tokens before the answer where they are fewest, or where they are few enough."""
        before, least = len(self._prompt.before_memory()) + memory, None
        for example, _, _ in self._examples:
            for question, _ in example.turns if example.independent else example.turns[:1]:
                tokens = before + len(self._prompt.after_memory(question))
                least = tokens if least is None else min(tokens, least)
                if least < self._max_length:
                    return least
        return least

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Item:
        example, key, frames = self._examples[index]
        if key:
            features, loop = self._files[key]
            memory = loop.tokens(features, frames, sorted(self._asked[key]))
        else:
            nothing = torch.zeros(0, self._width)
            memory = MemoryTokens(nothing, nothing.half(), 0)
        try:
            sequence = make_sequence(self._prompt, example, memory.count, self._max_length)
        except ValueError as error:
            raise ValueError(f'{example.source}: {error}') from error
        return sequence, memory, example.name


def _read(source: DataSource, turns: int) -> list[Example]:
    if source.questions:
        if Path(source.questions).name in CLIP_LISTS:
            raise ValueError(
                f'{source.questions}: expected questions to train on, got the test of VStream-QA, '
                f'whose times are not seconds of its streams'
            )
        return read_questions(Path(source.questions), turns)
    return read_conversations(Path(source.conversations))


def _find(folder: Path, example: Example) -> tuple[str, Path]:
    """The name that features lie under, and their file; the first one where there are none."""
    paths = [(name, find_features(folder, name)) for name in example.names]
    return next((found for found in paths if found[1].is_file()), paths[0])


def _check_encoder(features: FeatureFile, encoder_id: str) -> None:
    if features.encoder_id not in ('', encoder_id):
        raise ValueError(
            f'{features.path}: features of encoder {features.encoder_id}, but the checkpoint has '
            f'encoder {encoder_id}; extract them again'
        )


class MicroBatches:
    """Which examples each micro-batch holds: a pure function of seed, step and process.

    The data is seen in one endless row of epochs, each in an order of its own, and cut into steps,
    so that no example is left out at the end of an epoch and a run can go on at any step.

    :param examples: how many there are.
    :param start: the first step.
    :param stop: the step before which to stop.
    """

    def __init__(
        self,
        examples: int,
        config: RunConfig,
        start: int,
        stop: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self._examples, self._seed = examples, config.seed
        self._global, self._micro = config.global_batch, config.micro_batch
        self._start, self._stop = start, stop
        self._process, self._processes = process, processes
        if config.global_batch % (config.micro_batch * processes):
            raise ValueError(
                f'global_batch: expected a multiple of micro_batch {config.micro_batch} x '
                f'{processes} processes, got {config.global_batch}'
            )

    def __iter__(self) -> Iterator[list[int]]:
        stride = self._micro * self._processes
        order: tuple[int, Any] = (-1, None)
        for step in range(self._start, self._stop):
            for offset in range(0, self._global, stride):
                batch = []
                first = step * self._global + offset + self._process * self._micro
                for place in range(first, first + self._micro):
                    epoch, index = divmod(place, self._examples)
                    if order[0] != epoch:
                        order = (epoch, epoch_order(self._examples, self._seed, epoch))
                    batch.append(order[1][index])
                yield batch

    def __len__(self) -> int:
        steps = self._stop - self._start
        return steps * self._global // (self._micro * self._processes)


def epoch_order(examples: int, seed: int, epoch: int) -> Sequence[int]:
    """The order in which one epoch goes through the examples."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(examples, generator=generator).tolist()
