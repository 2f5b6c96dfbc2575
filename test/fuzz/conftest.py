# SPDX-License-Identifier: Apache-2.0
"""How many inputs each property is tried on.

A few and always the same ones in `make test`; FUZZ_EXAMPLES=10000 tries as many new ones of each.
"""

import os
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

BOUNDED = 100
# Of one input, where new ones are tried: nothing may make a robot wait.
LONGEST = timedelta(seconds=20)

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / 'hypothesis')
_examples = os.environ.get('FUZZ_EXAMPLES')
settings.register_profile(
    'flash_vstream_ros',
    max_examples=int(_examples or BOUNDED),
    derandomize=not _examples,
    deadline=LONGEST if _examples else None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile('flash_vstream_ros')
