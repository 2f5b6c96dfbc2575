# SPDX-License-Identifier: Apache-2.0
"""Processes of this machine: which one a publisher is, how it was started, what it sends through.

Read from /proc, where that is there and may be read. No ROS.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from flash_vstream_ros.nodes.doctor_facts import Process

PROC = Path('/proc')
# What decides how ROS, its middleware and the memory of a process behave.
PREFIXES = ('ROS_', 'RMW_', 'FASTDDS_', 'FASTRTPS_', 'MALLOC_', 'CUDA_VISIBLE_DEVICES')
FAST_DDS = b'\x01\x0f'  # its vendor id, with which the identity of each of its publishers begins
# Locked, and so held open, by the process that sends through the segment of this name
_SEGMENT_LOCK = re.compile(r'(/dev/shm/fast(?:dds|rtps)_[0-9a-f]+)_el')
PROGRAMS = {
    'frame_handler': ('frame_handler',),
    'question_handler': ('question_handler',),
    'one_process': ('frame_handler', 'question_handler'),
}


def relevant(environment: dict[str, str]) -> dict[str, str]:
    """Pick the variables that decide how ROS behaves."""
    return {name: value for name, value in environment.items() if name.startswith(PREFIXES)}


def find_process(gid: bytes, own_gid: bytes) -> Process | None:
    """Find the process of a publisher of this machine.

    Fast DDS writes host and process into the identity of a publisher: after two bytes of the
    vendor two of the host and two of the process number, the lower ones.

    :param gid: identity of the publisher.
    :param own_gid: identity of a publisher of this process.
    :returns: None where it runs elsewhere, or cannot be told from others.
    """
    if gid[:2] != FAST_DDS or gid[:4] != own_gid[:4]:
        return None
    number = int.from_bytes(gid[4:6], 'little')
    found = [see_process(pid) for pid in _pids() if pid & 0xFFFF == number and may_publish(pid)]
    sending = [process for process in found if process.segment_bytes is not None]
    likely = sending or found
    return likely[0] if len(likely) == 1 else None


def see_process(pid: int) -> Process:
    """Look at a process as far as it may be looked at."""
    try:
        lines = (PROC / str(pid) / 'environ').read_bytes().decode(errors='replace').split('\0')
        environment = relevant(dict(line.split('=', 1) for line in lines if '=' in line))
    except OSError:
        environment = None
    return Process(pid, environment, max(_segments(pid), default=None))


def may_publish(pid: int) -> bool:
    """Whether a process has loaded Fast DDS: the number of one in a container may be another's."""
    try:
        loaded = (PROC / str(pid) / 'maps').read_bytes()
    except OSError:  # of another user: it cannot be told
        return True
    return b'fastdds' in loaded or b'fastrtps' in loaded


def find_programs() -> dict[str, tuple[Process, ...]]:
    """Find the nodes that run here, whatever ROS domain they are in.

    :returns: frame_handler and question_handler -> processes.
    """
    found: dict[str, list[Process]] = {'frame_handler': [], 'question_handler': []}
    for pid in _pids():
        for program in PROGRAMS.get(_program(pid), ()):
            found[program].append(see_process(pid))
    return {program: tuple(processes) for program, processes in found.items()}


def _program(pid: int) -> str:
    """Which program of the package a process is: started by its path or as a module."""
    try:
        words = (PROC / str(pid) / 'cmdline').read_bytes().decode(errors='replace').split('\0')
    except OSError:
        return ''
    for word in words[:2]:
        if 'flash_vstream_ros' in Path(word).parts:
            return Path(word).name
    if '-m' in words[:-1]:
        package, _, name = words[words.index('-m') + 1].rpartition('.')
        return name if package == 'flash_vstream_ros.nodes' else ''
    return ''


def _pids() -> Iterator[int]:
    if PROC.is_dir():
        yield from (int(path.name) for path in PROC.iterdir() if path.name.isdecimal())


def _segments(pid: int) -> Iterator[int]:
    """Sizes of the shared memory that a process sends through, in bytes."""
    process = PROC / str(pid)
    try:
        opened = list((process / 'fd').iterdir())
    except OSError:
        return
    for link in opened:
        try:
            lock = _SEGMENT_LOCK.fullmatch(str(link.readlink()))
            if lock:  # as the process sees it: it may live in a container
                yield Path(f'{process}/root{lock[1]}').stat().st_size
        except OSError:  # closed meanwhile
            continue
