# SPDX-License-Identifier: Apache-2.0
"""A memory is stale by what is usual for its camera: a slow one is well all the same."""

import time
from types import SimpleNamespace

import pytest
from flash_vstream_ros.msg import MemorySnapshot as Message
from rclpy.task import Future
from robots import S, picture
from test_diagnostics import OK, WARN

from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.nodes import memory_inbox
from flash_vstream_ros.nodes.conversions import snapshot_to_message
from flash_vstream_ros.nodes.diagnostics import Durations
from flash_vstream_ros.nodes.memory_inbox import INTERVALS, MemoryInbox, ReceivedMemory
from flash_vstream_ros.nodes.pending_question import PendingQuestion, Question
from flash_vstream_ros.nodes.question_diagnostics import QuestionDiagnostics


class Arriving:
    """An inbox, into which memories are put as if some time had passed between them."""

    def __init__(self, spun, vstream, monkeypatch) -> None:
        self._vstream = vstream
        self._memory = vstream.new_memory()
        self._now = 1000.0
        self._stamp_s = 0
        monkeypatch.setattr(memory_inbox, 'time', SimpleNamespace(monotonic=lambda: self._now))
        self.inbox = spun.call(MemoryInbox, spun.node, vstream.encoder_id, lambda: None)

    def after(self, seconds: float, has_new: bool = True) -> float:
        """Let the next one come; returns when it is stale, with 5 s at least."""
        self._now += seconds
        if has_new:
            self._stamp_s += 1
            self._vstream.write(self._memory, picture(self._stamp_s), self._stamp_s * S)
        message = snapshot_to_message(self._memory.snapshot(), Message(), 'lens')
        self.inbox._receive(message)
        return self.inbox.newest.stale_after(5.0)

    def begin_anew(self) -> None:
        self._memory.reset()


@pytest.fixture
def arriving(spun, vstream, monkeypatch):
    return Arriving(spun, vstream, monkeypatch)


def test_a_slow_camera_is_stale_after_three_of_its_intervals(arriving):
    assert arriving.after(0.0) == 5.0, 'nothing is known yet'
    assert arriving.after(10.0) == pytest.approx(30.0)
    assert arriving.after(12.0) == pytest.approx(30.0), 'of two the shorter'
    assert arriving.after(12.0) == pytest.approx(36.0)


def test_a_fast_camera_is_stale_after_what_was_set(arriving):
    assert [arriving.after(1.0) for _ in range(5)] == [5.0] * 5


def test_a_pause_does_not_make_a_camera_slow(arriving):
    for _ in range(4):
        arriving.after(1.0)
    assert arriving.after(600.0) == 5.0
    assert arriving.after(1.0) == 5.0


def test_a_camera_that_becomes_faster_is_soon_measured_by_that(arriving):
    for _ in range(2 * INTERVALS):
        arriving.after(10.0)
    for _ in range(INTERVALS):
        least = arriving.after(2.0)
    assert least == pytest.approx(6.0)


def test_only_what_a_camera_adds_counts(arriving):
    """An empty memory, one published again and one of another stream tell nothing of its pace."""
    arriving.after(0.0, has_new=False)
    arriving.after(100.0)
    arriving.after(100.0, has_new=False)
    arriving.begin_anew()
    assert arriving.after(100.0) == 5.0


def test_an_answer_from_a_slow_camera_is_not_stale(vstream):
    snapshot = vstream.new_memory().snapshot()
    arrived = time.monotonic() - 20.0
    assert ReceivedMemory(snapshot, 'lens', arrived, interval_s=1.0).stale_after(5.0) == 5.0
    for interval_s, is_stale in ((1.0, True), (10.0, False)):
        memory = ReceivedMemory(snapshot, 'lens', arrived, interval_s=interval_s)
        pending = PendingQuestion(Question('?', (), '', 0, 60.0, 1), Future())
        pending.read(memory, camera='lens', stale_after=5.0)
        assert pending._is_stale is is_stale


@pytest.mark.parametrize(('interval_s', 'level'), [(1.0, WARN), (10.0, OK)])
def test_the_diagnostics_go_by_the_same(spun, vstream, interval_s, level):
    snapshot = vstream.new_memory().snapshot()
    memory = ReceivedMemory(snapshot, 'lens', time.monotonic() - 20.0, interval_s=interval_s)
    inboxes = {'memory': SimpleNamespace(newest=memory, fault='', camera='lens')}
    memories = SimpleNamespace(inboxes=inboxes)
    made = QuestionDiagnostics(spun.node, QuestionHandlerConfig(), vstream, memories)
    part = made._memories_status(SimpleNamespace(count=0, durations=Durations()))
    assert part.level == level
    values = {value.key: value.value for value in part.values}
    assert values['memory: usual interval (s)'] == f'{interval_s:.1f}'


def test_cameras_that_are_not_told_apart_are_in_the_diagnostics(spun, vstream):
    inboxes = {
        f'{name}/memory': SimpleNamespace(newest=None, fault='', camera='lens')
        for name in ('front', 'rear')
    }
    memories = SimpleNamespace(inboxes=inboxes)
    made = QuestionDiagnostics(spun.node, QuestionHandlerConfig(), vstream, memories)
    part = made._memories_status(SimpleNamespace(count=0, durations=Durations()))
    assert part.level == WARN
    assert "not told apart by frame_id (['lens']); name them in requests by" in part.message
