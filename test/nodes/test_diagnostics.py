# SPDX-License-Identifier: Apache-2.0
"""Diagnostics: levels that mean something, on real nodes, and a latched status that is true."""

import resource

import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from flash_vstream_ros.msg import Answer
from lifecycle_msgs.msg import Transition
from own_nodes import FilmedBy
from robots import S, image_message, picture, wait_until

from flash_vstream_ros.nodes.diagnostics import (
    ERROR,
    OK,
    WARN,
    Durations,
    machine_values,
    status,
)
from flash_vstream_ros.nodes.qos import LATCHED


class Monitor:
    """Who reads /diagnostics: the newest status of each part of this test's nodes."""

    def __init__(self, planner) -> None:
        self.parts: dict[str, DiagnosticStatus] = {}
        self._prefix = planner.namespace[1:] + '/'
        node = planner.node
        planner.call(node.create_subscription, DiagnosticArray, '/diagnostics', self._receive, 100)

    def _receive(self, array: DiagnosticArray) -> None:
        for part in array.status:
            if part.name.startswith(self._prefix):
                assert array.header.stamp.sec > 0  # others' is 0 where no simulated time comes
                self.parts[part.name.removeprefix(self._prefix)] = part

    def wait(self, name: str, level: bytes, words: str = '') -> dict[str, str]:
        """Wait for a level with some words; returns the values beside it."""

        def is_so() -> bool:
            part = self.parts.get(name)
            return part is not None and part.level == level and words in part.message

        wait_until(is_so, f'{name} at {level} with {words!r}; got {self.parts}', 90.0)
        return {value.key: value.value for value in self.parts[name].values}


class Latched:
    """Who comes late and reads a node's latched status."""

    def __init__(self, planner, topic: str) -> None:
        self.received: list[DiagnosticStatus] = []
        self._subscription = planner.call(
            planner.node.create_subscription,
            DiagnosticStatus,
            topic,
            self.received.append,
            LATCHED,
        )


def test_a_frame_handler_says_how_its_camera_and_its_memory_are(start, planner):
    monitor = Monitor(planner)
    start('frame_handler', sample_rate=0.0, silence_timeout=1.0)
    monitor.wait('frame_handler: camera', ERROR, 'nothing publishes')
    camera = FilmedBy(planner)
    for second in range(1, 4):
        camera.show(second)
    values = monitor.wait('frame_handler: camera', OK, 'all is well')
    assert int(values['images received']) >= 3
    assert values['topic'] == f'{planner.namespace}/image'
    assert values['our reliability'] == 'RELIABLE'
    assert next(v for k, v in values.items() if k.startswith('publisher ')).startswith('RELIABLE')
    assert values['stamp: taken'] == '3'
    wait_until(
        lambda: monitor.wait('frame_handler: memory', OK)['frames memorised'] == '3', '3 frames'
    )
    values = monitor.wait('frame_handler: memory', OK)
    assert values['clusters'] == '3 of 25'
    assert values['memory_id'] == str(camera.memories[-1].memory_id)
    assert float(values['encode and write median (ms)']) > 0.0
    assert int(values['resident memory (MiB)']) > 50

    faulty = image_message(picture(4), 4 * S)
    faulty.encoding = 'nonsense'
    camera.publisher.publish(faulty)
    values = monitor.wait('frame_handler: memory', WARN, 'images could not be used')
    assert values['frames refused'] == '1'
    assert 'nonsense' in values['last error']
    assert planner.change('frame_handler', Transition.TRANSITION_DEACTIVATE)
    monitor.wait('frame_handler: camera', WARN, 'the node is not active')


def test_a_question_handler_says_how_its_answers_and_memories_are(
    start, planner, other_checkpoint
):
    monitor = Monitor(planner)
    handler = start('question_handler', stale_after=2.0)
    monitor.wait('question_handler: memories', WARN, 'no memory on memory yet')
    frames = start('frame_handler', sample_rate=0.0)
    camera = FilmedBy(planner)
    camera.show(1)
    assert planner.ask(min_stamp_ns=S).status == Answer.OK
    values = monitor.wait('question_handler: answers', OK)
    wait_until(
        lambda: monitor.wait('question_handler: answers', OK)['answers OK'] == '1', 'an answer'
    )
    values = monitor.wait('question_handler: answers', OK)
    assert 0.0 < float(values['first token median (ms)']) <= float(values['answer 99th (ms)'])
    assert values['questions pending'] == '0 of 16', 'batch_size and queue_size'
    monitor.wait('question_handler: memories', WARN, 'memory is stale')
    frames.stop()
    start('frame_handler', '', sample_rate=0.0, model=other_checkpoint)
    monitor.wait('question_handler: memories', ERROR, 'memory refused: expected a memory of')

    late = Latched(planner, 'question_handler/status')
    wait_until(lambda: late.received, 'the latched status')
    assert late.received[-1].level == ERROR
    handler.process.kill()
    handler.process.wait()
    count = len(late.received)
    start('question_handler', '')
    wait_until(lambda: len(late.received) > count, 'a status after the restart')
    wait_until(
        lambda: 'memory refused' in late.received[-1].message, 'the truth after the restart'
    )


def test_median_and_99th_percentile_of_the_newest():
    durations = Durations(kept=100)
    assert durations.values('x') == {'x median (ms)': '', 'x 99th (ms)': ''}
    for milliseconds in [999.0] * 50 + list(range(100)):
        durations.add(milliseconds / 1000)
    assert durations.values('x') == {'x median (ms)': '49.0', 'x 99th (ms)': '98.0'}


def test_the_worst_fault_is_the_level_and_comes_first(spun):
    node = spun.node
    made = status(node, 'part', [(WARN, 'slow'), (ERROR, 'broken')], {'a': 1})
    assert (made.level, made.message) == (ERROR, 'broken; slow')
    assert made.name == f'{node.get_fully_qualified_name()[1:]}: part'
    assert status(node, 'part', [], {}).level == OK


def test_memory_is_counted_in_pages_of_this_machine(monkeypatch):
    """Those of a Jetson may be of 64 KiB."""
    monkeypatch.setattr(resource, 'getpagesize', lambda: 2**20)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pages = int(machine_values(torch.device('cpu'))['resident memory (MiB)'])
    assert pages > peak_kib / 1024
