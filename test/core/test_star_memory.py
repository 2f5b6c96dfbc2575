# SPDX-License-Identifier: Apache-2.0
"""STAR memory against a naive one that keeps the whole history, frame by frame."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from memory_samples import (
    PUBLISHED,
    SMALL,
    S,
    assert_same,
    fill,
    make_memory,
    make_naive,
    random_features,
    random_stamps,
    recurring_scenes,
    small,
    state_bits,
)
from naive_memory import NaiveStarMemory, naive_pool

from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.core.star_memory import pool


def assert_equals_naive(snapshot: MemorySnapshot, naive: NaiveStarMemory) -> None:
    in_time = naive.in_time()
    assert_close(snapshot.temporal, naive.temporal())
    assert_close(snapshot.spatial, naive.spatial())
    assert_close(snapshot.abstract, naive.abstract()[:, None])
    assert snapshot.frames_written == len(naive.stamps)
    assert snapshot.temporal_weights.tolist() == [len(c) for c in in_time]
    assert snapshot.temporal_weights.sum() == len(naive.stamps)
    newest = naive.stamps[-naive.geometry.spatial_slots :]
    assert snapshot.spatial_stamps_ns.tolist() == newest
    stamps = [[naive.stamps[f] for f in c] for c in in_time]
    assert snapshot.temporal_first_stamps_ns.tolist() == [min(s) for s in stamps]
    assert snapshot.temporal_last_stamps_ns.tolist() == [max(s) for s in stamps]
    means = [int(naive.mean_stamp(c)) for c in in_time]
    found = snapshot.temporal_mean_stamps_ns.tolist()
    assert max(abs(f - m) for f, m in zip(found, means, strict=True)) <= 1
    ends = (snapshot.oldest_stamp_ns, snapshot.newest_stamp_ns)
    assert ends == (naive.stamps[0], naive.stamps[-1])
    assert_retrieved_equals_naive(snapshot, naive)


def assert_retrieved_equals_naive(snapshot: MemorySnapshot, naive: NaiveStarMemory) -> None:
    """The two frames of a cluster are equally near to its mean: rounding chooses, so may we."""
    stamps = snapshot.retrieved_stamps_ns.tolist()
    for stamp, found, cluster in zip(stamps, snapshot.retrieved, naive.heaviest(), strict=True):
        distances = naive.distances(cluster)
        frame = naive.stamps.index(stamp)
        assert distances[frame] <= min(distances.values()) * (1 + 1e-4) + 1e-9
        assert_close(found, naive_pool(naive.features[frame], naive.geometry.detail_side))


def assert_close(found: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.cpu().numpy(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=['float32', 'bfloat16'])
@pytest.mark.parametrize('stream', [random_features, recurring_scenes], ids=['random', 'scenes'])
def test_after_each_of_250_frames_all_parts_equal_a_naive_memory(stream, dtype, device):
    """Writing, merging, the ring's wrap-around at 16, blocks of 4, and reading, all together."""
    memory, naive = make_memory(device=device), make_naive()
    for feature, stamp in zip(stream(250).to(dtype), random_stamps(250), strict=True):
        memory.write(feature.to(device), stamp)
        naive.write(feature.double().numpy(), stamp)
        assert_equals_naive(memory.snapshot(), naive)


def test_the_published_number_of_slots_equals_a_naive_memory(device):
    memory, naive = make_memory(PUBLISHED, device), make_naive(PUBLISHED)
    features = recurring_scenes(110, PUBLISHED, seed=4)
    for feature, stamp in zip(features, random_stamps(110, 1_763_640_000 * S), strict=True):
        memory.write(feature.to(device), stamp)
        naive.write(feature.numpy(), stamp)
        if len(naive.stamps) % 7 in (1, 4) or 22 < len(naive.stamps) < 28:
            assert_equals_naive(memory.snapshot(), naive)


