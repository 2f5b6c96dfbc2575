# SPDX-License-Identifier: Apache-2.0
"""A device that is full, at every point at which it can be: one frame or one answer is lost."""

import os
import shutil
from types import SimpleNamespace

import pytest
import torch
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.srv import SaveMemory
from in_process import InProcess, fail_once, quoted
from robots import S, picture, wait_until
from std_srvs.srv import Trigger

from flash_vstream_ros.core.abstract_memory import AbstractMemory
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.language_model import LanguageModel
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.core.temporal_memory import TemporalMemory
from flash_vstream_ros.nodes.conversions import ros_text

FULL = torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')
QUESTION = 'What is there?'


@pytest.fixture(scope='module')
def _nodes(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp('saved') / 'memories'
    nodes = InProcess(
        '/in_process',
        {
            'model': quoted(checkpoint),
            'sample_rate': 0.0,
            'publish_rate': 1000.0,
            'prefill_share': 0.0,  # the failure is to meet a question
            'memory_folder': quoted(folder),
        },
    )
    nodes.folder = folder
    yield nodes
    nodes.close()


@pytest.fixture
def nodes(_nodes):
    """Both nodes, with an empty memory."""
    _nodes.planner.request(Trigger, 'frame_handler/reset_memory')
    _nodes.camera.memories.clear()
    return _nodes


@pytest.mark.parametrize(
    ('owner', 'name', 'is_torn'),
    [
        (FlashVStream, 'encode', False),
        (AbstractMemory, 'write', True),
        (TemporalMemory, '_renew_costs', True),
        (StarMemory, 'snapshot', False),
    ],
    ids=['encode', 'write', 'late in the write', 'read'],
)
def test_a_frame_is_lost_and_the_next_one_memorised(nodes, monkeypatch, owner, name, is_torn):
    """In the middle of a write nothing of the memory is certain: another one begins."""
    lines = []  # the node's own logger says it once in ten seconds
    logger = SimpleNamespace(error=lambda text, **_: lines.append(text))
    monkeypatch.setattr(nodes.frames, '_logger', logger)
    for second in (1, 2):
        nodes.camera.show(second)
    former, failed = nodes.camera.memories[-1], nodes.frames.counts['failed']
    with monkeypatch.context() as patch:
        fail_once(patch, owner, name, FULL)
        nodes.camera.publisher.publish(nodes.camera.message(3))
        wait_until(lambda: nodes.frames.counts['failed'] > failed, 'the failure')
    wait_until(lambda: lines, 'it is said')
    assert lines[0].startswith('frame lost')
    assert 'CUDA out of memory' in lines[0]
    assert 'a smaller dtype' in lines[0]
    nodes.camera.show(4)
    memory = nodes.camera.memories[-1]
    assert memory.frames_written == sum(memory.temporal_weights)
    assert (memory.memory_id != former.memory_id) == is_torn
    assert (
        memory.frames_written
        == {'read': 4, True: 1, False: 3}['read' if name == 'snapshot' else is_torn]
    )
    assert nodes.planner.ask(min_stamp_ns=4 * S).status == Answer.OK


@pytest.mark.parametrize(
    ('owner', 'name', 'after', 'says'),
    [
        (LanguageModel, 'prefill_prefix', 0, False),
        (ContinuousBatch, '_read', 0, False),
        (ContinuousBatch, '_read', 6, True),
    ],
    ids=['prefill of the memory', 'prefill of the question', 'decode'],
)
def test_an_answer_fails_with_advice_and_the_next_one_is_right(
    nodes, vstream, monkeypatch, owner, name, after, says
):
    for second in (1, 2):
        nodes.camera.show(second)
    ask = {'min_stamp_ns': 2 * S, 'max_new_tokens': 30}
    with monkeypatch.context() as patch:
        fail_once(patch, owner, name, FULL, after)
        answer = nodes.planner.ask(**ask)
    assert answer.status == Answer.MODEL_ERROR
    assert 'CUDA out of memory' in answer.message
    assert 'free memory on the device or choose a smaller dtype' in answer.message
    assert bool(answer.text) == says
    memory = vstream.new_memory()
    for second in (1, 2):
        vstream.write(memory, picture(second), second * S)
    expected = vstream.answer(memory.snapshot().to_float16(), QUESTION, max_new_tokens=30)
    answer = nodes.planner.ask(**ask)
    assert (answer.status, answer.text) == (Answer.OK, ros_text(expected.text))


@pytest.mark.skipif(os.geteuid() != 0, reason='needs the right to mount a small disk')
def test_a_disk_that_became_read_only_fails_the_save_and_keeps_the_one_before(nodes):
    folder = nodes.folder
    folder.mkdir(parents=True, exist_ok=True)
    mounts = shutil.which('mount') and not os.system(f'mount -t tmpfs none "{folder}"')
    if not mounts:
        pytest.skip('cannot mount a small disk here')
    try:
        nodes.camera.show(1)
        save = ('frame_handler/save_memory',)
        assert nodes.planner.request(SaveMemory, *save).success
        before = (folder / 'memory.safetensors').read_bytes()
        assert os.system(f'mount -o remount,ro "{folder}"') == 0
        nodes.camera.show(2)
        response = nodes.planner.request(SaveMemory, *save)
        assert not response.success
        assert 'Read-only file system' in response.message
        assert 'what was saved before is unharmed' in response.message
        assert (folder / 'memory.safetensors').read_bytes() == before
        nodes.camera.show(3)
        assert nodes.camera.memories[-1].frames_written == 3
        assert os.system(f'mount -o remount,rw "{folder}"') == 0
        assert nodes.planner.request(SaveMemory, *save).frames_written == 3
    finally:
        os.system(f'umount -l "{folder}"')
