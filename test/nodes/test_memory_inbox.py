# SPDX-License-Identifier: Apache-2.0
"""The newest memory received: latched, refused by name where it is another model's or damaged."""

from array import array

import pytest
from flash_vstream_ros.msg import MemorySnapshot as Message
from robots import S, SpunNode, picture, wait_until

from flash_vstream_ros.nodes.conversions import snapshot_to_message
from flash_vstream_ros.nodes.memory_inbox import MemoryInbox
from flash_vstream_ros.nodes.qos import LATCHED


@pytest.fixture
def memory(vstream):
    """A memory that a frame handler would publish."""
    return vstream.new_memory()


@pytest.fixture
def publish(spun, namespace, vstream, memory):
    """See a frame and publish the memory from a participant of its own."""
    handler = SpunNode(namespace, 'handler')
    publisher = handler.node.create_publisher(Message, 'memory', LATCHED)

    def publish(stamp_s: int, **changed) -> Message:
        vstream.write(memory, picture(stamp_s), stamp_s * S)
        message = snapshot_to_message(memory.snapshot(), Message(), 'front')
        for name, value in changed.items():
            setattr(message, name, value)
        publisher.publish(message)
        return message

    yield publish
    handler.close()


class Arrivals:
    """An inbox, and what it held at each of its calls."""

    def __init__(self, spun: SpunNode, encoder_id: str) -> None:
        self.held = []
        spun.call(self._make, spun.node, encoder_id)

    def _make(self, node, encoder_id: str) -> None:
        self.inbox = MemoryInbox(node, encoder_id, self._note)

    def _note(self) -> None:
        self.held.append((self.inbox.newest, self.inbox.fault))

    def wait(self, count: int) -> None:
        wait_until(lambda: len(self.held) >= count, f'{count} memories')


@pytest.fixture
def arrivals(spun, vstream):
    return Arrivals(spun, vstream.encoder_id)


def test_before_the_first_memory_there_is_none(arrivals):
    assert arrivals.inbox.newest is None
    assert arrivals.inbox.fault == ''
    assert not arrivals.inbox.is_ready_for(1)


def test_the_newest_memory_counts(arrivals, publish, memory):
    publish(1)
    arrivals.wait(1)
    first = arrivals.inbox.newest
    publish(2)
    arrivals.wait(2)
    second = arrivals.inbox.newest
    assert second.snapshot.key == memory.snapshot().to_float16().key
    assert second.camera == 'front'
    assert second.arrived > first.arrived
    assert first.snapshot.frames_written == 1, 'who reads the first one still reads the first'


def test_who_comes_late_has_the_memory_all_the_same(publish, spun, vstream):
    publish(1)
    arrivals = Arrivals(spun, vstream.encoder_id)
    arrivals.wait(1)
    assert arrivals.inbox.newest.snapshot.frames_written == 1


def test_a_memory_is_ready_for_the_stamps_it_has_seen(arrivals, publish):
    publish(5)
    arrivals.wait(1)
    assert arrivals.inbox.is_ready_for(5 * S)
    assert arrivals.inbox.is_ready_for(1)
    assert not arrivals.inbox.is_ready_for(5 * S + 1)


def test_a_memory_of_another_encoder_is_refused_naming_both(publish, spun, vstream, capfd):
    arrivals = Arrivals(spun, 'ours')
    for count in (1, 2, 3):
        publish(count)
        arrivals.wait(count)
    inbox = arrivals.inbox
    assert inbox.newest is None
    for name in ('ours', vstream.encoder_id, 'same model'):
        assert name in inbox.fault
    assert inbox.is_ready_for(99 * S), 'to answer that it cannot be used'
    assert capfd.readouterr().err.count('memory refused') == 1


def test_a_damaged_memory_is_refused_and_the_next_good_one_taken(arrivals, publish, capfd):
    publish(1)
    arrivals.wait(1)
    publish(2, features=array('H', [1, 2, 3]))
    arrivals.wait(2)
    assert arrivals.inbox.newest is None
    assert 'features: expected' in arrivals.inbox.fault
    assert 'features: expected' in capfd.readouterr().err
    publish(3)
    arrivals.wait(3)
    assert arrivals.inbox.newest.snapshot.frames_written == 3
    assert arrivals.inbox.fault == ''


def test_a_camera_whose_name_is_a_book_is_refused(arrivals, publish):
    """It would come back in every answer."""
    message = publish(1)
    arrivals.wait(1)
    message.header.frame_id = 'f' * 2000
    publish(2, header=message.header)
    arrivals.wait(2)
    assert arrivals.inbox.newest is None
    assert 'header.frame_id: expected at most 256 characters, got 2000' in arrivals.inbox.fault
    assert len(arrivals.inbox.fault) < 600


def test_its_camera_is_known_while_the_memory_is_empty_or_refused(arrivals, publish):
    """A question that names it would be told that there is no such camera."""
    assert arrivals.inbox.camera is None
    publish(1, frames_written=0)  # refused, for it is not empty
    arrivals.wait(1)
    assert arrivals.inbox.camera is None
    publish(2, memory_id=0)
    arrivals.wait(2)
    assert (arrivals.inbox.newest, arrivals.inbox.camera) == (None, 'front')
    publish(3, frames_written=0)
    arrivals.wait(3)
    assert (arrivals.inbox.newest, arrivals.inbox.camera) == (None, 'front')


def test_a_fault_that_comes_again_is_said_again(arrivals, publish, capfd):
    for count, changed in enumerate([{'memory_id': 0}, {}, {'memory_id': 0}], start=1):
        publish(count, **changed)
        arrivals.wait(count)
    assert capfd.readouterr().err.count('memory refused') == 2
