# SPDX-License-Identifier: Apache-2.0
"""What a frame handler says of itself: its camera, and its memory."""

import time
from collections import Counter
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.sampler import FAULTY_STAMPS, Decision
from flash_vstream_ros.nodes.camera import Camera
from flash_vstream_ros.nodes.diagnostics import (
    ERROR,
    RECENT_S,
    WARN,
    Durations,
    Rate,
    machine_values,
    say_error,
    status,
)
from flash_vstream_ros.nodes.live_memory import LiveMemory
from flash_vstream_ros.nodes.memory_services import MemoryServices
from flash_vstream_ros.nodes.mixed_cameras import APART
from flash_vstream_ros.nodes.rivals import say_writers
from flash_vstream_ros.nodes.topic_graph import node_of


class FrameDiagnostics:
    """Counts, times and the newest fault of a frame handler.

    :param counts: what became of frames.
    """

    def __init__(
        self,
        node: Node,
        config: FrameHandlerConfig,
        vstream: FlashVStream,
        live: LiveMemory,
        services: MemoryServices,
        counts: Counter[str],
    ) -> None:
        self._node = node
        self._config = config
        self._vstream = vstream
        self._live = live
        self._services = services
        self._counts = counts
        self._images, self._frames = Rate(), Rate()
        self._times = Durations()
        self._last_error = ('', float('-inf'))
        if services.fault_at_start is not None:
            self.note_error(services.fault_at_start)
        self._seen: Counter[str] = Counter()  # counts when they were last looked at
        self._grew: dict[str, float] = {}  # when each of them grew last

    def note_time(self, seconds: float) -> None:
        """A frame took so long to be encoded and written. Any thread."""
        self._times.add(seconds)

    def note_error(self, error: object) -> None:
        """Something went wrong. Any thread."""
        self._last_error = (str(error), time.monotonic())

    def statuses(
        self, camera: Camera | None, why_none: str, stamps: Mapping[Decision, int]
    ) -> list[DiagnosticStatus]:
        """Say how the camera and the memory are.

        :param camera: None while no images are taken.
        :param why_none: why there is no camera.
        :param stamps: what the sampler has decided so far.
        """
        return [self._camera(camera, why_none, stamps), self._memory()]

    def _camera(
        self, camera: Camera | None, why_none: str, stamps: Mapping[Decision, int]
    ) -> DiagnosticStatus:
        values = self._counted(camera) | {
            f'stamp: {decision.value}': count for decision, count in stamps.items()
        }
        if camera is None:
            self._images = Rate(values['images received'])
            fault = f'no images are taken: {why_none}'
            return status(self._node, 'camera', [(WARN, fault)], values)
        faults = [(ERROR, text) for text in (camera.fault, self._stamp_fault(stamps)) if text]
        if camera.mixed:
            faults.append((WARN, f'{"; ".join(camera.mixed)}; {APART}'))
        seen = {
            'topic': camera.topic,
            'transport': self._config.image_transport,
            'images per second': f'{self._images.of(values["images received"]):.2f}',
            'age of the newest image (s)': f'{camera.age_s:.1f}' if camera.received else '',
            'our reliability': camera.reliability.name,
        }
        return status(self._node, 'camera', faults, seen | self._publishers(camera) | values)

    def _counted(self, camera: Camera | None) -> dict[str, int]:
        """Images since the node was configured, through all its cameras."""
        counts = self._counts
        return {
            'images received': counts['received'] + (camera.received if camera else 0),
            'images not looked at, none was due': counts['passed_over']
            + (camera.passed_over if camera else 0),
            'images lost on their way': counts['lost'] + (camera.lost if camera else 0),
        }

    def _publishers(self, camera: Camera) -> dict[str, str]:
        """What each publisher of the images offers; a node may have several."""
        offers = {}
        count: Counter[str] = Counter()
        for publisher in self._node.get_publishers_info_by_topic(camera.topic):
            name, qos = node_of(publisher), publisher.qos_profile
            count[name] += 1
            number = f' ({count[name]})' if count[name] > 1 else ''
            offers[f'publisher {name}{number}'] = (
                f'{qos.reliability.name}, {qos.durability.name}, depth {qos.depth}'
            )
        return offers

    def _memory(self) -> DiagnosticStatus:
        texts = {
            'failed': (ERROR, 'frames were lost by an error'),
            'refused': (WARN, 'images could not be used'),
            'replaced': (WARN, 'the encoder is slower than sample_rate'),
            'publish_failed': (WARN, 'memories could not be published'),
            'save_failed': (ERROR, 'memories could not be saved'),
        }
        faults = [
            (level, text)
            for name, (level, text) in texts.items()
            if self._is_recent(name, self._counts[name])
            or (name == 'save_failed' and self._services.is_failing)
        ]
        rivals = say_writers(self._node, 'memory')
        if rivals:
            faults.append((WARN, rivals))
        snapshot = self._live.newest
        geometry = self._vstream.geometry
        values = {
            'frames in the memory': snapshot.frames_written,
            'clusters': f'{len(snapshot.temporal)} of {geometry.temporal_slots}',
            'memory_id': snapshot.memory_id,
            'newest stamp (ns)': snapshot.newest_stamp_ns,
            'frames per second': f'{self._frames.of(self._counts["memorised"]):.2f}',
            **{f'frames {name}': self._counts[name] for name in ('memorised', *texts)},
            **self._times.values('encode and write'),
            'model': self._config.model,
            'encoder_id': self._vstream.encoder_id,
            'device': self._vstream.device,
            'last error': say_error(*self._last_error),
        }
        return status(self._node, 'memory', faults, values | machine_values(self._vstream.device))

    def _stamp_fault(self, stamps: Mapping[Decision, int]) -> str:
        """Why stamps keep all images from being memorised; empty: they do not."""
        recent = [d for d in Decision if self._is_recent(d.value, stamps.get(d, 0))]
        faulty = [d.value for d in recent if d in FAULTY_STAMPS]
        if not faulty or len(faulty) < len(recent):
            return ''
        return f'all images are dropped: {", ".join(faulty)}; check the clock of the camera'

    def _is_recent(self, name: str, count: int) -> bool:
        now = time.monotonic()
        if count != self._seen[name]:  # those of stamps begin anew with a stream
            self._grew[name] = now
        self._seen[name] = count
        return now - self._grew.get(name, float('-inf')) < RECENT_S
