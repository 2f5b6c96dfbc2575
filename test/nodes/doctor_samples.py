# SPDX-License-Identifier: Apache-2.0
"""A healthy robot as the doctor sees it, the same with faults, and what is found. No ROS."""

from dataclasses import replace

from flash_vstream_ros.nodes.doctor_checks import diagnose
from flash_vstream_ros.nodes.doctor_facts import (
    ERROR,
    OK,
    SKIP,
    WARN,
    AskFacts,
    ClockFacts,
    Facts,
    Finding,
    ImageFacts,
    Level,
    MachineFacts,
    MemoryFacts,
    ModelFacts,
    NodeFacts,
    Process,
    PublisherFacts,
)
from flash_vstream_ros.nodes.environment import MALLOC_SETTINGS
from flash_vstream_ros.nodes.topic_advice import IMAGE

S = 1_000_000_000
NOW_S = 1_700_000_000
HANDLER, ANSWERER = '/flash_vstream/frame_handler', '/flash_vstream/question_handler'
MEMORY = '/flash_vstream/memory'
PARAMETERS = {'model': '/models/m', 'device': 'auto', 'sample_rate': 1.0, 'use_sim_time': False}
CAMERA = PublisherFacts('/driver', IMAGE, False, process=Process(7, {}, 70_000_000))
PICTURES = ImageFacts(
    topic='/camera/image_raw',
    kind=IMAGE,
    reader=HANDLER,
    publishers=(CAMERA,),
    nearest=(('/camera/image_raw', IMAGE),),
    received=120,
    rate_hz=30.0,
    width=1280,
    height=720,
    encoding='bgr8',
    size_bytes=2_764_800,
    stamps_ns=tuple(NOW_S * S + i * S // 30 for i in range(120)),
    offset_s=-0.02,
)
STORED = MemoryFacts(
    topic=MEMORY,
    publishers=(PublisherFacts(HANDLER, 'MemorySnapshot', True),),
    type_hashes=frozenset({'RIHS01_a'}),
    received=5,
    encoder_id='abc',
    frames_first=10,
    frames_last=14,
    newest_stamp_ns=(NOW_S + 3) * S,
)
MACHINE = MachineFacts(
    versions={'torch': '2.13.0'},
    environment={},
    middleware='rmw_fastrtps_cpp',
    domain_id=0,
    discovery_range='SUBNET',
    participants=frozenset(range(40)),
    shm_total=2**30,
    shm_free=2**29,
    disks={'/logs': 2**34},
    has_cuda=False,
    devices=None,
    programs={},
)
HEALTHY = Facts(
    namespace='/flash_vstream',
    seconds=4.0,
    nodes=(
        NodeFacts(
            HANDLER,
            'frame_handler',
            state='active',
            parameters=PARAMETERS,
            processes=(Process(1, dict(MALLOC_SETTINGS), 70_000_000),),
        ),
        NodeFacts(
            ANSWERER,
            'question_handler',
            state='active',
            parameters=PARAMETERS,
            processes=(Process(2, {}, 70_000_000),),
        ),
    ),
    other_namespaces={},
    is_asked=True,
    images=(PICTURES,),
    memories=(STORED,),
    asked=(AskFacts(MEMORY, 'OK', seconds=0.2),),
    clock=ClockFacts(),
    models=(ModelFacts('/models/m', (HANDLER, ANSWERER), is_here=True),),
    machine=MACHINE,
)


def with_node(index: int = 0, facts: Facts = HEALTHY, **changes: object) -> Facts:
    """The same with another frame handler (0) or question handler (1)."""
    nodes = list(facts.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(facts, nodes=tuple(nodes))


def with_images(**changes: object) -> Facts:
    return replace(HEALTHY, images=(replace(PICTURES, **changes),))


def with_memory(**changes: object) -> Facts:
    return replace(HEALTHY, memories=(replace(STORED, **changes),))


def with_machine(**changes: object) -> Facts:
    return replace(HEALTHY, machine=replace(MACHINE, **changes))


def found(facts: Facts, check: str) -> Finding:
    """The worst finding of a check, which must be named."""
    order = (ERROR, WARN, SKIP, OK)
    findings = [finding for finding in diagnose(facts) if finding.check == check]
    return min(findings, key=lambda finding: order.index(finding.level))


def says(facts: Facts, check: str, level: Level, *words: str) -> None:
    """A check ends so, and its text or remedy has the words."""
    finding = found(facts, check)
    assert finding.level is level, finding
    for word in words:
        assert word in f'{finding.text} -> {finding.remedy}'
    assert finding.remedy or level in (OK, SKIP), 'what is wrong must come with what mends it'
