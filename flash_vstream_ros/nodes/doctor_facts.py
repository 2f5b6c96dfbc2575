# SPDX-License-Identifier: Apache-2.0
"""What the doctor has seen, and what it finds. No ROS: checks of these are tested without it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How a check ended."""

    OK = 'OK'
    WARN = 'WARN'
    ERROR = 'ERROR'
    SKIP = 'SKIP'  # it could not be looked at


OK, WARN, ERROR, SKIP = Level


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str  # its name, as a person reads it
    level: Level
    text: str  # what is so
    remedy: str = ''  # the command or setting that mends it; empty where nothing is to be mended


@dataclass(frozen=True)
class Process:
    """A process of this machine."""

    pid: int
    environment: Mapping[str, str] | None  # as it was started; None where it may not be read
    segment_bytes: int | None  # of the largest shared memory it sends through; None: not seen


@dataclass(frozen=True)
class NodeFacts:
    """A node by its name. ``count`` nodes have it; all else is of one of them."""

    name: str  # in full
    program: str  # frame_handler or question_handler
    count: int = 1
    state: str | None = None  # of its lifecycle; None where it has none
    parameters: Mapping[str, object] = field(default_factory=dict)
    processes: tuple[Process, ...] = ()  # those on this machine

    @property
    def process(self) -> Process | None:
        """Its process, where there is just one on this machine."""
        return self.processes[0] if len(self.processes) == 1 else None


@dataclass(frozen=True)
class PublisherFacts:
    """A publisher of a topic."""

    node: str  # in full
    kind: str  # type of its messages
    is_reliable: bool
    mismatches: Mapping[str, str] = field(default_factory=dict)  # reader that hears nothing -> why
    process: Process | None = None


@dataclass(frozen=True)
class ImageFacts:
    """An image topic, watched for a while."""

    topic: str  # in full
    kind: str  # type that its reader takes
    reader: str  # node that reads it, in full; empty where there is none
    publishers: tuple[PublisherFacts, ...] = ()
    nearest: tuple[tuple[str, str], ...] = ()  # name and type of topics with images, nearest first
    received: int = 0
    lost: int = 0
    rate_hz: float = 0.0  # 0 where fewer than two arrived
    width: int = 0  # pixels; 0 of a compressed image
    height: int = 0
    encoding: str = ''
    size_bytes: int = 0  # of the newest image
    fault: str = ''  # why the newest image shows no picture
    stamps_ns: tuple[int, ...] = ()  # of the headers, as they came
    frame_ids: tuple[str, ...] = ()  # those that take turns; none where all images have one
    offset_s: float | None = None  # newest stamp minus the time it came at, by the robot's clock


@dataclass(frozen=True)
class MemoryFacts:
    """A memory topic, watched for a while."""

    topic: str
    publishers: tuple[PublisherFacts, ...] = ()
    type_hashes: frozenset[str] = frozenset()  # of all who publish or read it
    received: int = 0
    encoder_id: str = ''
    frames_first: int = 0  # frames in the memory that came first, and last
    frames_last: int = 0
    newest_stamp_ns: int = 0


@dataclass(frozen=True)
class AskFacts:
    """A question that was asked about one memory."""

    memory: str  # topic
    status: str | None = None  # None: no answer came
    message: str = ''
    seconds: float = 0.0  # until the answer, or until it was given up


@dataclass(frozen=True)
class ClockFacts:
    """The topic /clock, watched for a while."""

    publishers: int = 0
    received: int = 0
    advanced_s: float = 0.0


@dataclass(frozen=True)
class Device:
    """A GPU; memory in bytes."""

    name: str
    free: int
    total: int


@dataclass(frozen=True)
class ModelFacts:
    """A checkpoint that a node names."""

    model: str  # as the node has it
    readers: tuple[str, ...]  # nodes, in full
    is_here: bool  # the nodes run on this machine, so that the files must be here
    fault: str = ''


@dataclass(frozen=True)
class MachineFacts:
    """The machine and the shell that the doctor runs in."""

    versions: Mapping[str, str]
    environment: Mapping[str, str]  # of this shell, what matters to ROS
    middleware: str
    domain_id: int
    discovery_range: str
    participants: frozenset[int]  # ids of Fast DDS' participants in this domain, on this machine
    shm_total: int | None  # bytes of /dev/shm; None where there is none
    shm_free: int
    disks: Mapping[str, int]  # folder -> bytes free
    has_cuda: bool
    devices: tuple[Device, ...] | None  # None: not known
    programs: Mapping[str, tuple[Process, ...]]  # ours that run here, by program
    unwritable: Mapping[str, str] = field(default_factory=dict)  # folder of memories -> why


@dataclass(frozen=True)
class Facts:
    """All that was seen."""

    namespace: str  # in full
    seconds: float  # it was watched
    nodes: tuple[NodeFacts, ...]  # frame handlers, question handler; also those that are not there
    other_namespaces: Mapping[str, tuple[str, ...]]  # where such programs run as well
    is_asked: bool  # the service ask is there
    images: tuple[ImageFacts, ...]
    memories: tuple[MemoryFacts, ...]
    asked: tuple[AskFacts, ...]
    clock: ClockFacts
    models: tuple[ModelFacts, ...]
    machine: MachineFacts
    answerers: tuple[str, ...] = ()  # nodes that serve ask, in full; those of one name once

    def node(self, name: str) -> NodeFacts | None:
        """The node of a name in full."""
        return next((node for node in self.nodes if node.name == name), None)
