# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.model_config import load_geometry
from flash_vstream_ros.data.features import open_features
from flash_vstream_ros.simulator.view import Action, SeenObject, View
from flash_vstream_ros.simulator.world import Patrol
from flash_vstream_ros.training.labelled_frames import label_view
from flash_vstream_ros.training.perfect_features import PerfectEncoder

GEOMETRY = MemoryGeometry(feature_width=64, feature_side=8, detail_side=4, temporal_side=2)
S = 1_000_000_000


@pytest.fixture(scope='module')
def encoder():
    return PerfectEncoder(GEOMETRY)


def ball(x: float) -> SeenObject:
    return SeenObject('red', 'ball', x, 0.85, 0.2)


def test_what_is_equally_true_has_equal_maps_and_all_else_another(encoder):
    thing = ball(0.5)
    views = [
        View('kitchen', 1),
        View('office', 1),
        View('kitchen', 1, action=Action('pushed', 0.5, thing)),
        View('kitchen', 1, action=Action('covered', 0.1, thing)),
        View(
            'kitchen', 1, action=Action('pushed', 0.5, SeenObject('blue', 'ball', 0.5, 0.8, 0.2))
        ),
        View('kitchen', 1, action=Action('pushed', 0.5, SeenObject('red', 'cup', 0.5, 0.8, 0.2))),
        View('kitchen', 1, objects=(thing,)),
    ]
    maps = torch.stack([encoder.encode_view(view) for view in views])
    assert maps.shape == (7, 4, 4, 64)
    assert (torch.pdist(maps.flatten(1)) > 1.0).all()
    # Looks, light and noise are no part of the truth.
    assert torch.equal(encoder.encode_view(View('kitchen', 9, pan=0.2, noise=7)), maps[0])


def test_an_object_is_in_the_cell_it_stands_in(encoder):
    empty = encoder.encode_view(View('kitchen', 1))
    left, right = (encoder.encode_view(View('kitchen', 1, objects=(ball(x),))) for x in (0.3, 0.7))
    changed = [(m != empty).any(-1).nonzero().tolist() for m in (left, right)]
    assert [len(cells) for cells in changed] == [1, 1]
    assert changed[0][0][1] < changed[1][0][1]
    assert changed[0][0][0] == changed[1][0][0]


def test_a_covered_object_cannot_be_told_any_more(encoder):
    late = View('kitchen', 1, action=Action('covered', 0.95, ball(0.5)))
    other = View(
        'kitchen', 1, action=Action('covered', 0.95, SeenObject('blue', 'cup', 0.5, 0.8, 0.2))
    )
    assert torch.equal(encoder.encode_view(late), encoder.encode_view(other))


def test_extracting_writes_what_is_true_at_each_stamp(checkpoint, tmp_path, capsys):
    data, out = tmp_path / 'data', tmp_path / 'features'
    simulate = ['simulate', str(data), '--streams', '2', '--seed', '7', '--minutes', '1']
    assert main([*simulate, '--format', 'description', '--rate', '2', '--size', '64x48']) == 0
    extract = ['extract', str(data), '--model', str(checkpoint), '--out', str(out)]
    assert main([*extract, '--perfect', '--sample-rate', '1']) == 0
    encoder = PerfectEncoder(load_geometry(checkpoint))
    for seed in (7, 8):
        file = open_features(out / f'patrol_{seed}.safetensors')
        assert (len(file.stamps_ns), file.encoder_id) == (60, '')
        patrol, maps = Patrol(seed, 60.0), file.read(60).float()
        for second in range(60):
            expected = encoder.encode_view(patrol.view_at(float(second)))
            assert (maps[second] - expected).abs().max() < 0.35, label_view(patrol.view_at(second))
            assert not np.array_equal(maps[second], expected)  # noise, as no encoder is perfect


def test_what_has_no_known_truth_is_refused_by_name(checkpoint, tmp_path, caplog):
    data = tmp_path / 'data'
    data.mkdir()
    (data / 'clip.mp4').write_bytes(b'no description')
    extract = ['extract', str(data), '--model', str(checkpoint), '--out', str(tmp_path / 'o')]
    assert main([*extract, '--perfect']) == 1
    assert 'clip.mp4' in caplog.text
