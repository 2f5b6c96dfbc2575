# SPDX-License-Identifier: Apache-2.0
"""The picture of the memory."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from memory_stand_in import GEOMETRY, NS, snapshot

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.replay.canvas import Canvas
from flash_vstream_ros.replay.picture import (
    WIDTH,
    draw_memory,
    save_picture,
    spread,
)
from flash_vstream_ros.replay.retrieved import retrieved_clusters
from flash_vstream_ros.replay.thumbnails import ThumbnailStore

DATE_NS = 1_790_000_000 * NS
MAROON = (120, 20, 60)


def memory_of(count: int, span_ns: int, oldest_ns: int = NS, weight: int = 1) -> MemorySnapshot:
    """Clusters one after the other, the last ones retrieved."""
    edges = np.linspace(oldest_ns, oldest_ns + span_ns, count + 1).astype(np.int64).tolist()
    clusters = [
        (weight + i % 3, edges[i], edges[i + 1], (edges[i] + edges[i + 1]) // 2)
        for i in range(count)
    ]
    return snapshot(clusters, edges[-3:][:count], oldest_ns, edges[-1])


def thumbnails_of(memory: MemorySnapshot, size: tuple[int, int] = (90, 160)) -> ThumbnailStore:
    store = ThumbnailStore()
    stamps = {
        *memory.temporal_mean_stamps_ns.tolist(),
        *memory.retrieved_stamps_ns.tolist(),
        memory.newest_stamp_ns,
    }
    for stamp_ns in sorted(stamps):
        pixels = np.full((*size, 3), MAROON, np.uint8)
        store.add(stamp_ns, pixels, torch.zeros(1, 8), lambda: memory)
    return store


MEMORIES = {
    'one frame': memory_of(1, 0),
    'five frames': memory_of(5, 4 * NS),
    'full': memory_of(25, 60 * NS),
    'hours': memory_of(25, 3 * 3600 * NS, DATE_NS, 432),
    'days and many frames': memory_of(25, 13 * 86400 * NS, DATE_NS, 123_456),
    'a tenth of a second': memory_of(3, NS // 10),
}
ALL = pytest.mark.parametrize('memory', MEMORIES.values(), ids=MEMORIES.keys())
SHAPES = pytest.mark.parametrize('size', [(90, 160), (120, 160), (160, 90)])


@ALL
@SHAPES
def test_no_text_lies_on_another_one_or_beyond_the_edge(
    memory: MemorySnapshot, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = []
    write = Canvas.text

    def spy(self: Canvas, text: str, x: float, y: float, size: float, *a, **k) -> float:
        width = write(self, text, x, y, size, *a, **k)
        left = x - {'left': 0, 'middle': width / 2, 'right': width}[k.get('anchor', 'left')]
        if text:
            boxes.append((left, y - size / 2, left + width, y + size / 2, text))
        return width

    monkeypatch.setattr(Canvas, 'text', spy)
    height = draw_memory(memory, thumbnails_of(memory, size), GEOMETRY).shape[0]
    assert len(boxes) > 15
    for i, (left, top, right, bottom, text) in enumerate(boxes):
        assert 0 <= left < right <= WIDTH, text
        assert 0 <= top < bottom <= height, text
        for other in boxes[:i]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            assert apart, (text, other[4])


def test_the_size_depends_on_the_geometry_alone() -> None:
    """So that pictures of one stream make a film."""
    shapes = {draw_memory(m, thumbnails_of(m), GEOMETRY).shape for m in MEMORIES.values()}
    shapes.add(draw_memory(snapshot([]), ThumbnailStore(), GEOMETRY).shape)
    assert len(shapes) == 1


@ALL
def test_key_frames_and_cards_are_there(memory: MemorySnapshot) -> None:
    with_pictures = draw_memory(memory, thumbnails_of(memory), GEOMETRY)
    maroon = (np.abs(with_pictures.astype(int) - MAROON).sum(-1) < 20).astype(np.uint8)
    areas = cv2.connectedComponentsWithStats(maroon, connectivity=4)[2][1:, cv2.CC_STAT_AREA]
    large, small = (areas > 50_000).sum(), ((areas > 5000) & (areas < 10_000)).sum()
    assert large == 1 + len(memory.retrieved)
    assert small == len(memory.temporal)


def test_a_missing_thumbnail_is_no_obstacle() -> None:
    memory = MEMORIES['full']
    assert draw_memory(memory, ThumbnailStore(), GEOMETRY).shape[1] == WIDTH


def test_an_empty_memory_says_so() -> None:
    written = draw_memory(snapshot([]), ThumbnailStore(), GEOMETRY)
    assert (written[124:200] != written[0, 0]).any()


def test_bars_reach_from_the_first_to_the_last_frame_of_their_cluster() -> None:
    clusters = [(4, NS, 3 * NS, 2 * NS), (4, 3 * NS, 5 * NS, 4 * NS)]
    memory = snapshot(clusters, [], NS, 5 * NS)
    pixels = draw_memory(memory, ThumbnailStore(), GEOMETRY)
    dark_blue = (pixels[..., 2].astype(int) - pixels[..., 0] > 60) & (pixels[..., 0] < 60)
    dark_blue[:400] = dark_blue[-90:] = False  # header, cards, legend
    rows = np.flatnonzero(dark_blue.any(1))
    first, second = (np.flatnonzero(dark_blue[row]) for row in (rows[8], rows[-8]))
    length = first[-1] - first[0]
    assert second[-1] - second[0] == pytest.approx(length, abs=4)
    assert second[0] == pytest.approx(first[-1], abs=4)


@pytest.mark.parametrize('half_life', [0, 5])
def test_retrieved_frames_are_told_with_the_clusters_they_were_retrieved_for(
    half_life: int, vstream: FlashVStream
) -> None:
    geometry = replace(vstream.geometry, temporal_half_life=half_life)
    memory = StarMemory(geometry, vstream.attention)
    generator = torch.Generator().manual_seed(2)
    shape = (16, 16, vstream.geometry.feature_width)
    scenes = torch.randn(12, *shape, generator=generator)
    for i in range(90):
        scene = min(i % 12, i % 5, i % 7) if i < 60 else 9 + i % 3
        memory.write(scenes[scene] + 0.01 * torch.randn(shape, generator=generator), (i + 1) * NS)
    read = memory.snapshot()
    chosen = retrieved_clusters(read, geometry)
    assert len(chosen) == len(read.retrieved)
    # The frame retrieved for a cluster pools to nearly its centroid.
    pooled = read.retrieved.unflatten(1, (4, 2, 4, 2)).mean((2, 4)).flatten(1, 2)
    for cluster, retrieved in zip(chosen, pooled, strict=True):
        distances = (read.temporal - retrieved).square().sum((1, 2))
        assert int(distances.argmin()) == cluster
    heaviest = read.temporal_weights.max() in read.temporal_weights[chosen]
    assert heaviest != bool(half_life), 'weights that fade retrieve for others than the heaviest'


@pytest.mark.parametrize(
    ('places', 'expected'),
    [
        ([10.0, 50.0, 100.0], [10.0, 50.0, 100.0]),
        ([98.0, 99.0, 100.0], [80.0, 90.0, 100.0]),
        ([10.0, 12.0, 100.0], [2.0, 12.0, 100.0]),
        ([95.0, 120.0], [95.0, 110.0]),
        ([], []),
    ],
)
def test_marks_are_spread_no_further_than_needed(places: list, expected: list) -> None:
    assert spread(places, 10.0, 110.0) == expected


def test_a_picture_is_saved_as_png_without_loss(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    path = tmp_path / 'memory.png'
    save_picture(picture, path)
    save_picture(picture, path)  # over the old one
    read = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert np.array_equal(read, picture)
    assert [inner.name for inner in tmp_path.iterdir()] == ['memory.png']


def test_a_failed_save_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'memory.png'
    path.write_bytes(b'before')

    def full(self: Path, data: bytes) -> None:
        with self.open('wb') as file:
            file.write(data[:3])
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(OSError, match='No space left'):
        save_picture(np.zeros((5, 5, 3), np.uint8), path)
    assert path.read_bytes() == b'before'
    assert [inner.name for inner in tmp_path.iterdir()] == ['memory.png']
