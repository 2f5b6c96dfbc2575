# SPDX-License-Identifier: Apache-2.0
"""Facts -> findings: clock, models, devices, shared memory, disks, settings. No ROS."""

from collections.abc import Iterator

from flash_vstream_ros.nodes.doctor_facts import (
    ERROR,
    OK,
    SKIP,
    WARN,
    Facts,
    Finding,
    MachineFacts,
    ModelFacts,
)
from flash_vstream_ros.nodes.environment import MALLOC_SETTINGS

SEGMENT_BYTES = 64 * 2**20  # that the shipped profile takes of /dev/shm for each process
FOUND_ON_LOCALHOST = 32  # participants that rmw_fastrtps looks for where discovery is LOCALHOST
LITTLE_DISK = 2**30  # bytes free; and that are nearly none
NO_DISK = 100 * 2**20
LITTLE_GPU = 2**30  # bytes; with less a node may fail in the midst of an answer
SIM_TIME = 'use_sim_time'


def check_machine(facts: Facts) -> Iterator[Finding]:
    """Check what the nodes run on."""
    machine = facts.machine
    yield from check_models(facts.models)
    yield _check_device(facts)
    if 'fastrtps' in machine.middleware:
        yield _check_shared_memory(machine)
        yield from _check_participants(machine)
    yield from _check_malloc(facts)
    yield from _check_disks(machine)
    where = f'ROS_DOMAIN_ID={machine.domain_id}, discovery range {machine.discovery_range}'
    yield Finding('settings', OK, f'{machine.middleware}, {where}')
    versions = ', '.join(f'{name} {version}' for name, version in machine.versions.items())
    yield Finding('versions', OK, versions)


def check_clock(facts: Facts) -> Iterator[Finding]:
    """Whether simulated time is asked for and runs, for both nodes alike."""
    clock = facts.clock
    asked = {n.name: bool(n.parameters[SIM_TIME]) for n in facts.nodes if SIM_TIME in n.parameters}
    simulated = [name for name, is_so in asked.items() if is_so]
    others = [name for name, is_so in asked.items() if not is_so]
    if simulated and others:
        text = f'{", ".join(simulated)} has {SIM_TIME}, {", ".join(others)} has not'
        hint = f'ros2 param set {others[0]} {SIM_TIME} true, or start both with {SIM_TIME}:=true'
        yield Finding('clock', WARN, text, hint)
    if simulated and not clock.publishers:
        text = f'{", ".join(simulated)} has {SIM_TIME}, but nothing publishes /clock'
        hint = 'start the simulator, or ros2 bag play --clock, or start the nodes with '
        yield Finding('clock', ERROR, text, f'{hint}{SIM_TIME}:=false')
    elif simulated and not clock.advanced_s:
        text = f'/clock stands still: {clock.received} messages in {facts.seconds:.0f} s'
        hint = 'let the simulator or the recording run on (it may be paused)'
        yield Finding('clock', WARN, text, hint)
    elif simulated:
        text = f'/clock went on by {clock.advanced_s:.1f} s in {facts.seconds:.0f} s'
        yield Finding('clock', OK, text)
    elif asked and clock.publishers:
        text = f'somebody publishes /clock, but {", ".join(others)} goes by the system clock'
        yield Finding('clock', WARN, text, f'start the nodes with {SIM_TIME}:=true')
    elif asked:
        yield Finding('clock', OK, 'the nodes go by the system clock')


def check_models(models: tuple[ModelFacts, ...]) -> Iterator[Finding]:
    """Whether the files of each checkpoint are there."""
    for model in models:
        readers = ', '.join(model.readers)
        if not model.is_here:
            yield Finding('model', SKIP, f'{readers} runs elsewhere, with {model.model}')
        elif model.fault:
            hint = 'name a whole checkpoint with model:=FOLDER; models/README.md lists some'
            yield Finding('model', ERROR, f'{readers}: {model.fault}', hint)
        else:
            yield Finding('model', OK, f'{model.model} is whole')


