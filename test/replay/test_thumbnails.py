# SPDX-License-Identifier: Apache-2.0
"""The store of thumbnails."""

import numpy as np
import pytest
import torch
from memory_stand_in import NS, snapshot

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.replay.thumbnails import ThumbnailStore


def frame(grey: int, size: tuple[int, int] = (30, 40)) -> np.ndarray:
    return np.full((*size, 3), grey, np.uint8)


def feature(*values: float) -> torch.Tensor:
    """(P, P, D) whose mean is the values."""
    whole = torch.zeros(8)
    whole[: len(values)] = torch.tensor(values)
    noise = torch.randn(4, 4, 8, generator=torch.Generator().manual_seed(0))
    return whole + noise - noise.mean((0, 1))


def never() -> MemorySnapshot:
    pytest.fail('the memory was read although the store was not full')


def grey_of(picture: np.ndarray | None) -> int | None:
    return None if picture is None else round(float(picture.mean()))


def test_a_frame_is_found_by_its_stamp() -> None:
    store = ThumbnailStore()
    for i in range(5):
        store.add((i + 1) * NS, frame(i * 50), feature(0.0), never)
    assert grey_of(store.at(3 * NS)) == 100
    assert store.at(3 * NS + 1) is None
    assert store.at(9 * NS) is None
    assert ThumbnailStore().at(NS) is None


def test_thumbnails_are_small_rgb_and_undistorted() -> None:
    store = ThumbnailStore()
    red = np.zeros((720, 1280, 3), np.uint8)
    red[..., 0] = 255
    store.add(NS, red, feature(0.0), never)
    thumbnail = store.at(NS)
    assert thumbnail.shape == (225, 400, 3)
    assert thumbnail[100, 100] == pytest.approx([255, 0, 0], abs=4)


def test_the_key_frame_is_the_one_most_like_its_cluster() -> None:
    """Two clusters that take turns share their time; the frame at its mean may be the other's."""
    store = ThumbnailStore()
    for i in range(10):
        kind = i % 2
        store.add((i + 1) * NS, frame(200 if kind else 20), feature(float(kind)), never)
    clusters = [(5, NS, 9 * NS, 6 * NS), (5, 2 * NS, 10 * NS, 6 * NS)]
    memory = snapshot(clusters, centroids=[[0.02], [0.97]])
    assert [grey_of(picture) for picture in store.key_frames(memory)] == [20, 200]


def test_the_key_frame_lies_within_the_time_of_its_cluster() -> None:
    store = ThumbnailStore()
    for i, value in enumerate([1.0, 0.4, 0.0, 1.0]):
        store.add((i + 1) * NS, frame(i * 60), feature(value), never)
    memory = snapshot(
        [(2, 2 * NS, 3 * NS, 2 * NS), (1, 9 * NS, 9 * NS, 9 * NS)], centroids=[[1.0], [1.0]]
    )
    assert [grey_of(picture) for picture in store.key_frames(memory)] == [60, None]


def test_stamps_must_grow() -> None:
    store = ThumbnailStore()
    store.add(5 * NS, frame(0), feature(0.0), never)
    with pytest.raises(ValueError, match='expected a stamp after 5000000000, got 5000000000'):
        store.add(5 * NS, frame(0), feature(0.0), never)
    store.clear()
    store.add(NS, frame(0), feature(0.0), never)
    assert len(store) == 1


def test_it_never_grows_beyond_its_bound_and_keeps_the_newest(vstream: FlashVStream) -> None:
    store = ThumbnailStore(newest=10, older=8)
    for i in range(1, 200):
        memory = snapshot([(i, NS, max(i - 1, 1) * NS, NS)], newest_ns=max(i - 1, 1) * NS)
        store.add(i * NS, frame(i), feature(0.0), lambda memory=memory: memory)
        assert len(store) <= 18
        assert all(store.at(j * NS) is not None for j in range(max(i - 9, 1), i + 1))


def test_what_stays_of_the_past_covers_it_evenly() -> None:
    store = ThumbnailStore(newest=10, older=40)
    for i in range(1, 1001):
        memory = snapshot([(i, NS, i * NS, NS)])
        store.add(i * NS, frame(0), feature(0.0), lambda memory=memory: memory)
    kept = [i for i in range(1, 990) if store.at(i * NS) is not None]
    assert kept[0] == 1
    assert np.diff(kept).max() < 120


