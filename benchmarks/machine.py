# SPDX-License-Identifier: Apache-2.0
"""What a figure was measured on: models, counts and versions, never names or paths."""

import os
import platform
import re
from pathlib import Path

import torch

from benchmarks.measure import CPU


def describe_machine(device: torch.device = CPU) -> dict[str, str]:
    """Describe this machine for a report.

    :param device: described too where it is a GPU.
    """
    name = _read('/proc/cpuinfo', 'model name') or platform.machine()
    cores = len(os.sched_getaffinity(0))
    machine = {
        'CPU': f'{name}, {cores} cores, {torch.backends.cpu.get_cpu_capability()}',
        'memory': f'{_total_memory_gb():.0f} GB',
        'system': f'{platform.system()} {platform.machine()}, Python {platform.python_version()}',
        'torch': f'{torch.__version__}, {torch.get_num_threads()} threads',
    }
    if 'ROS_DISTRO' in os.environ:
        machine['ROS 2'] = os.environ['ROS_DISTRO']
    if device.type == 'cuda':
        properties = torch.cuda.get_device_properties(device)
        memory_gb = properties.total_memory / 1e9
        machine['GPU'] = f'{properties.name}, {memory_gb:.0f} GB, CUDA {torch.version.cuda}'
    machine['load before'] = f'{os.getloadavg()[0]:.1f} processes'
    return machine


def _total_memory_gb() -> float:
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9


def _read(path: str, key: str) -> str:
    """Value of the first line that begins with ``key``; empty where there is none."""
    found = re.search(rf'^{key}\s*:\s*(.+)$', Path(path).read_text(), re.MULTILINE)
    return found[1].strip() if found else ''