def _check_device(facts: Facts) -> Finding:
    """Whether the device that was asked for is there, with memory to spare."""
    machine = facts.machine
    wanted = {n.name: str(n.parameters.get('device', 'auto')) for n in facts.nodes if n.processes}
    lacking = [name for name, device in wanted.items() if device.startswith('cuda')]
    if not machine.has_cuda:
        if lacking:
            text = f'{", ".join(lacking)} wants {wanted[lacking[0]]}, but torch sees no CUDA here'
            hint = 'start with device:=cpu, or install a torch with CUDA (pip install torch)'
            return Finding('device', ERROR, text, hint)
        if machine.devices:
            names = ', '.join(device.name for device in machine.devices)
            text = f'torch {machine.versions["torch"]} does not use {names}'
            return Finding('device', WARN, text, 'install a torch with CUDA (pip install torch)')
        return Finding('device', OK, 'no CUDA here: the CPU computes')
    if machine.devices is None:
        return Finding('device', SKIP, 'CUDA is there, but not nvidia-smi, which knows its memory')
    text = '; '.join(
        f'{device.name}: {device.free / 1e9:.1f} of {device.total / 1e9:.1f} GB free'
        for device in machine.devices
    )
    if any(device.free < LITTLE_GPU for device in machine.devices):
        hint = 'end what else uses it, or start with dtype:=float16'
        return Finding('device', WARN, text, hint)
    return Finding('device', OK, text)


def _check_shared_memory(machine: MachineFacts) -> Finding:
    """Whether one more process can have the shared memory that images need."""
    if machine.shm_total is None:
        return Finding('shared memory', SKIP, 'there is no /dev/shm here')
    text = f'/dev/shm: {machine.shm_free / 1e6:.0f} of {machine.shm_total / 1e6:.0f} MB free'
    if machine.shm_free > SEGMENT_BYTES:
        return Finding('shared memory', OK, text)
    hint = (
        'start the container with --shm-size=1g; elsewhere: mount -o remount,size=1g /dev/shm, '
        'and fastdds shm clean takes away what dead processes have left'
    )
    text += f', but each process with images takes {SEGMENT_BYTES / 1e6:.0f}'
    return Finding('shared memory', WARN, text, hint)


def _check_participants(machine: MachineFacts) -> Iterator[Finding]:
    """Whether all processes of this machine can find each other without multicast."""
    if machine.discovery_range != 'LOCALHOST':
        return
    count = len(machine.participants)
    beyond = [number for number in machine.participants if number >= FOUND_ON_LOCALHOST]
    text = f'{count} in domain {machine.domain_id}, of {FOUND_ON_LOCALHOST} that LOCALHOST finds'
    if not beyond:
        yield Finding('participants', OK, text)
        return
    text += f': {len(beyond)} came too late, and find no other such one'
    hint = (
        'run more nodes in one process (components), end what is not needed, take another '
        'ROS_DOMAIN_ID for it, or ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET for all'
    )
    yield Finding('participants', WARN if len(beyond) == 1 else ERROR, text, hint)


def _check_malloc(facts: Facts) -> Iterator[Finding]:
    """Whether a frame handler keeps the buffers of images instead of giving them back."""
    for node in facts.nodes:
        if node.program != 'frame_handler' or not node.count:
            continue
        if node.process is None or node.process.environment is None:
            text = f'{node.name} runs elsewhere or may not be looked at'
            yield Finding('malloc', SKIP, text)
            continue
        missing = [name for name in MALLOC_SETTINGS if name not in node.process.environment]
        if missing:
            text = f'{node.name} was started without {", ".join(missing)}: images cost more CPU'
            settings = ' '.join(f'{name}={MALLOC_SETTINGS[name]}' for name in missing)
            hint = f'use the launch file, a process for each node, or: export {settings}'
            yield Finding('malloc', WARN, text, hint)
        else:
            yield Finding('malloc', OK, f'{node.name} keeps the buffers of images')


def _check_disks(machine: MachineFacts) -> Iterator[Finding]:
    """Whether logs and memories can still be written."""
    for folder, fault in machine.unwritable.items():
        hint = (
            'let the user of the frame handler write there, or start it with memory_folder:= a '
            'folder that it can write (the doctor tries it as its own user)'
        )
        yield Finding('disk', ERROR, f'{folder}: memories cannot be saved: {fault}', hint)
    for folder, free in machine.disks.items():
        level = ERROR if free < NO_DISK else WARN if free < LITTLE_DISK else OK
        hint = f'make room: du -xh {folder} | sort -h | tail' if level != OK else ''
        yield Finding('disk', level, f'{folder}: {free / 1e9:.1f} GB free', hint)