@pytest.mark.parametrize(
    'sizes',
    [
        {'temporal_slots': 1, 'abstract_slots': 1, 'spatial_slots': 1, 'buffer_frames': 1},
        {'temporal_slots': 2, 'retrieved_slots': 5},
        {'temporal_side': 8, 'detail_side': 8, 'spatial_slots': 16},
        {'abstract_slots': 7, 'temporal_slots': 20, 'retrieved_slots': 1, 'update_ratio': 1.0},
        {'temporal_half_life': 7.0},
        {'temporal_half_life': 30, 'temporal_slots': 9, 'retrieved_slots': 5},
    ],
)
def test_any_other_geometry_equals_a_naive_memory(sizes):
    geometry = small(**sizes)
    memory, naive = make_memory(geometry), make_naive(geometry)
    for feature, stamp in zip(random_features(50, geometry), random_stamps(50), strict=True):
        memory.write(feature, stamp)
        naive.write(feature.numpy(), stamp)
        assert_equals_naive(memory.snapshot(), naive)


def test_tokens_while_the_memory_fills():
    memory = make_memory(PUBLISHED)
    tokens = {}
    for frame, feature in enumerate(random_features(60, PUBLISHED)):
        memory.write(feature, S * (1 + frame))
        tokens[frame + 1] = len(memory.snapshot().tokens())
    # 25 slots of 1 and 16 tokens; 1 spatial and up to 3 retrieved of 64.
    assert tokens == {t: 17 * min(t, 25) + 64 * (1 + min(t, 3)) for t in tokens}
    assert (tokens[1], tokens[25], tokens[60]) == (145, 681, 681)
    assert PUBLISHED.tokens == 681


def test_an_empty_memory_is_read_without_an_error(device):
    snapshot = make_memory(device=device).snapshot()
    assert snapshot.is_empty
    assert snapshot.tokens().shape == (0, 6)
    assert (snapshot.oldest_stamp_ns, snapshot.newest_stamp_ns) == (0, 0)


def test_a_static_camera_leaves_no_empty_cluster_and_no_nan(device):
    memory = make_memory(device=device)
    feature = random_features(1)[0].to(device)
    for frame in range(120):
        memory.write(feature, S * (1 + frame))
        snapshot = memory.snapshot()
        assert (snapshot.temporal_weights > 0).all()
        assert snapshot.temporal_weights.sum() == frame + 1
        coarse = pool(feature, 2)
        for cluster in snapshot.temporal:
            torch.testing.assert_close(cluster, coarse, atol=1e-5, rtol=0)
        for frame_seen in (*snapshot.retrieved, *snapshot.spatial):
            torch.testing.assert_close(frame_seen, pool(feature, 4), atol=0, rtol=0)
        assert snapshot.abstract.isfinite().all()


def test_of_equally_heavy_clusters_the_one_seen_last_is_retrieved_first():
    memory = make_memory()
    features = random_features(5)
    fill(memory, features)
    assert memory.snapshot().retrieved_stamps_ns.tolist() == [5 * S, 4 * S, 3 * S]
    memory.write(features[1], 6 * S)  # the second place again: weight 2
    assert memory.snapshot().temporal_weights.max() == 2
    assert memory.snapshot().retrieved_stamps_ns.tolist()[0] in (2 * S, 6 * S)


def test_retrieved_frames_come_from_the_newest_the_buffer_holds():
    """The published code returns frames among the first of the video: an index mistake."""
    memory = make_memory()
    for frame, feature in enumerate(recurring_scenes(200)):
        memory.write(feature, S * (1 + frame))
        held = S * max(1, frame - 14)
        assert memory.snapshot().retrieved_stamps_ns.min() >= held


def test_two_runs_and_two_reads_are_equal_bit_by_bit(device):
    first, second = make_memory(device=device), make_memory(device=device)
    for memory in (first, second):
        fill(memory, recurring_scenes(70).to(device))
    assert state_bits(first) == state_bits(second)
    assert_same(first.snapshot(), second.snapshot())
    assert_same(first.snapshot(), first.snapshot())
    assert state_bits(first) == state_bits(second), 'a read changes nothing'


