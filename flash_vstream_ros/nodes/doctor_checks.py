# SPDX-License-Identifier: Apache-2.0
"""Facts -> findings: the nodes, the memory between them, the answers. No ROS."""

from collections.abc import Iterator

from flash_vstream_ros.core.sampler import NS_PER_S
from flash_vstream_ros.nodes.doctor_facts import (
    ERROR,
    OK,
    SKIP,
    WARN,
    AskFacts,
    Facts,
    Finding,
    MemoryFacts,
    NodeFacts,
    Process,
)
from flash_vstream_ros.nodes.doctor_image_checks import check_image
from flash_vstream_ros.nodes.doctor_machine_checks import check_clock, check_machine
from flash_vstream_ros.nodes.topic_advice import LAUNCH

LATE_S = 5.0  # a memory may be so far behind its camera, or LATE_FRAMES where they are rare
LATE_FRAMES = 3
# Processes with other values of these do not see each other; and what counts where one is not set.
SETTINGS = {
    'ROS_DOMAIN_ID': '0',
    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET',
    'ROS_LOCALHOST_ONLY': '0',
    'RMW_IMPLEMENTATION': '',
}
_TRANSITIONS = {
    'unconfigured': ('configure', 'activate'),
    'inactive': ('activate',),
}


def diagnose(facts: Facts) -> list[Finding]:
    """Check everything.

    :returns: at least one finding of each check that could be made, in the order of the data's
        way: nodes, images, memory, answers; then the machine.
    """
    findings = [finding for node in facts.nodes for finding in check_node(node, facts)]
    for image in facts.images:
        findings += check_image(image, facts)
    for memory in facts.memories:
        findings += check_memory(memory, facts)
    findings += check_ask(facts)
    return [*findings, *check_clock(facts), *check_machine(facts)]


def check_node(node: NodeFacts, facts: Facts) -> Iterator[Finding]:
    """Whether a node is there, just once, and active."""
    if node.count == 0:
        text = f'{node.name} is not there'
        yield Finding('node', ERROR, text, _why_missing(node, facts))
    elif node.count > 1:
        pids = ' '.join(str(process.pid) for process in node.processes)
        stop = f' (on this machine: kill -INT one of {pids})' if pids else ''
        text = f'{node.count} nodes are named {node.name}: they answer in turns'
        hint = f'stop all but one{stop}; one that was killed is listed for 20 s more'
        yield Finding('node', ERROR, text, hint)
    elif node.state in (None, 'active'):
        state = '' if node.state is None else ' and active'
        yield Finding('node', OK, f'{node.name} is there{state}')
    elif node.state in _TRANSITIONS:
        commands = [f'ros2 lifecycle set {node.name} {name}' for name in _TRANSITIONS[node.state]]
        yield Finding('node', ERROR, f'{node.name} is {node.state}', ' && '.join(commands))
    elif node.state == '':
        text = f'{node.name} does not tell its state: it is busy or hangs'
        hint = 'look at its output; it loads its model in a transition, else restart it'
        yield Finding('node', ERROR, text, hint)
    elif node.state == 'finalized':  # for good: no transition leads out of it
        pids = ' '.join(str(process.pid) for process in node.processes)
        stop = f'end its process (kill -INT {pids})' if pids else 'end its process'
        hint = f'{stop}; the launch file starts it again'
        yield Finding('node', ERROR, f'{node.name} is {node.state}', hint)
    else:
        text = f'{node.name} is {node.state}'
        hint = 'wait until it is active, and restart it where it does not become so'
        yield Finding('node', ERROR, text, hint)


def _why_missing(node: NodeFacts, facts: Facts) -> str:
    """Say where a node may be, or how to start it."""
    running = facts.machine.programs.get(node.program, ())
    for process in running:
        apart = _settings_apart(process, facts)
        if apart:
            return f'process {process.pid} runs one where this shell does not look: {apart}'
    elsewhere = facts.other_namespaces.get(node.program, ())
    if elsewhere:
        return f'there are such nodes elsewhere: --namespace {elsewhere[0]}'
    if running:
        pids = ', '.join(str(process.pid) for process in running)
        return f'process {pids} may still be loading its model, or has failed: see its output'
    namespace = facts.namespace.strip('/')
    apart = '' if namespace == 'flash_vstream' else f' namespace:={namespace or "/"}'
    return f'{LAUNCH} model:=MODEL image:=/camera/image_raw{apart}'


def _settings_apart(process: Process, facts: Facts) -> str:
    """What to set in this shell to see a process, if it was started with other settings."""
    if process.environment is None:
        return ''
    commands = []
    for name, default in SETTINGS.items():
        theirs = process.environment.get(name) or default
        if theirs != (facts.machine.environment.get(name) or default):
            commands.append(f'export {name}={theirs}' if theirs else f'unset {name}')
    return '; '.join(commands)


def check_memory(memory: MemoryFacts, facts: Facts) -> Iterator[Finding]:
    """Whether a memory comes, from one node, and grows with its camera."""
    names = sorted({publisher.node for publisher in memory.publishers})
    if not names:
        text = f'nothing publishes the memory {memory.topic}'
        hint = (
            'start the frame handler that belongs to it, or name the memories that there are: '
            "question_handler parameter memories:=['TOPIC']"
        )
        yield Finding('memory', ERROR, text, hint)
        return
    if len(memory.publishers) > 1:
        text = f'{len(memory.publishers)} publish {memory.topic} in turns: {", ".join(names)}'
        hint = 'stop all but one, or give each camera a memory of its own (remap memory:=NAME)'
        yield Finding('memory', ERROR, text, hint)
    yield from _check_agreement(memory)
    if memory.received:
        yield _check_growth(memory, facts)
    else:
        text = f'{names[0]} offers {memory.topic}, but no memory came in {facts.seconds:.0f} s'
        hint = (
            f'see the output of {names[0]}; start it with the launch file, which gives its '
            'process shared memory for messages of this size'
        )
        yield Finding('memory', ERROR, text, hint)


