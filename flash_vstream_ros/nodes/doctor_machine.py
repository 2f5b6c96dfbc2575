# SPDX-License-Identifier: Apache-2.0
"""Looks at the machine: versions, shared memory, disks, GPU, checkpoints. No ROS of its own."""

import errno
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import torch

from flash_vstream_ros.core.checkpoint_files import CheckpointError, check_files
from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.nodes.doctor_facts import Device, MachineFacts, ModelFacts, NodeFacts
from flash_vstream_ros.nodes.doctor_processes import PROC, find_programs, relevant
from flash_vstream_ros.nodes.memory_store import folder_of, try_writing

SHARED_MEMORY = Path('/dev/shm')
UDP_SOCKETS = Path('/proc/net/udp')
# Ports of a participant (RTPS 9.6.1.1): 7400 + 250 domain + 10 + 2 id, and the next one.
FIRST_PORT, PORTS, PORTS_OF_A_DOMAIN = 7410, 240, 250
PACKAGES = ('flash_vstream_ros', 'rclpy', 'torch', 'transformers', 'numpy')
GPU_TIMEOUT_S = 10.0


def memory_folders(nodes: Iterable[NodeFacts]) -> Mapping[str, Path | str]:
    """Folders in which nodes of this machine save.

    :returns: folder, as its node names it -> as it is reached from here, or why there can be none.
    """
    folders: dict[str, Path | str] = {}
    for node in nodes:
        name = str(node.parameters.get('memory_folder', ''))
        if not (node.processes and name):
            continue
        try:
            folders[name] = _seen_by(node.processes[0].pid, name)
        except ValueError as error:
            folders[name] = str(error)
        except OSError:  # of another user
            continue
    return folders


def _seen_by(pid: int, name: str) -> Path:
    """A folder as a process names it: below its working directory, in its container."""
    process = PROC / str(pid)
    if not name.startswith('~') and not Path(name).is_absolute():
        return (process / 'cwd').readlink() / name
    folder, root = folder_of(name), process / 'root'
    return folder if root.samefile('/') else root / folder.relative_to(folder.anchor)


def see_machine(
    middleware: str, domain_id: int, memories: Mapping[str, Path | str]
) -> MachineFacts:
    """Look at the machine that the doctor runs on.

    :param middleware: identifier of the RMW implementation.
    :param domain_id: of ROS, as it is used.
    :param memories: of :func:`memory_folders`.
    """
    faults = {name: _write_fault(folder) for name, folder in memories.items()}
    faults = {name: fault for name, fault in faults.items() if fault}
    has_shm = SHARED_MEMORY.is_dir()
    shm = shutil.disk_usage(SHARED_MEMORY) if has_shm else None
    return MachineFacts(
        versions=_versions(),
        environment=relevant(dict(os.environ)),
        middleware=middleware,
        domain_id=domain_id,
        discovery_range=os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET'),
        participants=_participants(domain_id),
        shm_total=shm.total if shm else None,
        shm_free=shm.free if shm else 0,
        disks=_disks(folder for name, folder in memories.items() if name not in faults),
        has_cuda=torch.cuda.is_available(),
        devices=_devices(),
        programs=find_programs(),
        unwritable=faults,
    )


def see_models(nodes: tuple[NodeFacts, ...], given: str | None) -> tuple[ModelFacts, ...]:
    """Look at the checkpoints that the nodes name.

    :param given: one to look at whatever the nodes have.
    """
    readers: dict[str, list[NodeFacts]] = {}
    for node in nodes:
        model = str(node.parameters.get('model', ''))
        if model:
            readers.setdefault(model, []).append(node)
    models = [
        ModelFacts(
            model,
            tuple(node.name for node in found),
            **_look(model, [process.pid for node in found for process in node.processes]),
        )
        for model, found in readers.items()
    ]
    if given is not None and given not in readers:
        models.append(ModelFacts(given, ('--model',), is_here=True, fault=_fault(given)))
    return tuple(models)


