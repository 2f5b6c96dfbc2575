# SPDX-License-Identifier: Apache-2.0
"""What a training run is told: a YAML file, checked key by key."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from flash_vstream_ros.core.config import FLOAT_TYPES
from flash_vstream_ros.core.tunables import check_tunables, tunable

PRECISIONS = ('no', 'bf16', 'fp16')
PARTS_BY_STAGE = {
    1: ('attention', 'projector'),
    2: ('attention', 'projector', 'language_model'),
}


@dataclass(frozen=True)
class DataSource:
    """One data set: a file of text and the folder of its features."""

    questions: str = tunable('', 'JSON of questions as VStream-QA and the simulator write them')
    conversations: str = tunable('', 'JSON of conversations as LLaVA writes them')
    features: str = tunable('', 'folder of what extract wrote')

    def __post_init__(self) -> None:
        check_tunables(self)
        if bool(self.questions) == bool(self.conversations):
            raise ValueError('expected either questions or conversations, a JSON file')
        if not self.features:
            raise ValueError('features: expected the folder that extract wrote, got none')

    @property
    def text(self) -> str:
        """The JSON file, of whichever kind."""
        return self.questions or self.conversations


@dataclass(frozen=True)
class RunConfig:
    """How a run goes about it, whatever it trains."""

    out: str = tunable('', 'folder of the run: checkpoint, state, logs')
    global_batch: int = tunable(256, 'sequences a step', minimum=1, maximum=1_000_000)
    micro_batch: int = tunable(32, 'sequences at once on a device', minimum=1, maximum=100_000)
    learning_rate: float = tunable(1e-3, 'its peak', minimum=0.0, maximum=10.0)
    warmup: float = tunable(0.03, 'share of all steps that warm up', minimum=0.0, maximum=1.0)
    weight_decay: float = tunable(0.0, "AdamW's, of matrices only", minimum=0.0, maximum=10.0)
    adam_beta1: float = tunable(0.9, "AdamW's", minimum=0.0, maximum=0.999999)
    adam_beta2: float = tunable(0.999, "AdamW's", minimum=0.0, maximum=0.999999)
    max_grad_norm: float = tunable(1.0, 'longer gradients are cut', minimum=1e-6, maximum=1e6)
    epochs: float = tunable(1.0, 'times the data is seen', minimum=0.0, maximum=1e6)
    steps: int = tunable(0, 'steps instead of epochs; 0: epochs count', minimum=0)
    stop_at: int = tunable(0, 'step to end at, before all of the schedule; 0: its end', minimum=0)
    precision: str = tunable('no', 'of mixed precision', choices=PRECISIONS)
    gradient_checkpointing: bool = tunable(False, 'compute again instead of keeping: less memory')
    seed: int = tunable(0, 'of the order of the data and of what is random', minimum=0)
    save_every: int = tunable(500, 'steps; 0: at the end only', minimum=0)
    save_dtype: str = tunable('float32', 'of the weights in the checkpoint', choices=FLOAT_TYPES)
    log_every: int = tunable(10, 'steps', minimum=1)
    workers: int = tunable(0, 'processes that read data, each', minimum=0, maximum=256)

    def __post_init__(self) -> None:
        check_tunables(self)
        if not self.out:
            raise ValueError('out: expected a folder for the run, got none')


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """A run of the paper's stages."""

    stage: int = tunable(
        1, '1 aligns the modalities, 2 tunes to instructions', minimum=1, maximum=2
    )
    init: str = tunable('', 'checkpoint to start from: a folder or a hub id')
    data: tuple[DataSource, ...] = tunable((), 'what is learned from')
    trainable: tuple[str, ...] = tunable((), 'parts of the model; none: those of the stage')
    memory_input: str = tunable('star', 'what the language model reads of a stream')
    memory_cache: str = tunable('', "folder of computed memories; default: the features' own")
    turns_per_sequence: int = tunable(
        12, 'questions asked at one moment that share a sequence', minimum=1, maximum=1000
    )
    max_length: int = tunable(
        2048, "tokens of an answer's context, itself included", minimum=8, maximum=1_000_000
    )
    compile: bool = tunable(False, 'the language model, by torch.compile: minutes, then faster')

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.init:
            raise ValueError('init: expected the checkpoint to start from, got none')
        if not self.data:
            raise ValueError('data: expected a list of {questions or conversations, features}')
        unknown = set(self.trainable) - set(PARTS_BY_STAGE[2])
        if unknown:
            raise ValueError(
                f'trainable: expected some of {list(PARTS_BY_STAGE[2])}, got {sorted(unknown)}'
            )

    @property
    def trained_parts(self) -> tuple[str, ...]:
        """The parts whose weights change."""
        return self.trainable or PARTS_BY_STAGE[self.stage]


def read_training_config(path: Path, overrides: Mapping[str, Any]) -> TrainingConfig:
    """Read a YAML file.

    :param overrides: values that replace those of the file.
    :raises OSError: the file cannot be read.
    :raises ValueError: a key is unknown, a value unfit; the file is named.
    """
    return read_config(path, overrides, _training_config)


def read_config(
    path: Path, overrides: Mapping[str, Any], build: Callable[[dict[str, Any]], Any]
) -> Any:
    """Read a YAML file as a config.

    :param build: makes the config of keys and values.
    :raises OSError: the file cannot be read.
    :raises ValueError: see :func:`read_training_config`.
    """
    if not path.exists():
        raise FileNotFoundError(
            f'{path}: no such file; begin from config/training or models/patrol-tiny/*.yaml'
        )
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, 'problem_mark', None)
        line = f', line {mark.line + 1}' if mark else ''
        problem = getattr(error, 'problem', None) or str(error)
        raise ValueError(f'{path}{line}: not YAML: {problem}') from error
    if not isinstance(values, dict):
        raise ValueError(f'{path}: expected keys and values, got {values!r}')
    try:
        return build(values | dict(overrides))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def _training_config(values: dict[str, Any]) -> TrainingConfig:
    values = dict(values)
    for name in ('data', 'trainable'):
        if name in values and not isinstance(values[name], list):
            raise ValueError(f'{name}: expected a list, got {values[name]!r}')
    if 'data' in values:
        values['data'] = tuple(
            build_config(DataSource, item, f'data, item {number}: ')
            for number, item in enumerate(values['data'], start=1)
        )
    if 'trainable' in values:
        values['trainable'] = tuple(map(str, values['trainable']))
    return build_config(TrainingConfig, values)


def build_config(kind: type, values: Any, where: str = '') -> Any:
    """Make a config of keys and values.

    :param where: what messages begin with.
    :raises ValueError: a key is unknown, a value unfit.
    """
    if not isinstance(values, dict):
        raise ValueError(f'{where}expected keys and values, got {values!r}')
    known = {item.name: item for item in fields(kind)}
    for name in values:
        _check_key(name, list(known), where)
    try:
        return kind(**{name: _as_meant(known[name], v) for name, v in values.items()})
    except ValueError as error:
        raise ValueError(f'{where}{error}') from error


def _check_key(name: Any, known: Sequence[str], where: str) -> None:
    if name not in known:
        nearest = get_close_matches(str(name), known, n=1)
        hint = f'; did you mean {nearest[0]}?' if nearest else ''
        raise ValueError(f'{where}unknown key {name!r}, expected some of {", ".join(known)}{hint}')


def _as_meant(key: Field, value: Any) -> Any:
    """YAML 1.1 reads 1e-3, without a point, as a text, and no as false."""
    if value is False and 'no' in key.metadata.get('choices', ()):
        return 'no'
    if isinstance(key.default, float) and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
