# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests."""

from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def repository() -> Path:
    """Folder of the source tree."""
    return Path(__file__).resolve().parents[1]
