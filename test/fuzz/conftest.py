# SPDX-License-Identifier: Apache-2.0
"""How many inputs each property is tried on, and a bound on the memory that they may take.

`make test` tries a few and always the same ones; FUZZ_EXAMPLES=10000 as many new ones of each.
"""

import importlib.util
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

BOUNDED = 200
# A picture of 2**26 pixels, the most that is decoded, takes a decoder up to 16 bytes a pixel.
MOST_BYTES = 5 * 2**28

if importlib.util.find_spec('hypothesis') is None:
    collect_ignore_glob = ['test_*.py']  # on a robot, where Debian has not brought it
else:
    from hypothesis import HealthCheck, settings
    from hypothesis.configuration import set_hypothesis_home_dir

    set_hypothesis_home_dir(Path(tempfile.gettempdir()) / 'hypothesis')
    examples = os.environ.get('FUZZ_EXAMPLES')
    settings.register_profile(
        'flash_vstream_ros',
        max_examples=int(examples or BOUNDED),
        derandomize=not examples,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile('flash_vstream_ros')


@pytest.fixture(scope='module', autouse=True)
def bounded_memory() -> Iterator[None]:
    """No input may make the process grow by more than the largest picture takes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown <= MOST_BYTES, f'the process has grown by {grown} bytes'
