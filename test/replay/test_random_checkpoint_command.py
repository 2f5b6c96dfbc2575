# SPDX-License-Identifier: Apache-2.0
"""The verb ``random-checkpoint``."""

from pathlib import Path

import pytest

from flash_vstream_ros.__main__ import CHECKPOINT_SIZES, main
from flash_vstream_ros.core.random_checkpoint import SIZES


def test_a_random_checkpoint_is_written_and_never_over_something(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / 'checkpoint'
    assert main(['random-checkpoint', str(out), '--seed', '4']) == 0
    assert (out / 'config.json').is_file()
    assert main(['random-checkpoint', str(out)]) == 1
    assert 'is not overwritten' in capsys.readouterr().err


@pytest.mark.parametrize('is_there', [False, True])
def test_an_interrupted_random_checkpoint_leaves_a_place_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    out = tmp_path / 'checkpoint'
    if is_there:
        out.mkdir()

    def interrupted(*given: object, **options: object) -> None:
        assert (out / 'config.json').is_file()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr('flash_vstream_ros.core.random_checkpoint.write_tensors', interrupted)
        assert main(['random-checkpoint', str(out)]) == 130
    assert list(tmp_path.iterdir()) == ([out] if is_there else [])
    assert main(['random-checkpoint', str(out)]) == 0


def test_the_sizes_are_those_of_the_maker() -> None:
    assert CHECKPOINT_SIZES == SIZES
