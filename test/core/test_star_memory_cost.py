# SPDX-License-Identifier: Apache-2.0
"""The cost of STAR memory does not depend on its age, and a write never waits for the device."""

import pytest
import torch
from memory_samples import PUBLISHED, S, fill, make_memory, random_features
from torch.utils._python_dispatch import TorchDispatchMode

from flash_vstream_ros.core.star_memory import StarMemory

# Operations that read a value of the device, or make a tensor whose size depends on one.
WAITING = ('_local_scalar_dense', 'item', 'nonzero', 'is_nonzero', 'masked_select', 'unique',
           'equal', 'bincount', 'repeat_interleave', 'tolist')  # fmt: skip


class Recorder(TorchDispatchMode):
    """Writes down each operation with the shapes and types of its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        leaves = torch.utils._pytree.tree_leaves((args, kwargs, result))
        shapes = tuple(
            (leaf.dtype, tuple(leaf.shape)) for leaf in leaves if isinstance(leaf, torch.Tensor)
        )
        self.operations.append((str(func), shapes))
        return result


def operations_of_a_write(memory: StarMemory) -> list[tuple]:
    with Recorder() as recorder, torch.no_grad():
        memory._commit()
    memory.newest_stamp_ns = int(memory._stamp_ns)
    return recorder.operations


def aged(frames: int, geometry=PUBLISHED) -> StarMemory:
    """A memory about to write its ``frames``-th frame."""
    memory = make_memory(geometry)
    fill(memory, random_features(frames - 1, geometry))
    memory._feature.copy_(random_features(1, geometry, seed=9)[0])
    memory._stamp_ns.fill_(frames * S)
    return memory


@pytest.fixture(scope='module')
def at_26() -> list[tuple]:
    return operations_of_a_write(aged(26))


@pytest.mark.parametrize('frame', [1, 2, 24, 25, 27, 49, 50, 51, 400, 1000])
def test_a_write_is_the_same_series_of_operations_at_every_age(frame, at_26):
    """Also while filling, at the boundaries of blocks, and with the ring wrapped around."""
    assert operations_of_a_write(aged(frame)) == at_26


def test_a_refused_write_is_the_same_series_of_operations(at_26):
    memory = aged(60)
    memory._feature[2, 3, 1] = float('nan')
    assert operations_of_a_write(memory) == at_26


def test_a_write_reads_no_value_of_the_device(at_26):
    assert len(at_26) > 50, 'the recorder must have seen something'
    named = {name.split('.')[1] for name, _ in at_26}
    assert not named & set(WAITING)


def test_the_recorder_sees_a_wait_where_there_is_one():
    with Recorder() as recorder:
        int(torch.ones(()))
    assert recorder.operations[-1][0] == 'aten._local_scalar_dense.default'


def test_writes_run_without_any_values_at_all():
    """On the meta device there is nothing to read: a branch on a value, or a wait, raises."""
    memory = make_memory(PUBLISHED, 'meta')
    for frame, feature in enumerate(random_features(30, PUBLISHED)):
        memory.write(feature, S * (1 + frame))
    assert memory.newest_stamp_ns == 30 * S
    with pytest.raises((RuntimeError, NotImplementedError)):
        memory.snapshot()  # a read does wait: once, for its sizes


def test_state_neither_grows_nor_changes_shape():
    memory = make_memory(PUBLISHED)
    shapes = {name: (v.shape, v.dtype) for name, v in memory.state_dict().items()}
    places = {name: v.data_ptr() for name, v in memory.state_dict().items()}
    size = sum(value.nbytes for value in memory.state_dict().values())
    for start in (0, 40, 80, 200):
        fill(memory, random_features(37, PUBLISHED), S * (1 + start))
        state = memory.state_dict()
        assert {name: (v.shape, v.dtype) for name, v in state.items()} == shapes
        assert {name: v.data_ptr() for name, v in state.items()} == places, 'written in place'
        assert sum(value.nbytes for value in state.values()) == size
    assert len(list(memory.children())) == 3


@pytest.mark.parametrize('later', [75, 1000])
def test_a_read_is_the_same_series_of_operations_at_every_age(later):
    """With the buffer full; 75 and 1000 frames leave as many frames of a block as 50 do."""
    recorded = []
    for frame in (50, later):
        memory = aged(frame + 1)
        with Recorder() as recorder:
            memory.snapshot()
        recorded.append(recorder.operations)
    assert recorded[0] == recorded[1]


def test_a_read_waits_a_fixed_number_of_times():
    memory = aged(301)
    with Recorder() as recorder:
        memory.snapshot()
    waits = [name for name, _ in recorder.operations if '_local_scalar_dense' in name]
    assert len(waits) <= 4, 'the four numbers of its book'


@pytest.mark.skipif(not torch.cuda.is_available(), reason='this machine has no CUDA device')
def test_a_write_on_cuda_raises_under_a_guard_against_waits():
    memory = make_memory(PUBLISHED, 'cuda')
    features = random_features(60, PUBLISHED).cuda()
    torch.cuda.set_sync_debug_mode('error')
    try:
        for frame, feature in enumerate(features):
            memory.write(feature, S * (1 + frame))
    finally:
        torch.cuda.set_sync_debug_mode('default')
    assert memory.snapshot().frames_written == 60


@pytest.mark.skipif(not torch.cuda.is_available(), reason='this machine has no CUDA device')
def test_a_write_on_cuda_can_be_captured_in_a_graph():
    memory, twin = make_memory(PUBLISHED, 'cuda'), make_memory(PUBLISHED, 'cuda')
    features = random_features(60, PUBLISHED).cuda()
    fill(memory, features[:3])
    fill(twin, features)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        memory._commit()
    for frame, feature in enumerate(features[3:], 3):
        memory._feature.copy_(feature)
        memory._stamp_ns.fill_(S * (1 + frame))
        graph.replay()
    torch.testing.assert_close(memory.snapshot().tokens(), twin.snapshot().tokens())
