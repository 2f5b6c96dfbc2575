# SPDX-License-Identifier: Apache-2.0
"""An evaluation: all questions of a data folder to all inputs, resumable at any moment."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flash_vstream_ros.core.checkpoint_files import resolve_folder
from flash_vstream_ros.core.config import FrameHandlerConfig, QuestionHandlerConfig
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.data.features import open_features
from flash_vstream_ros.data.recordings import check_made_of, identity
from flash_vstream_ros.data.tower import tower_id
from flash_vstream_ros.data.trained_input import read_trained_input
from flash_vstream_ros.evaluation.dataset import StreamQuestion, find_question_files, read_dataset
from flash_vstream_ros.evaluation.inputs import Source, StreamInput, make_input
from flash_vstream_ros.evaluation.json_lines import JsonLines
from flash_vstream_ros.evaluation.run_folder import (
    ANSWERS,
    FolderLock,
    check_folder,
    checkpoint_digest,
    file_digest,
    forget_recordings,
    settle,
)
from flash_vstream_ros.evaluation.runner import (
    Asked,
    Key,
    RunningInput,
    StreamRun,
    by_stream,
    key_of,
)
from flash_vstream_ros.evaluation.stored_features import StoredFeatures, check_read_by
from flash_vstream_ros.evaluation.streams import (
    RecordedLength,
    RecordedStream,
    StoredStream,
    Stream,
    ask_times,
    find_feature_file,
    find_stream_recording,
    recordings_beside,
)
from flash_vstream_ros.evaluation.whole_video import WholeVideoInput

logger = logging.getLogger(__name__)

PATHS = ('streaming', 'whole')
Progress = Callable[[Iterable[dict[str, Any]]], Iterable[dict[str, Any]]]


@dataclass(frozen=True)
class EvaluationConfig:
    """What to evaluate.

    :param model: the checkpoint of every input that has none of its own.
    :param inputs: names of inputs, each with its own checkpoint, or None.
    :param features: folder of stored features; None: recordings are encoded.
    :param path: ``streaming``, or ``whole``: each memory from the whole video at once.
    :param limit: answer so many questions only, the first; None: all.
    :param topic: of the images of bags, where they are recordings; None: their only one.
    """

    model: str
    data: Path
    out: Path
    inputs: dict[str, str | None]
    features: Path | None = None
    device: str = FrameHandlerConfig.device
    dtype: str = FrameHandlerConfig.dtype
    quantization: str = QuestionHandlerConfig.quantization
    sample_rate: float = FrameHandlerConfig.sample_rate
    path: str = PATHS[0]
    max_new_tokens: int = QuestionHandlerConfig.max_new_tokens
    limit: int | None = None
    topic: str | None = None


class Evaluation:
    """Reads data and models, then answers what has no answer in the folder yet.

    ``unanswered`` counts, after a run, the questions of each stream that failed meanwhile.

    :raises OSError: a file or recording is missing.
    :raises ValueError: the data, a model or the results of an earlier run cannot be used, or
        another evaluation writes there.
    """

    def __init__(self, config: EvaluationConfig) -> None:
        check_folder(config.out)
        self.config = config
        self.unanswered: dict[str, int] = {}
        self.dataset = read_dataset(config.data)
        self.questions = self.dataset[: config.limit]
        self._streams = by_stream(self.questions)
        self._paths = {id(group): self._find(group) for group in self._streams}
        self._stored = self._describe_features()
        self._models = {
            model: FlashVStream.from_pretrained(
                model, config.device, config.dtype, quantization=config.quantization
            )
            for model in dict.fromkeys(own or config.model for own in config.inputs.values())
        }
        self._towers = {model: tower_id(resolve_folder(model)) for model in self._models}
        self.inputs = {name: own or config.model for name, own in config.inputs.items()}
        self._check_budgets()
        self._check_features()
        self.lock = FolderLock(config.out)
        with self.lock:
            self._settle()

    def _check_budgets(self) -> None:
        budgets = {model: vstream.geometry.tokens for model, vstream in self._models.items()}
        if len(set(budgets.values())) > 1:
            listed = ', '.join(f'{model}: {tokens}' for model, tokens in budgets.items())
            raise ValueError(
                f'--input: expected models whose memories have equally many tokens, as inputs are '
                f'compared at an equal budget, got {listed}; evaluate them in different --out'
            )

    def _check_features(self) -> None:
        for group in self._streams if self._stored else ():
            file = open_features(self._paths[id(group)])
            for model, vstream in self._models.items():
                width = vstream.geometry.feature_width
                check_read_by(file, group[0], model, width, self._towers[model])

    def _find(self, group: Sequence[StreamQuestion]) -> Path:
        """Find a stream's features or recording; what is wrong with it is said before the work."""
        config, first = self.config, group[0]
        if config.features is None:
            path = find_stream_recording(first)
            stream = _naming(first, RecordedLength, path, config.sample_rate, config.topic)
        else:
            path = find_feature_file(config.features, first)
            stream = _naming(first, StoredStream, path)
            _naming(first, check_made_of, stream.file, recordings_beside(first, path))
        ask_times(stream, group)
        return path

    def _describe_features(self) -> StoredFeatures | None:
        if self.config.features is None:
            return None
        groups = {_name(group): group for group in self._streams}
        return StoredFeatures.of(
            {name: open_features(self._paths[id(group)]) for name, group in groups.items()}
        )

    def _settle(self) -> None:
        config, stored = self.config, self._stored
        settings = {
            'data': file_digest(find_question_files(config.data)),
            'sets': list(dict.fromkeys(q.set_name for q in self.dataset)),
            'path': config.path,
            'source': 'features' if stored else 'recordings',
            'sample_rate': stored.sample_rate if stored else config.sample_rate,
            'max_new_tokens': config.max_new_tokens,
            'dtype': sorted({str(v.projector[0].weight.dtype) for v in self._models.values()}),
            'quantization': config.quantization,
            'topic': config.topic,
        }
        digests = {model: checkpoint_digest(model) for model in self._models}
        inputs = {
            name: {
                'weights': digests[model],
                'trained_on': read_trained_input(resolve_folder(model)),
                'model': model,
                'description': self._describe(name),
            }
            for name, model in self.inputs.items()
        }
        settle(config.out, settings, inputs, **self._origins())

    def _origins(self) -> dict[str, dict[str, str]]:
        """What tells each stream from another one of its name, by set and stream."""
        if self._stored:
            return {'features': self._stored.digests}
        paths = {_name(group): self._paths[id(group)] for group in self._streams}
        return {'recordings': {name: identity(path) for name, path in paths.items()}}

    def _describe(self, name: str) -> str:
        """What an input shows of these streams, whose maps may be smaller than the encoder's."""
        side = self._stored.side if self._stored else None
        return _naming(self.questions[0], self._make, name, side).description

    def _make(self, name: str, side: int | None) -> StreamInput:
        vstream = self._models[self.inputs[name]]
        made = make_input(name, vstream, side)  # also says whether there is such an input
        if self.config.path == 'whole':
            source = Source(made.geometry, vstream.attention, vstream.encoder_id, vstream.device)
            return WholeVideoInput(name, source)
        return made

    def run(self, progress: Progress = iter) -> list[dict[str, Any]]:
        """Answer all questions that have no answer yet; a stream that fails is passed over.

        :param progress: goes around the new answers, as tqdm does.
        :returns: a record of each answer to these questions, those of earlier runs included.
        :raises OSError: a result cannot be written; all before it are kept.
        :raises ValueError: another evaluation writes here.
        """
        self.unanswered = {}
        with self.lock, JsonLines(self.config.out / ANSWERS) as answers:
            done = {key_of(record) for record in answers.records}
            for record in progress(self._answer(done)):
                answers.append(record)
            if self.unanswered and not self._stored:
                forget_recordings(self.config.out, self.unanswered)
            wanted = {(i, q.set_name, q.id) for q in self.questions for i in self.inputs}
            return [record for record in answers.records if key_of(record) in wanted]

    def _answer(self, done: set[Key]) -> Iterator[dict[str, Any]]:
        for group in self._streams:
            left = {(i, q.set_name, q.id) for q in group for i in self.inputs} - done
            for tower in dict.fromkeys(self._towers.values()):
                names = [i for i in self.inputs if self._towers[self.inputs[i]] == tower]
                for record in self._answer_or_say(group, names, left):
                    left.discard(key_of(record))
                    yield record
            if left:
                self.unanswered[_name(group)] = len({key[1:] for key in left})

    def _answer_or_say(
        self, group: Sequence[StreamQuestion], names: Sequence[str], left: set[Key]
    ) -> Iterator[dict[str, Any]]:
        open_inputs = {
            q.id: frozenset(i for i in self.inputs if (i, q.set_name, q.id) in left) for q in group
        }
        try:
            yield from self._answer_stream(group, names, open_inputs)
        except (OSError, ValueError) as error:
            _say_failed(group, error)

    def _answer_stream(
        self,
        group: Sequence[StreamQuestion],
        names: Sequence[str],
        open_inputs: dict[str, frozenset[str]],
    ) -> Iterator[dict[str, Any]]:
        """Answer the questions of one stream for the inputs whose models share an encoder."""
        asked_names = [n for n in names if any(n in open_ for open_ in open_inputs.values())]
        if not asked_names:
            return
        stream = self._open(group, asked_names)
        times = ask_times(stream, group)
        asked = [
            Asked(question, at_ns, open_inputs[question.id] & set(asked_names))
            for question, at_ns in zip(group, times, strict=True)
        ]
        inputs = {
            name: RunningInput(
                _naming(group[0], self._make, name, stream.side), self._models[self.inputs[name]]
            )
            for name in asked_names
        }
        run = StreamRun(stream, [a for a in asked if a.inputs], inputs, self.config.max_new_tokens)
        yield from run
        if run.left_out:
            logger.warning(
                '%s: %d frames were left out, as their features are not finite: stamped %s ns',
                self._paths[id(group)],
                len(run.left_out),
                run.left_out,
            )

    def _open(self, group: Sequence[StreamQuestion], names: Sequence[str]) -> Stream:
        config, path = self.config, self._paths[id(group)]
        if config.features is not None:
            return StoredStream(path)
        vstream = self._models[self.inputs[names[0]]]
        return RecordedStream(path, vstream, config.sample_rate, config.topic)


def _name(group: Sequence[StreamQuestion]) -> str:
    """A stream's name, by set and video."""
    return f'{group[0].set_name}/{group[0].video}'


def _say_failed(group: Sequence[StreamQuestion], error: Exception) -> None:
    logger.error('%s failed, what is left of it is not answered: %s', _name(group), error)


def _naming(question: StreamQuestion, make: Callable[..., Any], *arguments: object) -> Any:
    """Make something of a stream; an error names the question's file and line."""
    try:
        return make(*arguments)
    except ValueError as error:
        raise ValueError(f'{question.source}: {error}') from error