def _look(model: str, pids: Sequence[int]) -> dict[str, bool | str]:
    """Look at a checkpoint as a process of its readers sees it: from its folder, in its container.

    :returns: ``is_here`` and ``fault``; what may not be looked at is elsewhere.
    """
    if not pids:
        return {'is_here': False, 'fault': ''}
    try:
        path = Path(model).expanduser()
    except RuntimeError as error:  # of a user that there is not
        return {'is_here': True, 'fault': f'{quote(model)}: {error}'}
    within = PROC / str(pids[0]) / ('root' if path.is_absolute() else 'cwd')
    seen = within / path.relative_to(path.anchor)
    try:
        is_folder = seen.is_dir()
        return {'is_here': True, 'fault': _fault(str(seen) if is_folder else model)}
    except OSError:  # of another user
        return {'is_here': False, 'fault': ''}


def _fault(model: str) -> str:
    """:raises OSError: it may not be looked at."""
    try:
        check_files(model)
    except CheckpointError as error:
        return str(error)
    return ''


def _versions() -> Mapping[str, str]:
    """Versions that a report of a fault should name."""
    found = {'ROS 2': os.environ.get('ROS_DISTRO', 'unknown'), 'Python': platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _participants(domain_id: int) -> frozenset[int]:
    """Ids of the participants that listen on this machine, by the ports that RTPS gives them."""
    try:
        rows = UDP_SOCKETS.read_text().splitlines()[1:]
    except OSError:
        return frozenset()
    first = FIRST_PORT + PORTS_OF_A_DOMAIN * domain_id
    ports = {int(row.split()[1].rpartition(':')[2], 16) - first for row in rows}
    # Both of its ports: high domains lie among the ports that the system gives to anybody.
    return frozenset(port // 2 for port in range(0, PORTS, 2) if {port, port + 1} <= ports)


def _disks(memories: Iterable[Path | str]) -> Mapping[str, int]:
    """Bytes free on each disk that logs, downloaded models or memories are written to."""
    home = Path(os.environ.get('ROS_HOME') or Path.home() / '.ros')
    cache = Path(os.environ.get('HF_HOME') or Path.home() / '.cache' / 'huggingface')
    folders = [Path(os.environ.get('ROS_LOG_DIR') or home / 'log'), cache]
    free = {}
    for folder in folders + [Path(memory) for memory in memories]:
        there = _nearest(folder)
        free.setdefault(there.stat().st_dev, (str(there), shutil.disk_usage(there).free))
    return dict(free.values())


def _write_fault(folder: Path | str) -> str:
    """Why nothing can be saved in a folder, which is made where it is missing; empty: it can."""
    if isinstance(folder, str):
        return folder
    there = _nearest(folder)
    try:
        if there == folder:
            try_writing(there)
            return ''
        below = there / folder.relative_to(there).parts[0]
        if os.path.lexists(below):
            return f'{below} is no folder, or may not be looked into'
        Path(tempfile.mkdtemp(dir=there)).rmdir()
    except OSError as error:
        if error.errno == errno.ENOSPC:  # the free bytes of its disk say so
            return ''
        return f'{error.strerror}: {there}'
    return ''


def _nearest(folder: Path) -> Path:
    """The folder, or the first one above it that there is."""
    return next(f for f in (folder, *folder.absolute().parents) if _is_dir(f))


def _is_dir(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # below one of another user
        return False


def _devices() -> tuple[Device, ...] | None:
    """Ask nvidia-smi: torch would take some of the memory only to say how much there is."""
    query = ['nvidia-smi', '--query-gpu=name,memory.free,memory.total']
    try:
        done = subprocess.run(
            [*query, '--format=csv,noheader,nounits'],
            capture_output=True,
            text=True,
            timeout=GPU_TIMEOUT_S,
        )
        rows = [line.rsplit(', ', 2) for line in done.stdout.splitlines() if done.returncode == 0]
        devices = tuple(
            Device(name, int(free) * 2**20, int(total) * 2**20) for name, free, total in rows
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return devices or None
