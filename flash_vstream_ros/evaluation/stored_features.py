# SPDX-License-Identifier: Apache-2.0
"""What the feature files of an evaluation have in common, and what tells them from others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flash_vstream_ros.data.features import FeatureFile
from flash_vstream_ros.evaluation.dataset import StreamQuestion


@dataclass(frozen=True)
class StoredFeatures:
    """The feature files of all streams that are asked about.

    :param side: P of their maps.
    :param sample_rate: frames per second of stamp time; 0: all.
    :param digests: of each stream's file, by set and stream; see ``FeatureFile.digest``.
    """

    side: int
    sample_rate: float
    digests: dict[str, str]

    @classmethod
    def of(cls, files: Mapping[str, FeatureFile]) -> 'StoredFeatures':
        """Take together what files, at least one, have in common.

        :param files: by set and stream.
        :raises ValueError: two of them differ in what inputs show of a stream.
        """
        listed = list(files.values())
        side = _common(listed, 'patches along a side', 'side', lambda file: file.side)
        rate = _common(listed, 'frames a second', 'sample-rate', lambda file: file.sample_rate)
        return cls(side, rate, {name: file.digest for name, file in files.items()})


def check_read_by(
    file: FeatureFile, question: StreamQuestion, model: str, width: int, encoder_id: str
) -> None:
    """Check that a model can read the features of the stream that a question is about.

    :param width: of its encoder's maps.
    :raises ValueError: another encoder has made them; the question's file and line are named.
    """
    if file.width != width:
        raise ValueError(
            f'{question.source}: {file.path}: features of width {file.width}, but {model} has a '
            f'geometry of width {width}'
        )
    if file.encoder_id not in ('', encoder_id):
        raise ValueError(
            f'{question.source}: {file.path}: features of encoder {file.encoder_id}, but {model} '
            f'has encoder {encoder_id}; extract them again'
        )


def _common(
    files: list[FeatureFile], what: str, option: str, value: Callable[[FeatureFile], Any]
) -> Any:
    first = files[0]
    for file in files:
        if value(file) != value(first):
            raise ValueError(
                f'--features: expected equal features of all streams, but {first.path} has '
                f'{value(first)} {what} and {file.path} {value(file)}; extract them again with '
                f'one --{option}'
            )
    return value(first)
