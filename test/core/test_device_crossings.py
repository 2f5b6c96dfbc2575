# SPDX-License-Identifier: Apache-2.0
"""What the host waits for, counted on a GPU that is none; see ``fake_cuda``."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope='module')
def scenes() -> dict[str, dict[str, Any]]:
    """What crossed in each scene of ``fake_cuda_scenes``."""
    # A folder of tests is no package, and the environment may keep a script's own folder out.
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get('PYTHONPATH', '')]))
    done = subprocess.run(
        [sys.executable, HERE / 'fake_cuda_scenes.py'],
        env=os.environ | {'PYTHONPATH': path},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    if found['fault']:
        pytest.skip(found['fault'])
    return found['scenes']


@pytest.mark.parametrize('scene', ['commit', 'commit that fades', 'write'])
def test_a_write_of_the_memory_crosses_nothing(scene, scenes):
    """Else it could not be captured."""
    found = scenes[scene]
    assert found['kernels'] > 80, 'it has been done at all'
    assert found['waits'] == found['uploads'] == []


@pytest.mark.parametrize('scene', ['encode', 'encode a frame of the host', 'captured pass'])
def test_a_pass_that_is_captured_crosses_nothing(scene, scenes):
    found = scenes[scene]
    assert found['kernels'] > 30
    assert found['waits'] == found['uploads'] == []


def test_what_a_frame_shows_and_whether_it_can_be_memorised_are_one_wait(scenes):
    assert len(scenes['whole picture']['waits']) == 1
    assert scenes['whole picture']['uploads'] == []


@pytest.mark.parametrize('way', ['plain', 'alone', 'drawn'])
def test_a_token_is_one_wait_and_nothing_is_sent_that_is_waited_for(way, scenes):
    for what, tokens in (('question', 1), ('question and two tokens', 3)):
        found = scenes[f'{way}: {what}']
        assert len(found['waits']) == tokens
        assert found['uploads'] == []


@pytest.mark.parametrize('scene', ['alone: choices', 'together: choices'])
def test_the_scores_of_all_choices_are_one_wait(scene, scenes):
    assert len(scenes[scene]['waits']) == 1
    assert scenes[scene]['uploads'] == []