def test_each_cluster_keeps_a_key_frame_however_long_the_stream(vstream: FlashVStream) -> None:
    """With a real memory: what was rare and long ago is still shown."""
    memory = vstream.new_memory()
    store = ThumbnailStore(newest=30, older=100)
    generator = torch.Generator().manual_seed(1)
    scenes = torch.randn(40, 16, 16, vstream.geometry.feature_width, generator=generator)
    for i in range(1, 1501):
        scene = 30 + i // 40 if i < 300 else i % 20
        noise = torch.randn(scenes[0].shape, generator=generator)
        mapped = scenes[scene] + 0.1 * noise
        memory.write(mapped, i * NS)
        store.add(i * NS, frame(scene * 6), mapped, memory.snapshot)
    newest = memory.snapshot()
    greys = [grey_of(picture) for picture in store.key_frames(newest)]
    assert None not in greys
    early = np.flatnonzero(newest.temporal_last_stamps_ns < 300 * NS)
    assert len(early) > 0
    for cluster in early:
        middle = int(newest.temporal_mean_stamps_ns[cluster]) // NS
        scene_at_mean = 30 + middle // 40
        assert abs(greys[cluster] - scene_at_mean * 6) <= 6


@pytest.mark.parametrize(('newest', 'older'), [(0, 10), (5, 1)])
def test_impossible_bounds_are_refused(newest: int, older: int) -> None:
    with pytest.raises(ValueError, match='expected newest >= 1 and older >= 2'):
        ThumbnailStore(newest, older)


def filled() -> ThumbnailStore:
    store = ThumbnailStore()
    for i in range(6):
        store.add((i + 1) * NS, frame(i * 40), feature(float(i)), never)
    return store


def test_a_copy_keeps_what_the_store_forgets() -> None:
    store = filled()
    copied = store.copy()
    store.clear()
    assert store.stamps_ns == []
    assert copied.stamps_ns == [(i + 1) * NS for i in range(6)]
    assert grey_of(copied.at(2 * NS)) == 40


def test_a_store_restored_from_its_state_shows_the_same() -> None:
    store, other = filled(), ThumbnailStore()
    other.restore(store.state(), 8)
    clusters = [(3, NS, 3 * NS, 2 * NS), (3, 4 * NS, 6 * NS, 5 * NS)]
    memory = snapshot(clusters, centroids=[[1.0], [4.0]])
    assert other.stamps_ns == store.stamps_ns
    assert other.key_stamps_ns(memory) == store.key_stamps_ns(memory) == [2 * NS, 5 * NS]
    assert [other.jpeg(s) for s in other.stamps_ns] == [store.jpeg(s) for s in store.stamps_ns]
    empty = ThumbnailStore()
    empty.restore(ThumbnailStore().state(), 8)
    assert len(empty) == 0


@pytest.mark.parametrize(
    'damage',
    [
        {'stamps_ns': None},
        {'stamps_ns': np.array([3, 2, 1, 4, 5, 6], np.int64)},
        {'stamps_ns': np.arange(5)},
        {'stamps_ns': np.arange(6.0)},
        {'sizes': np.array([-1, 1, 1, 1, 1, 1], np.int64)},
        {'sizes': np.ones(6, np.int64)},
        {'features': np.zeros((6, 7), np.float32)},
        {'features': np.full((6, 8), np.nan, np.float32)},
        {'jpegs': np.zeros((1, 1), np.uint8)},
    ],
)
def test_a_state_that_no_store_gave_is_refused(damage: dict[str, np.ndarray | None]) -> None:
    state = {name: a for name, a in (filled().state() | damage).items() if a is not None}
    store = ThumbnailStore()
    with pytest.raises(ValueError, match=r'thumbnails|features'):
        store.restore(state, 8)
    assert len(store) == 0


def test_a_picture_that_is_none_is_no_picture() -> None:
    store, state = ThumbnailStore(), filled().state()
    state['jpegs'] = np.zeros_like(state['jpegs'])
    store.restore(state, 8)
    assert store.at(NS) is None
