# SPDX-License-Identifier: Apache-2.0
"""Numbers of the diagnostics that a person can go by, and a latched status that says news only."""

from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from flash_vstream_ros.action import Watch
from flash_vstream_ros.msg import Answer
from in_process import InProcess, quoted
from rclpy.action import ActionClient
from robots import S, image_message, picture, result_of, wait_until
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from test_diagnostics import OK, WARN, Latched, Monitor

from flash_vstream_ros.nodes import diagnostics
from flash_vstream_ros.nodes.diagnostics import Diagnostics, Rate, say_error, status
from flash_vstream_ros.nodes.question_diagnostics import say_alike


@pytest.fixture
def clock(monkeypatch):
    """The clock that rates and ages go by."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(diagnostics, 'time', SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def rates_of(clock, events_s: list[float], seconds: int) -> list[float]:
    """What is told each second of events at some times."""
    rate, began = Rate(), clock.now
    told = []
    for second in range(1, seconds + 1):
        clock.now = began + second
        told.append(rate.of(sum(event <= second for event in events_s)))
    return told


@pytest.mark.parametrize('interval_s', [1 / 30, 0.5, 0.9, 1.0, 1.5, 2.0, 3.0, 10.0, 25.0])
def test_the_rate_of_a_camera_is_told_however_slow_it_is(clock, interval_s):
    events_s = [0.7 * interval_s + i * interval_s for i in range(int(100 / interval_s))]
    told = rates_of(clock, events_s, 90)[round(3 * interval_s) + 10 :]
    assert min(told) == pytest.approx(1 / interval_s, rel=0.25)
    assert max(told) == pytest.approx(1 / interval_s, rel=0.25)


def test_a_rate_is_right_from_the_start_and_behind_a_silence(clock):
    events_s = [i / 30 for i in range(1, 300)] + [60.5 + i / 30 for i in range(150)]
    told = rates_of(clock, events_s, 64)
    assert told[0] == pytest.approx(30.0)
    assert told[19:60] == [0.0] * 41
    assert told[61:] == pytest.approx([30.0] * 3, rel=0.35)


def test_a_rate_goes_on_from_a_count_and_from_a_counter_that_began_again(clock):
    rate = Rate(500)
    clock.now += 1.0
    assert rate.of(510) == pytest.approx(10.0)
    clock.now += 1.0
    assert rate.of(3) == 0.0
    clock.now += 1.0
    assert rate.of(5) == pytest.approx(2.0)


def test_the_newest_error_has_an_age(clock):
    assert say_error('', float('-inf')) == ''
    assert say_error('no space left', clock.now - 61.7) == 'no space left (62 s ago)'


def test_numbers_that_go_on_are_no_news(spun, planner, namespace):
    faults = []

    def statuses() -> list[DiagnosticStatus]:
        return [status(spun.node, 'part', faults, {'count': len(latched.received)})]

    latched = Latched(planner, f'{namespace}/test/status')
    made = spun.call(Diagnostics, spun.node, statuses)
    spun.call(made.publish)
    wait_until(lambda: len(latched.received) == 1, 'the first one')
    for _ in range(5):
        spun.call(made.publish)
    faults.append((WARN, 'slow'))
    spun.call(made.publish)
    wait_until(lambda: latched.received[-1].level == WARN, 'the change')
    assert len(latched.received) == 2


def test_cameras_that_their_frame_ids_do_not_tell_apart_are_said_with_their_names():
    assert say_alike({'memory': ''}) == '', 'one camera needs no name'
    assert say_alike({'front/memory': 'f', 'rear/memory': 'r', 'top/memory': None}) == ''
    text = say_alike({'front/memory': 'c', 'rear/memory': 'c', 'top/memory': 't'})
    for words in ('front/memory, rear/memory are not', "(['c'])", '(front or rear)'):
        assert words in text
    text = say_alike({'front/memory': 'f', 'rear/memory': ''})
    assert 'the cameras of rear/memory are not' in text


@pytest.fixture
def nodes(namespace, checkpoint):
    """Both nodes in this process."""
    parameters = {'model': quoted(checkpoint), 'sample_rate': 0.0, 'stale_after': 0.3}
    nodes = InProcess(namespace, parameters)
    yield nodes
    nodes.close()


def test_counts_of_images_go_on_where_the_camera_is_opened_anew(nodes, namespace):
    planner, monitor = nodes.planner, Monitor(nodes.planner)
    for second in range(1, 4):
        nodes.camera.show(second)
    for is_on in (False, True):
        planner.request(SetBool, 'frame_handler/set_enabled', data=is_on)
        if not is_on:
            values = monitor.wait('frame_handler: camera', WARN, 'set_enabled is false')
            assert int(values['images received']) >= 3
    planner.call(planner.node.create_publisher, Image, 'image', 5)
    values = monitor.wait('frame_handler: camera', WARN, '2 publish images')
    assert int(values['images received']) >= 3
    name = f'publisher {namespace}/planner'
    assert {name, f'{name} (2)'} <= values.keys(), 'each of the two'


def test_a_fault_that_goes_on_stays_in_the_same_words(nodes):
    monitor = Monitor(nodes.planner)
    nodes.camera.show(1)
    stamps = iter(range(2 * S, 10_000 * S, S))
    sent: list[Image] = []

    def words_at(part: str, words: str, key: str, least: float) -> str:
        """What is said once a value has grown so far."""

        def has_grown() -> bool:
            if nodes.frames.counts['refused'] == len(sent):  # one at a time: none is replaced
                sent.append(image_message(picture(4), next(stamps), encoding='32FC1'))
                nodes.camera.publisher.publish(sent[-1])
            return float(monitor.wait(part, WARN, words)[key]) > least

        wait_until(has_grown, f'more than {least}')
        return monitor.parts[part].message

    refused = ('frame_handler: memory', 'could not be used', 'frames refused')
    stale = ('question_handler: memories', 'memory is stale: nothing new', 'memory: age (s)')
    for what in (refused, stale):
        before = words_at(*what, 1.0)
        now = float({v.key: v.value for v in monitor.parts[what[0]].values}[what[2]])
        assert words_at(*what, now) == before
    assert monitor.wait(refused[0], WARN)['last error'].endswith(' s ago)')


def test_goals_of_watches_that_are_not_taken_are_counted(nodes):
    monitor, planner = Monitor(nodes.planner), nodes.planner
    client = planner.call(ActionClient, planner.node, Watch, 'watch')
    wait_until(client.server_is_ready, 'the action')
    goal = Watch.Goal(question='Is it?', choices=['yes', 'no'], until='maybe', threshold=0.9)
    handle = result_of(planner.call(client.send_goal_async, goal))
    result = result_of(handle.get_result_async())
    assert result.result.answer.status == Answer.BAD_REQUEST
    wait_until(
        lambda: monitor.wait('question_handler: answers', OK)['answers BAD_REQUEST'] == '1',
        'it is counted',
    )
