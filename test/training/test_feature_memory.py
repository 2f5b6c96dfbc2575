# SPDX-License-Identifier: Apache-2.0
"""Features of a long stream lie in memory once."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from flash_vstream_ros.data.features import FeatureFile, open_features
from flash_vstream_ros.replay.recorded_frame import RecordedFrame
from flash_vstream_ros.training import memory_loop
from flash_vstream_ros.training.extract import Extraction
from flash_vstream_ros.training.map_rows import MapRows
from flash_vstream_ros.training.memory_loop import MemoryLoop

S = 1_000_000_000
SIDE, WIDTH, FRAMES = 16, 1024, 200
MB = 1 << 20


@pytest.mark.parametrize('count', [1, 3, 100])
def test_rows_are_those_that_were_added(monkeypatch, count):
    monkeypatch.setattr('flash_vstream_ros.training.map_rows._FIRST_BYTES', 50)
    added, rows = torch.randn(count, 4, 5).half(), MapRows()
    for row in added:
        rows.append(row)
    assert torch.equal(rows.last, added[-1])
    assert torch.equal(rows.together(), added)


class WideEncoder:
    """Makes large maps at no cost, each of its frame's own value."""

    geometry = SimpleNamespace(feature_side=SIDE, feature_width=WIDTH)

    def encode(self, frames):
        values = torch.tensor([float(frame[0, 0, 0]) for frame in frames])
        return values[:, None, None, None].expand(-1, SIDE, SIDE, WIDTH)


class Numbered:
    """A recording whose frames are of their number's grey."""

    path, ended_early, duration_ns, frame_count = Path('long'), '', None, None

    def __iter__(self):
        for number in range(FRAMES):
            frame = np.full((4, 4, 3), number, np.uint8)
            yield RecordedFrame((1 + number) * S, lambda frame=frame: frame)


def peak_bytes():
    status = Path('/proc/self/status').read_text()
    return 1024 * int(re.search(r'VmHWM:\s+(\d+)', status)[1])


def test_an_extraction_takes_its_features_once(tmp_path):
    """100 MB of them; list, stack and bytes were four times as much."""
    extraction = Extraction(WideEncoder(), 'e', tmp_path, batch=4)
    Path('/proc/self/clear_refs').write_text('5')  # the peak is now what is used now
    before = peak_bytes()
    extraction.run({'long': 'long'}, lambda path: Numbered())
    stored = (tmp_path / 'long.safetensors').stat().st_size
    assert stored > 95 * MB
    assert peak_bytes() - before < 1.5 * stored
    maps = open_features(tmp_path / 'long.safetensors').read(FRAMES)
    assert maps.amin((1, 2, 3)).tolist() == maps.amax((1, 2, 3)).tolist() == list(range(FRAMES))


def test_a_memory_is_computed_of_some_frames_at_a_time(vstream, data, monkeypatch):
    features = open_features(data / 'features/one.safetensors')
    whole = MemoryLoop(vstream.geometry, 'star', None).tokens(features, 40, [40])
    reading, spans = FeatureFile.read, []

    def watched(self, end, begin=0):
        spans.append((begin, end))
        return reading(self, end, begin)

    monkeypatch.setattr(memory_loop, '_FRAMES_AT_ONCE', 16)
    monkeypatch.setattr(FeatureFile, 'read', watched)
    parts = MemoryLoop(vstream.geometry, 'star', None).tokens(features, 40, [40])
    assert spans == [(0, 16), (16, 32), (32, 40)]
    assert torch.equal(parts.fixed, whole.fixed)
    assert torch.equal(parts.pooled, whole.pooled)
