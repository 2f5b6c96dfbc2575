# SPDX-License-Identifier: Apache-2.0
"""The memory of a running stream: frames that a GPU refuses, publishing that takes its time."""

import time
from collections import Counter

import numpy as np
import pytest
import torch
from gpu_stand_in import write_as_a_gpu
from robots import S, picture, wait_until

from flash_vstream_ros.core.config import FrameHandlerConfig
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.core.still_frames import StillFrames
from flash_vstream_ros.nodes.live_memory import LiveMemory
from flash_vstream_ros.nodes.memory_services import MemoryServices
from flash_vstream_ros.nodes.running import Worker
from flash_vstream_ros.nodes.seen_frames import SeenFrames


class Live:
    """A memory on the test's own node, and what it says."""

    def __init__(self, spun, vstream) -> None:
        self.counts: Counter[str] = Counter()
        self.refused: list[ValueError] = []
        self.seen = SeenFrames(vstream.geometry, None)
        self.submitted: list = []
        self.memory = spun.call(
            LiveMemory,
            spun.node,
            vstream,
            1000.0,
            self.submitted.append,
            self.counts,
            self.refused.append,
            self.seen,
            StillFrames(3.0),
        )


@pytest.fixture
def live(spun, vstream):
    return Live(spun, vstream)


def test_a_frame_that_a_gpu_refuses_is_counted_once_and_shown_nowhere(live, vstream, monkeypatch):
    monkeypatch.setattr(StarMemory, 'write', write_as_a_gpu)
    encode, spoiled = vstream.encode, {3, 4}
    seconds = iter(range(1, 7))

    def encode_some(frames: np.ndarray) -> torch.Tensor:
        feature = encode(frames)
        return feature * torch.nan if next(seconds) in spoiled else feature

    monkeypatch.setattr(vstream, 'encode', encode_some)
    for second in range(1, 7):
        live.memory.write(picture(second), second * S, 'lens')
    assert live.counts['memorised'] == live.memory.snapshot().frames_written == 4
    assert len(live.refused) == 2
    assert live.seen.thumbnails.stamps_ns == [1 * S, 2 * S, 5 * S, 6 * S]


def test_a_picture_alike_a_refused_one_is_encoded_anew(live, vstream, monkeypatch):
    encode = vstream.encode
    monkeypatch.setattr(vstream, 'encode', lambda frames: encode(frames) * torch.nan)
    with pytest.raises(ValueError, match='finite'):
        live.memory.write(picture(1), S, 'lens')
    monkeypatch.setattr(vstream, 'encode', encode)
    live.memory.write(picture(1), 2 * S, 'lens')
    assert (live.counts['memorised'], live.counts['still']) == (1, 0)


def test_publishing_that_takes_longer_than_its_period_does_not_pile_up(live):
    live.memory.write(picture(1), S, 'lens')
    while live.submitted:  # the timer may have found it unpublished
        live.submitted.pop()()
    live.memory._publisher.note_change()
    wait_until(lambda: live.submitted, 'a job')
    time.sleep(0.2)  # ten periods
    assert len(live.submitted) == 1
    live.submitted.pop()()
    live.memory._publisher.note_change()
    wait_until(lambda: live.submitted, 'the next one')


def test_copies_do_not_pile_up_behind_a_disk_that_hangs(live, spun, tmp_path, monkeypatch):
    config = FrameHandlerConfig(
        model='m', memory_folder=str(tmp_path), autosave_minutes=0.001, save_at_shutdown=True
    )
    worker, faults = Worker(spun.node), []
    services = spun.call(
        MemoryServices, spun.node, config, live.memory, worker, print, faults.append
    )
    hangs, copies, branch = [True], [], live.memory.branch
    monkeypatch.setattr(live.memory, 'branch', lambda: copies.append(1) or branch())
    prepare = services._store.prepare

    def prepare_late() -> None:
        wait_until(lambda: not hangs, 'the disk')
        prepare()

    monkeypatch.setattr(services._store, 'prepare', prepare_late)
    for second in range(1, 5):
        worker.submit(live.memory.write, picture(second), second * S, 'lens').result()
        time.sleep(0.15)  # more than one autosave
    assert len(copies) == 1
    hangs.clear()
    worker.submit(live.memory.write, picture(5), 5 * S, 'lens').result()
    wait_until(lambda: len(copies) == 2, 'the next autosave')
    worker.stop()
    services.stop()
    assert not faults
    assert (tmp_path / 'memory.safetensors').exists()
