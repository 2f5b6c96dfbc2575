# SPDX-License-Identifier: Apache-2.0
"""Pictures and poses out of a file that may hold anything."""

from pathlib import Path

import pytest
import torch
from geometry_msgs.msg import TransformStamped
from robots import wait_until

from flash_vstream_ros.nodes.camera_poses import CameraPoses
from flash_vstream_ros.nodes.seen_frames import SeenFrames

S = 1_000_000_000
ROW = [2.0, 0.0, 1.5, 0.0, 0.0, 0.0, 0.0, 0.6, 0.8]


def _at_once(work):
    """A worker that has nothing else to do."""
    work()


@pytest.fixture
def seen(spun, vstream, monkeypatch):
    """Pictures and poses in the frame map, of one frame at 2 s."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / 'tf_stand_in'))
    poses = spun.call(CameraPoses, spun.node, 'map', _at_once)
    seen = SeenFrames(vstream.geometry, poses)
    feature = vstream.encode(torch.zeros(1, 48, 64, 3, dtype=torch.uint8))[0]
    frame = torch.zeros(48, 64, 3, dtype=torch.uint8).numpy()
    seen.add(frame, 2 * S, 'lens', feature, vstream.new_memory().snapshot)
    return seen


def test_what_is_attached_comes_back(seen):
    attached = seen.attached() | {'poses map': torch.tensor([ROW], dtype=torch.float64)}
    assert seen.restore(attached) == ''
    assert seen.thumbnails.stamps_ns == [2 * S]
    assert seen.attached()['poses map'].tolist() == [ROW]


@pytest.mark.parametrize(
    'table',
    [
        torch.tensor([ROW]),
        torch.ones(1, 9, dtype=torch.int64),
        torch.full((1, 9), torch.nan, dtype=torch.float64),
        torch.full((1, 9), 1e300, dtype=torch.float64),
        torch.full((1, 9), -1.0, dtype=torch.float64),
        torch.zeros(1, 8, dtype=torch.float64),
        torch.zeros(9, dtype=torch.float64),
    ],
    ids=['float32', 'whole', 'NaN', 'huge', 'negative', 'short', 'flat'],
)
def test_poses_that_nobody_saved_are_left_out_with_the_pictures(seen, table):
    assert seen.restore(seen.attached() | {'poses map': table})
    assert seen.thumbnails.stamps_ns == []
    assert len(seen.attached()['poses map']) == 0


def test_poses_of_another_frame_are_left_out(seen):
    attached = seen.attached()
    attached['poses odom'] = attached.pop('poses map')
    assert seen.restore(attached) == ''
    assert len(seen.attached()['poses map']) == 0


def test_a_jump_back_of_the_clock_empties_what_tf_knows(spun, monkeypatch):
    """Its buffer takes nothing older than the newest, and would stay deaf."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / 'tf_stand_in'))
    poses = spun.call(CameraPoses, spun.node, 'map', _at_once)
    poses._buffer.known['a transform'] = None
    poses.want('lens', 5 * S)
    poses.clear()
    poses.want('lens', 6 * S)
    assert poses._buffer.known
    poses.want('lens', 2 * S)
    assert not poses._buffer.known


def test_a_pose_is_found_also_where_no_memory_is_published(spun, monkeypatch):
    """Memories may be rarer than TF forgets; nobody else asks meanwhile."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / 'tf_stand_in'))
    poses = spun.call(CameraPoses, spun.node, 'map', _at_once)
    spun.call(poses.want, 'lens', 5 * S)
    poses._buffer.known['map', 'lens', 5, 0] = TransformStamped()
    wait_until(lambda: poses.at(5 * S).header.frame_id == 'map', 'the pose')