def test_later_writes_and_a_reset_do_not_change_a_snapshot(device):
    memory, twin = make_memory(device=device), make_memory(device=device)
    features = recurring_scenes(60).to(device)
    for count in (1, 3, 4, 6, 12, 18):
        for one in (memory, twin):
            one.reset()
            fill(one, features[:count])
        snapshot, expected = memory.snapshot(), twin.snapshot()
        fill(memory, features[count:], S * (count + 1))
        assert_same(snapshot, expected)
        memory.reset()
        assert_same(snapshot, expected)


def test_a_reset_memory_is_a_new_one_under_a_new_id(device):
    memory, fresh = make_memory(device=device), make_memory(device=device)
    fill(memory, 9.0 * random_features(37, seed=8))
    old_id = memory.memory_id
    memory.reset()
    assert memory.snapshot().is_empty
    assert memory.memory_id not in (old_id, fresh.memory_id)
    for frame, feature in enumerate(recurring_scenes(30)):
        memory.write(feature, 1 + frame)
        fresh.write(feature, 1 + frame)
        assert_same(memory.snapshot(), fresh.snapshot())


def test_a_reset_memory_forgets_the_bits_too():
    """What a camera saw must not go into the next stream's file."""
    memory = make_memory()
    fill(memory, random_features(37))
    memory.reset()
    assert state_bits(memory) == state_bits(make_memory())


def test_stamps_near_the_real_epoch_stay_exact():
    """In float64 such a stamp is exact to 256 ns only, and a sum of five overflows int64."""
    epoch_ns = 1_763_640_000_123_456_789
    memory = make_memory(small(temporal_slots=1))
    feature = random_features(1)[0]
    stamps = [epoch_ns, epoch_ns + 1, epoch_ns + 3, epoch_ns + 7, epoch_ns + 3_600 * S + 1]
    for count, stamp in enumerate(stamps, 1):
        memory.write(feature, stamp)
        exact = sum(s - epoch_ns for s in stamps[:count]) / count
        assert abs(memory.snapshot().temporal_mean_stamps_ns[0] - epoch_ns - exact) <= 0.5 + 1e-3
    snapshot = memory.snapshot()
    assert snapshot.temporal_first_stamps_ns.tolist() == [epoch_ns]
    assert snapshot.temporal_last_stamps_ns.tolist() == [stamps[-1]]
    assert snapshot.spatial_stamps_ns.tolist() == stamps[-2:]


def test_float16_and_float64_features_are_kept_in_float32(device):
    features = random_features(8).half()
    memories = [make_memory(device=device) for _ in range(3)]
    for memory, dtype in zip(memories, (torch.float16, torch.float32, torch.float64), strict=True):
        fill(memory, features.to(device, dtype))
    for memory in memories[1:]:
        assert_same(memories[0].snapshot(), memory.snapshot())
    assert memories[0].snapshot().temporal.dtype == torch.float32


@pytest.mark.parametrize('side', [1, 2, 4, 8])
def test_pooling_is_the_mean_of_each_patch_row_by_row(side):
    feature = random_features(1, SMALL)[0]
    np.testing.assert_allclose(pool(feature, side), naive_pool(feature.numpy(), side), atol=1e-6)
    batch = random_features(3, SMALL)
    torch.testing.assert_close(pool(batch, side)[2], pool(batch[2], side))


@pytest.mark.parametrize('name', ['pool8', 'pool4', 'pool1'])
def test_pooling_equals_the_golden_data(name, golden_tensors):
    tensors = golden_tensors('encoder')
    maps = tensors['feature_map'].unflatten(1, (16, 16))
    torch.testing.assert_close(pool(maps, int(name[4:])), tensors[name], atol=1e-4, rtol=0)


def test_a_copy_goes_on_by_itself_under_an_id_of_its_own():
    """With one id for both, the prefix of the one would be taken for the other's."""
    memory, twin = make_memory(), make_memory()
    features = random_features(30)
    fill(memory, features[:29])
    fill(twin, features[:29])
    copy = deepcopy(memory)
    assert copy.memory_id != memory.memory_id
    memory.write(torch.zeros_like(features[0]), 10**15)
    copy.write(features[29], 10**15)
    twin.write(features[29], 10**15)
    assert state_bits(copy) == state_bits(twin)
