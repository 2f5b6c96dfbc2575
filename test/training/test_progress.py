# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from torch.distributed.checkpoint import CheckpointException

from flash_vstream_ros.training.progress import RunState


class Saving:
    """Stands in for an Accelerator: one process, whose state is one file."""

    is_main_process = True

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error

    def wait_for_everyone(self) -> None:
        pass

    def save_state(self, folder: str) -> None:
        Path(folder).mkdir(parents=True)
        (Path(folder) / 'state').write_text('half')
        if self._error is not None:
            raise self._error


def test_a_full_disk_is_said_also_where_weights_are_shared_out(tmp_path):
    """What FSDP's states fail with is no Exception."""
    state = RunState(tmp_path, {})
    state.save(Saving(), 1)
    failed = CheckpointException('write', {0: (OSError('No space left on device'), [])})
    words = r'step-00000002: the state .*: No space left on device; the one from before'
    with pytest.raises(OSError, match=words):
        state.save(Saving(failed), 2)
    assert [path.name for path in tmp_path.iterdir()] == ['step-00000001']


def test_states_that_a_kill_left_half_written_are_removed(tmp_path):
    (tmp_path / '.step-00000003.part').mkdir()
    (tmp_path / '.step-00000003.part/state').write_text('half')
    RunState(tmp_path, {}).save(Saving(), 8)
    assert [path.name for path in tmp_path.iterdir()] == ['step-00000008']


def test_other_settings_are_refused_with_the_folder_to_remove(tmp_path):
    """All of the run: of its state alone a checkpoint of the old sizes would remain."""
    RunState(tmp_path / 'run/state', {'seed': 1}).save(Saving(), 1)
    with pytest.raises(ValueError, match=rf'seed = 1, .* or remove {tmp_path}/run$'):
        RunState(tmp_path / 'run/state', {'seed': 2}).newest()
