# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def repository() -> Path:
    """Folder of the source tree."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture
def write_json(tmp_path: Path) -> Callable[[object], Path]:
    """Write a JSON file of the test's own."""

    def write(value: object) -> Path:
        path = tmp_path / 'entries.json'
        path.write_text(json.dumps(value, indent=1))
        return path

    return write
