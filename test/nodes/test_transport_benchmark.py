# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of messages run, between real processes where they do so."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('flash_vstream_ros.msg')

ROOT = Path(__file__).resolve().parents[2]
# For these imports alone: the source tree's launch folder would hide ROS's package of that name.
sys.path.append(str(ROOT))
from benchmarks import asking, cameras, message, planners, transport  # noqa: E402

sys.path.remove(str(ROOT))

from flash_vstream_ros.msg import Answer  # noqa: E402


@pytest.mark.parametrize('kind', ['memory', 'image'])
def test_messages_arrive_as_shipped_and_are_timed(kind):
    bare = transport.bare_environment()
    shipped = bare | transport.camera_environment(bare)
    stream = transport.Stream(kind, kind, 20.0, shipped, shipped)
    seen = transport.measure_stream(stream, 15, shipped, shipped)
    # The first one maps the shared memory, and newer ones may replace it meanwhile.
    assert 12 <= len(seen['latencies_s']) <= 15
    assert 0 < min(seen['latencies_s']) < max(seen['latencies_s']) < 10
    assert 0 < seen['processor_share'] < 2


def test_a_publisher_that_fails_ends_the_benchmark():
    bare = transport.bare_environment()
    stream = transport.Stream('memory', 'memory', 20.0, bare, bare)
    with pytest.raises(subprocess.CalledProcessError):
        transport.measure_stream(stream, 1, {'PATH': '', 'PYTHONPATH': 'nowhere'}, bare)


def test_lost_messages_show_in_the_figures():
    figures = transport.describe('x', 3, {'latencies_s': [], 'processor_share': None})
    assert [(figure.name, figure.value) for figure in figures] == [('x: arrived of 3', 0)]


def test_the_bare_environment_holds_nothing_of_what_is_shipped(monkeypatch):
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', 'x.xml')
    monkeypatch.setenv('MALLOC_TRIM_THRESHOLD_', '1')
    bare = transport.bare_environment()
    assert not bare.keys() & {*transport.PROFILE_VARIABLES, *transport.MALLOC_SETTINGS}


def test_the_conversions_benchmark_measures_a_message_of_the_published_size():
    by_name = {figure.name: figure for figure in message.measure(quick=True)}
    assert by_name['features in the message'].value == pytest.approx(2 * 681 * 1024 / 1e6)
    assert by_name['there and back'].value > 0


def test_late_and_lost_frames_and_lost_questions_show_in_the_figures():
    said = {'asked': 5, 'lost': 1, 'statuses': {'OK': 3, 'BUSY': 1}, 'seconds': [1.0, 2.0, 3.0]}
    figures = planners.describe(2, [0.1] * 10, [0.1] * 8 + [0.3, float('inf')], 1, said)
    missed = {figure.name: figure.value for figure in figures if figure.met is False}
    assert missed == {
        '2 planners: without answer or status': 1,
        '2 planners: of 20 frames not memorised': 1,
        '99th percentile, all ask / nobody asks': pytest.approx(2.84),
    }


@pytest.mark.parametrize(('lost', 'missed'), [((), 0), ((13,), 1), ((10,), 0)])
def test_a_frame_that_was_due_and_is_not_memorised_is_missed(lost, missed):
    """What came before the first one memorised was not due."""
    watched, second = cameras.Watched.__new__(cameras.Watched), 10**9
    watched.stamps_ns = [n * second for n in range(10, 20) if n not in lost]
    sent = [10 * second + n * second // 10 for n in range(100)]
    assert watched.missed(sent)[0] == missed


def test_the_way_through_ros_is_what_the_model_does_not_explain():
    answer = Answer(total_time=0.030, queue_time=0.010, prefix_ready=True)
    way = {f.name: f.value for f in asking.describe('x', [(0.035, answer)] * 3)}
    assert way['x: way through ROS'] == pytest.approx(15.0, abs=1e-3)
    assert way['x: time of the model'] == pytest.approx(20.0, abs=1e-3)
    assert way['x: of 3 questions not answered'] == 0
    failed = Answer(status=Answer.BUSY)
    assert asking.describe('x', [(0.035, failed)])[0].value == 1
