# SPDX-License-Identifier: Apache-2.0
"""The report of the fuzzers counts what Hypothesis says."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / 'scripts'))
import fuzz  # noqa: E402

sys.path.remove(str(ROOT / 'scripts'))

SAID = """
test/fuzz/test_fuzz_images.py::test_one_thing:

  - during reuse phase (0.00 seconds):
    - Typical runtimes: < 1ms, of which < 1ms in data generation
    - 2 passing, 0 failing, and 0 invalid test cases

  - during generate phase (0.11 seconds):
    - 30 passing, 0 failing, and 7 invalid test cases

test/fuzz/test_fuzz_prompts.py::test_another:

  - during generate phase (0.11 seconds):
    - 5 passing, 0 failing, and 0 invalid test cases

test/fuzz/test_fuzz_prompts.py::test_that_fails:

  - during generate phase (0.11 seconds):
    - 9 passing, 1 failing, and 0 invalid test cases
"""


def test_inputs_are_summed_up_over_the_phases_of_a_property():
    assert fuzz.count_examples(SAID) == {
        'test_fuzz_images: one thing': 32,
        'test_fuzz_prompts: another': 5,
    }
