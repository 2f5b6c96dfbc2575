# SPDX-License-Identifier: Apache-2.0
"""Saving, loading and resetting a frame handler's memory, by service, by time and at its end."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future as Job
from pathlib import Path

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.nodes.live_memory import LiveMemory, Saved
from flash_vstream_ros.nodes.managed import forget_frames
from flash_vstream_ros.nodes.memory_store import DEFAULT_NAME, PREVIOUS_NAME, MemoryStore
from flash_vstream_ros.nodes.running import Worker
from flash_vstream_ros.srv import LoadMemory, SaveMemory

logger = logging.getLogger(__name__)

SAVE_FAULTS = (ValueError, OSError, RuntimeError, MemoryError)  # the last but one: of the device
KEPT = 'what was saved before is unharmed'


class MemoryServices:
    """``~/reset_memory``, ``~/save_memory`` and ``~/load_memory``; autosave and restoring.

    Memories are copied on the worker and written by a thread of their own, so that frames are
    memorised meanwhile.

    :param live: the memory.
    :param worker: where everything that touches it runs.
    :param begin: called on the worker before another stream begins, with the newest stamp that is
        already in its memory.
    :param on_fault: called with what prevented a save that nobody waits for. Any thread.
    """

    def __init__(
        self,
        node: Node,
        config: FrameHandlerConfig,
        live: LiveMemory,
        worker: Worker,
        begin: Callable[[int], None],
        on_fault: Callable[[BaseException], None],
    ) -> None:
        self._node = node
        self._config = config
        self._live = live
        self._worker = worker
        self._begin = begin
        self._on_fault = on_fault
        self._store = MemoryStore(config.memory_folder)
        self._saver = Worker(node)
        self._saving: Job | Future | None = None  # the newest
        self.is_failing = False  # the save tried last of those that nobody waits for
        self.fault_at_start: OSError | None = None  # what would keep all saves from being written
        self._saved: tuple[int, int] | None = None  # memory_id and newest stamp, of the last save
        group = ReentrantCallbackGroup()  # they await the workers
        for name, kind, serve in (
            ('reset_memory', Trigger, self._on_reset),
            ('save_memory', SaveMemory, self._on_save),
            ('load_memory', LoadMemory, self._on_load),
        ):
            node.create_service(kind, f'~/{name}', serve, callback_group=group)
        if config.autosave_minutes:
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            node.create_timer(60.0 * config.autosave_minutes, self._autosave, clock=steady)
        if self._keeps_streams:
            self._check_folder()

    def _check_folder(self) -> None:
        """Notice now what would keep memories from being saved, perhaps in a week."""
        try:
            self._store.check()
        except OSError as error:
            self.is_failing, self.fault_at_start = True, error
            self._node.get_logger().error(
                f'memories cannot be saved: {error}; let this user write to '
                f'{self._config.memory_folder}, or name another memory_folder. Saves are tried '
                f'all the same; save_memory tries one at once'
            )

    def restore(self) -> None:
        """Go on from the memory saved last, where there is one. Before the worker has begun."""
        try:
            path = self._store.path('')
            self._put_in_place(*self._live.read(path))
        except FileNotFoundError as error:
            self._node.get_logger().info(f'nothing to restore: {error}')
        except OSError as error:  # of the disk or of rights: the memory may be a good one
            self._say_not_restored(error, self._store.spare_unread())
        except ValueError as error:
            self._say_not_restored(error, self._store.refuse())
        else:
            self._node.get_logger().info(f'memory restored from {path}')

    def _say_not_restored(self, error: Exception, file: str) -> None:
        self._node.get_logger().error(
            f'memory not restored, beginning with an empty one: {error}; {file}'
        )

    def save_previous(self) -> None:
        """Save a stream that ends, where saving is on and there is one. On the worker."""
        if self._keeps_streams and self._live.newest_stamp_ns:
            if self._is_saving:  # copies must not pile up
                self._say_not_saved(TimeoutError('the save before is not done yet'))
            else:
                self._try_to_save(PREVIOUS_NAME)

    def stop(self) -> None:
        """Save at the end where that is wanted; the worker has stopped."""
        if self._config.save_at_shutdown and self._has_changed:
            # Not the node's logger: after SIGINT it can no longer publish what it logs.
            logger.info('saving the memory; do not kill this process before it ends')
            self._try_to_save('')
        self._saver.finish()
        self._saver.stop()

    @property
    def _keeps_streams(self) -> bool:
        """Whether saving is on."""
        return bool(self._config.autosave_minutes or self._config.save_at_shutdown)

    @property
    def _is_saving(self) -> bool:
        return self._saving is not None and not self._saving.done()

    @property
    def _has_changed(self) -> bool:
        now = (self._live.memory_id, self._live.newest_stamp_ns)
        return now[1] > 0 and now != self._saved

    def _autosave(self) -> None:
        if self._has_changed:
            self._worker.submit(self._save_in_time).add_done_callback(self._report)

    def _save_in_time(self) -> None:
        """Save by time. On the worker, as other saves begin, so that none begins beside it."""
        if self._is_saving:  # copies must not pile up
            self._node.get_logger().warning(
                'memory not saved: the save before is not done yet; a slower disk wants a longer '
                'autosave_minutes',
                throttle_duration_sec=60.0,
            )
        else:
            self._save_apart('')

    def _try_to_save(self, name: str) -> None:
        """Save for nobody who waits for it: what must go on goes on where that fails."""
        try:
            self._save_apart(name)
        except SAVE_FAULTS as error:
            self._say_not_saved(error)

    def _save_apart(self, name: str) -> None:
        """Copy the memory here, write it on the other thread."""
        path = self._store.path(name)
        branch = self._live.branch()
        if not name:  # before it can fail: what failed is not saved
            self._saved = (self._live.memory_id, self._live.newest_stamp_ns)
        self._saving = self._saver.submit(self._write, path, *branch)
        self._saving.add_done_callback(self._report)

    def _save_for_one_who_waits(self, path: Path) -> Future:
        """The same, for a callback to await. On the worker."""
        if self._is_saving:  # copies must not pile up
            raise RuntimeError('another save is under way; call again when it is done')
        self._saving = self._saver.run(self._write, path, *self._live.branch())
        return self._saving

    def _write(self, path: Path, memory: StarMemory, beside: Saved) -> int:
        """Write a copy; returns the frames in it."""
        began = time.monotonic()
        self._store.prepare()
        aside = self._store.make_room() if path.stem == DEFAULT_NAME else None
        if aside is not None:
            self._node.get_logger().warning(f'what could not be restored is now {aside}')
        memory.save(path, beside.notes, beside.attached)
        self.is_failing = False
        frames = memory.frames_written
        self._node.get_logger().info(
            f'{frames} frames saved to {path} in {time.monotonic() - began:.2f} s'
        )
        return frames

    def _report(self, job: Job) -> None:
        """Say of what nobody awaits that it failed, and try again at the next time."""
        if not job.cancelled() and job.exception() is not None:
            self._say_not_saved(job.exception())
            forget_frames(job.exception())  # in one of them is the copy

    def _say_not_saved(self, error: BaseException) -> None:
        self._saved = None
        self.is_failing = True
        self._on_fault(error)
        self._node.get_logger().error(f'memory not saved: {error}; {KEPT}')

    async def _on_save(
        self, request: SaveMemory.Request, response: SaveMemory.Response
    ) -> SaveMemory.Response:
        try:
            path = self._store.path(request.name)
            saving = await self._worker.run(self._save_for_one_who_waits, path)
            response.frames_written = await saving
        except SAVE_FAULTS as error:
            response.message = f'not saved: {error}; {KEPT}'
            self._node.get_logger().error(response.message)
            forget_frames(error)
            return response
        response.success, response.path = True, str(path)
        response.message = f'{response.frames_written} frames saved'
        return response

    async def _on_load(
        self, request: LoadMemory.Request, response: LoadMemory.Response
    ) -> LoadMemory.Response:
        try:
            path = self._store.path(request.name)
            memory, beside = await self._saver.run(self._read, path)
            await self._worker.run(self._change_to, memory, beside)
        except SAVE_FAULTS as error:
            response.message = f'not loaded: {error}; the memory is as it was'
            self._node.get_logger().error(response.message)
            return response
        response.success = True
        response.memory_id, response.frames_written = memory.memory_id, memory.frames_written
        response.message = f'{response.frames_written} frames loaded from {path}'
        self._node.get_logger().info(response.message)
        return response

    def _read(self, path: Path) -> tuple[StarMemory, Saved]:
        try:
            return self._live.read(path)
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{error}; {self._store.say_names()}') from error

    def _change_to(self, memory: StarMemory, beside: Saved) -> None:
        """End the present stream for a memory that was loaded. On the worker."""
        if self._keeps_streams and self._is_saving:
            raise RuntimeError('a save is under way; call again when it is done')
        self.save_previous()
        self._put_in_place(memory, beside)

    def _put_in_place(self, memory: StarMemory, beside: Saved) -> None:
        self._begin(memory.newest_stamp_ns)
        self._live.go_on_from(memory, beside)

    async def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            renamed = await self._worker.run(self._reset)
        except RuntimeError as error:  # of the device, or at shutdown
            response.success = False
            response.message = f'not reset: {error}'
            return self._said(response)
        response.success = True
        response.message = f'memory {self._live.memory_id} is empty'
        if renamed is not None:
            try:
                await renamed
            except SAVE_FAULTS as error:
                response.success = False
                response.message += f'; the next start may restore the one before: {error}'
        return self._said(response)

    def _said(self, response: Trigger.Response) -> Trigger.Response:
        self._node.get_logger().info(f'reset: {response.message}')
        return response

    def _reset(self) -> Future | None:
        """Returns the renaming of what was saved, for a callback to await."""
        self._begin(0)
        self._live.reset()
        # Begun here: behind a save that is under way, before any of the new stream.
        renamed = self._saver.run(self._store.make_previous) if self._keeps_streams else None
        self._live.publish()
        return renamed