def _check_agreement(memory: MemoryFacts) -> Iterator[Finding]:
    """Whether those who write a memory and those who read it understand each other."""
    for publisher in memory.publishers:
        for reader, why in publisher.mismatches.items():
            text = f'{reader} gets no memory of {publisher.node} on {memory.topic}: {why}'
            hint = 'publish memories reliable and transient local; a bag: --qos-profile-overrides'
            yield Finding('memory', ERROR, text, hint)
    if len(memory.type_hashes) > 1:
        text = f'the nodes on {memory.topic} were built with different MemorySnapshot messages'
        hint = 'build the same version of flash_vstream_ros on every machine, and restart'
        yield Finding('memory', ERROR, text, hint)


def _check_growth(memory: MemoryFacts, facts: Facts) -> Finding:
    """Whether the camera's images get into the memory."""
    writer = memory.publishers[0].node
    image = next((i for i in facts.images if i.reader == writer and i.received), None)
    grown = memory.frames_last - memory.frames_first
    text = f'{memory.topic}: {memory.frames_last} frames, {grown} of them new'
    if image is None:
        return Finding('memory', OK, f'{text}; no images to compare it with')
    node = facts.node(writer)
    rate_hz = float(node.parameters.get('sample_rate', 1.0)) if node else 1.0
    late_s = max(LATE_S, 2.0 / float(node.parameters.get('publish_rate', 10.0)) if node else 0.0)
    seen_s = (max(image.stamps_ns) - min(image.stamps_ns)) / NS_PER_S
    due = seen_s * rate_hz if rate_hz else image.received - 1
    behind_s = (max(image.stamps_ns) - memory.newest_stamp_ns) / NS_PER_S
    is_late = behind_s > max(late_s, LATE_FRAMES / rate_hz if rate_hz else 0.0)
    if is_late and grown == 0 and due > LATE_FRAMES:
        hint = f'see what {writer} says of its images'
        return Finding('memory', ERROR, f'{text}, though images of {image.topic} come', hint)
    if memory.frames_last:
        text += f'; {behind_s:.1f} s behind its camera'
    if is_late and grown:
        hint = f'lower sample_rate ({rate_hz:g} Hz) of {writer}, or use a faster device'
        return Finding('memory', WARN, text, hint)
    return Finding('memory', OK, text)


def check_ask(facts: Facts) -> Iterator[Finding]:
    """Whether questions are answered, and out of a memory that the model can read."""
    handlers = [node for node in facts.nodes if node.program == 'question_handler' and node.count]
    service = f'{facts.namespace.rstrip("/")}/ask'
    if not handlers:
        yield Finding('ask', SKIP, f'no question handler to serve {service}')
    elif not facts.is_asked:
        hint = f'see the state of {handlers[0].name} above, and its output'
        yield Finding('ask', ERROR, f'nobody serves {service}', hint)
    if len(facts.answerers) > 1:
        names = ', '.join(facts.answerers)
        text = f'{len(facts.answerers)} nodes serve {service}, and each of them answers: {names}'
        hint = 'stop all but one, or start the others in namespaces of their own'
        yield Finding('ask', ERROR, text, hint)
    for asked in facts.asked:
        yield _check_answer(asked)
        if asked.status == 'OK' or _is_refused(asked):
            yield _check_encoder(asked, facts)


def _is_refused(asked: AskFacts) -> bool:
    return asked.status == 'MODEL_ERROR' and asked.message.startswith('memory refused')


def _check_answer(asked: AskFacts) -> Finding:
    about = f'a question about {asked.memory}'
    if asked.status is None:
        hint = 'see what the question handler says; restart it'
        text = f'{about} got no response in {asked.seconds:.0f} s'
        return Finding('ask', ERROR, text, hint)
    if asked.status == 'OK':
        text = f'{about} was answered in {asked.seconds * 1e3:.0f} ms'
        return Finding('ask', OK, text)
    hints = {
        'MEMORY_EMPTY': 'see the images and the memory above',
        'BUSY': 'others ask more than it can answer: ask less, or a faster device',
        'TIMEOUT': 'a faster device or dtype (float16), or a longer --timeout of this command',
        'INACTIVE': 'see the state of the question handler above',
        'MODEL_ERROR': 'see the encoder below, and what the question handler says',
    }
    level = WARN if asked.status in ('BUSY', 'TIMEOUT') else ERROR
    text = f'{about} ended {asked.status}: {asked.message}'
    return Finding('ask', level, text, hints.get(asked.status, 'see its message'))


def _check_encoder(asked: AskFacts, facts: Facts) -> Finding:
    """Whether both nodes run one model; the question handler refuses a memory of another."""
    memory = next((m for m in facts.memories if m.topic == asked.memory), None)
    if not _is_refused(asked):
        encoder = memory.encoder_id if memory else ''
        text = f'the question handler reads memories of encoder {encoder}'
        return Finding('encoder', OK, text)
    models = {
        node.name: node.parameters.get('model', 'an unknown model')
        for node in facts.nodes
        if node.count
    }
    writers = [p.node for p in memory.publishers] if memory else []
    model = next((models[name] for name in writers if name in models), 'MODEL')
    said = ', '.join(f'{name} has {model}' for name, model in models.items())
    hint = f'start both nodes with the same model, as in: {LAUNCH} model:={model}'
    return Finding('encoder', ERROR, f'{asked.memory}: {asked.message}; {said}', hint)
