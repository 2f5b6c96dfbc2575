# SPDX-License-Identifier: Apache-2.0
"""scripts/evaluate_patrol_tiny.sh: which model, which seed's baselines, and where to."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / 'scripts'
NAMES = ('evaluate_patrol_tiny.sh', 'patrol_tiny_common.sh')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository whose Python only says what it was called with."""
    for folder in ('scripts', '.venv/bin'):
        (tmp_path / folder).mkdir(parents=True)
    for name in NAMES:
        shutil.copy(SCRIPTS / name, tmp_path / 'scripts')
    python = tmp_path / '.venv/bin/python'
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    for seed in (0, 2):
        (tmp_path / f'runs/patrol-tiny/seed{seed}/end_uniform/checkpoint').mkdir(parents=True)
    return tmp_path


def evaluations(root: Path, *arguments: str) -> list[str]:
    command = ['bash', root / 'scripts/evaluate_patrol_tiny.sh', *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if ' evaluate ' in line]


def test_it_evaluates_the_model_in_the_box(root):
    for minutes, line in zip((10, 120), evaluations(root), strict=True):
        assert '--model models/patrol-tiny ' in line
        assert f'--out runs/patrol-tiny/results{minutes} ' in line
        assert line.endswith('--input uniform=runs/patrol-tiny/seed0/end_uniform/checkpoint')


def test_another_seed_has_its_own_baselines_and_results(root):
    for minutes, line in zip(
        (10, 120), evaluations(root, 'a/model', '2', 'runs/two'), strict=True
    ):
        assert '--model a/model ' in line
        assert f'--out runs/two/results{minutes} ' in line
        assert line.endswith('--input uniform=runs/patrol-tiny/seed2/end_uniform/checkpoint')


def test_a_seed_that_was_not_trained_has_no_baselines(root):
    assert all('uniform=' not in line for line in evaluations(root, 'a/model', '7'))
