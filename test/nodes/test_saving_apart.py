# SPDX-License-Identifier: Apache-2.0
"""Saves beside the stream: one at a time, tried again where one failed, and said till then."""

import logging
from collections import Counter
from concurrent.futures import Future as Job
from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from flash_vstream_ros.srv import SaveMemory
from robots import S, picture, result_of, wait_until
from std_srvs.srv import Trigger
from test_live_memory import Live

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.nodes import frame_diagnostics
from flash_vstream_ros.nodes.frame_diagnostics import FrameDiagnostics
from flash_vstream_ros.nodes.memory_services import MemoryServices
from flash_vstream_ros.nodes.running import Worker


class Saving:
    """The services of a memory with one frame, on the test's own node.

    :param folder: of saved memories.
    """

    def __init__(self, spun, vstream, folder, **settings) -> None:
        self.config = FrameHandlerConfig(model='m', memory_folder=str(folder), **settings)
        self.memory = Live(spun, vstream).memory
        self.worker, self.faults, self.copies = Worker(spun.node), [], []
        self.services = spun.call(
            MemoryServices,
            spun.node,
            self.config,
            self.memory,
            self.worker,
            print,
            self.faults.append,
        )
        self._branch, self.memory.branch = self.memory.branch, self._copy
        self.show(1)

    def show(self, second) -> None:
        self.worker.submit(self.memory.write, picture(second), second * S, 'lens').result()

    def save(self) -> None:
        """Save as the timer does, and see it end."""
        self.worker.submit(self.services._save_in_time).result()
        self.services._saver.finish()

    def _copy(self):
        self.copies.append(self.memory.newest_stamp_ns)
        return self._branch()


@pytest.fixture
def make(spun, vstream, tmp_path):
    """Makes the services; they save in ``memories`` of the test's folder."""
    made = []

    def make(**settings) -> Saving:
        made.append(Saving(spun, vstream, tmp_path / 'memories', **settings))
        return made[0]

    yield make
    made[0].worker.stop()
    made[0].services.stop()


def test_while_a_memory_is_saved_for_one_who_asked_no_other_copy_is_made(
    make, planner, monkeypatch
):
    """Each copy of a memory takes as much as the memory."""
    saving = make(autosave_minutes=60.0)
    prepare, hangs = saving.services._store.prepare, [True]
    monkeypatch.setattr(
        saving.services._store,
        'prepare',
        lambda: wait_until(lambda: not hangs, 'the disk') and prepare(),
    )
    client = planner.call(planner.node.create_client, SaveMemory, 'test/save_memory')
    wait_until(client.service_is_ready, 'the service')
    first = client.call_async(SaveMemory.Request(name='first'))
    wait_until(lambda: saving.copies, 'its copy')
    for _ in range(5):
        response = result_of(client.call_async(SaveMemory.Request(name='another')))
        assert not response.success
        assert 'another save is under way; call again when it is done' in response.message
    saving.worker.submit(saving.services._save_in_time).result()
    assert len(saving.copies) == 1
    hangs.clear()
    assert result_of(first).frames_written == 1
    assert result_of(client.call_async(SaveMemory.Request(name='another'))).success


def test_an_autosave_that_fails_at_once_is_tried_again(make, monkeypatch):
    saving = make(autosave_minutes=60.0)
    services = saving.services

    def fail_at_once(*_: object) -> Job:
        job = Job()
        job.set_exception(OSError('no room'))
        return job

    with monkeypatch.context() as patch:
        patch.setattr(services._saver, 'submit', fail_at_once)
        saving.worker.submit(services._save_in_time).result()
    assert [str(fault) for fault in saving.faults] == ['no room']
    services._autosave()
    saving.worker.finish()
    services._saver.finish()
    assert services._store.path('').exists()


def test_a_save_that_fails_is_an_error_until_one_succeeds(make, spun, vstream, monkeypatch):
    """The next one is tried after minutes."""
    saving = make(autosave_minutes=60.0)
    now = [1000.0]
    monkeypatch.setattr(frame_diagnostics, 'time', SimpleNamespace(monotonic=lambda: now[0]))
    counts = Counter()
    diagnostics = FrameDiagnostics(
        spun.node, saving.config, vstream, saving.memory, saving.services, counts
    )
    folder = saving.services._store.path('').parent
    folder.rmdir()
    folder.write_text('a file in its place')
    saving.save()
    assert len(saving.faults) == 1
    counts['save_failed'] += 1
    for _ in range(3):
        assert diagnostics._memory().level == DiagnosticStatus.ERROR
        now[0] += 1000.0
    folder.unlink()
    saving.save()
    assert diagnostics._memory().level == DiagnosticStatus.OK


@pytest.mark.parametrize(('is_on', 'kept'), [(True, 'previous'), (False, 'memory')])
def test_what_was_saved_of_a_memory_that_is_reset_is_not_restored(make, planner, is_on, kept):
    """Where saving is off, somebody has saved it by hand, and wants it so."""
    saving = make(save_at_shutdown=is_on)
    saving.save()
    file = saving.services._store.path('')
    assert file.exists()
    assert planner.request(Trigger, 'test/reset_memory').success
    assert [path.stem for path in file.parent.iterdir()] == [kept]
    saving.services.restore()
    assert saving.memory.newest_stamp_ns == (0 if is_on else S)


def test_a_reset_says_where_the_memory_saved_before_stays(make, planner):
    saving = make(save_at_shutdown=True)
    saving.save()
    saving.services._store.path('previous').mkdir()
    response = planner.request(Trigger, 'test/reset_memory')
    assert not response.success
    assert 'is empty; the next start may restore the one before: ' in response.message
    assert saving.memory.newest_stamp_ns == 0


def test_at_the_end_it_is_said_that_the_memory_is_saved_before_it_is(make, caplog):
    """Who waits for the process knows then why it has not ended."""
    caplog.set_level(logging.INFO)
    saving = make(save_at_shutdown=True)
    said = []
    prepare = saving.services._store.prepare
    saving.services._store.prepare = lambda: said.append(caplog.text) or prepare()
    saving.worker.stop()
    saving.services.stop()
    assert 'saving the memory' in said[0]
