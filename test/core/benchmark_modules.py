# SPDX-License-Identifier: Apache-2.0
"""The benchmarks as modules, which are no part of the installed package."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# For these imports alone: the source tree's launch folder would hide ROS's package of that name.
sys.path.append(str(ROOT))
from benchmarks import (  # noqa: E402
    ages,
    answers,
    decoding,
    floors,
    gpu,
    gpu_targets,
    kmeans,
    loading,
    machine,
    measure,
    memory,
    quantization,
    replaying,
    report,
)

sys.path.remove(str(ROOT))

__all__ = [
    'ages',
    'answers',
    'decoding',
    'floors',
    'gpu',
    'gpu_targets',
    'kmeans',
    'loading',
    'machine',
    'measure',
    'memory',
    'quantization',
    'replaying',
    'report',
]
