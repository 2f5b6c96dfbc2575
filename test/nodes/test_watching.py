# SPDX-License-Identifier: Apache-2.0
"""Standing questions on a real question handler: asked at new memories only, ended as they say."""

import functools

import pytest
from action_msgs.msg import GoalStatus
from flash_vstream_ros.action import Watch
from flash_vstream_ros.msg import Answer, MemorySnapshot
from lifecycle_msgs.msg import Transition
from own_nodes import FilmedBy
from rclpy.action import ActionClient
from rclpy.task import Future
from robots import DEEP, S, result_of, wait_until

from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.times import ns_to_time
from flash_vstream_ros.nodes.watching import MOST_WATCHES


class Watcher:
    """Starts watches and keeps what they say."""

    def __init__(self, planner) -> None:
        qos = {f'{kind}_service_qos_profile': DEEP for kind in ('goal', 'result', 'cancel')}
        make = functools.partial(ActionClient, planner.node, Watch, 'watch', **qos)
        self._client = planner.call(make)
        wait_until(self._client.server_is_ready, 'the action watch', 90.0)

    def begin_many(self, count: int) -> list['Running']:
        sent = [self._client.send_goal_async(self._goal()) for _ in range(count)]
        return [Running(future, []) for future in sent]

    def begin(self, timeout_s: float = 0.0, **fields: object) -> 'Running':
        answers: list[Answer] = []
        goal = self._goal(timeout_s, **fields)
        sent = self._client.send_goal_async(goal, lambda m: answers.append(m.feedback.answer))
        return Running(sent, answers)

    def _goal(self, timeout_s: float = 0.0, **fields: object) -> Watch.Goal:
        values = {
            'question': 'Is the door open?', 'choices': ['yes', 'no'], 'until': 'yes',
            'threshold': 1.0, 'max_rate': 1000.0,
        }  # fmt: skip
        goal = Watch.Goal(**(values | fields))
        timeout = ns_to_time(round(timeout_s * S))
        goal.timeout.sec, goal.timeout.nanosec = timeout.sec, timeout.nanosec
        return goal


class Running:
    """A watch that goes on."""

    def __init__(self, sent: Future, answers: list[Answer]) -> None:
        self.answers = answers
        self.handle = result_of(sent)
        self._result = self.handle.get_result_async()

    @property
    def is_over(self) -> bool:
        return self._result.done()

    def result(self) -> tuple[int, Watch.Result]:
        result = result_of(self._result, 60.0)
        return result.status, result.result


@pytest.fixture
def seen(start, planner):
    """A camera whose frame handler and question handler run."""
    start('frame_handler', sample_rate=0.0)
    start('question_handler')
    camera = FilmedBy(planner)
    camera.show(1)
    planner.ask(min_stamp_ns=S)  # the question handler has it as well
    return camera


def test_a_watch_asks_once_for_each_new_memory_until_the_threshold(seen, planner):
    watcher = Watcher(planner)
    watch = watcher.begin()  # probability 1 is never reached
    for second in range(2, 6):
        seen.show(second)
        wait_until(
            lambda s=second: watch.answers and watch.answers[-1].frames_seen == s, 'an answer'
        )
    frames = [answer.frames_seen for answer in watch.answers]
    assert frames == sorted(set(frames)), 'no memory is asked about twice'
    assert not watch.is_over
    planner.ask()  # other questions are answered meanwhile
    result_of(watch.handle.cancel_goal_async())
    status, result = watch.result()
    assert status == GoalStatus.STATUS_CANCELED
    assert (result.reached, result.answer.status) == (False, Answer.CANCELLED)
    assert result.asked == len(frames)

    probability = watch.answers[-1].choice_probabilities[0]
    status, result = watcher.begin(threshold=probability / 2).result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.reached, result.answer.status, result.asked) == (True, Answer.OK, 1)
    assert result.answer.choice_probabilities[0] == pytest.approx(probability, abs=1e-5)


def test_a_watch_ends_at_its_timeout_and_says_so(seen, planner):
    status, result = Watcher(planner).begin(timeout_s=1.0).result()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.answer.status == Answer.TIMEOUT
    assert 'asked 1 times, threshold not reached' in result.answer.message


def test_what_cannot_be_watched_is_refused_by_name(start, planner):
    start('question_handler')
    watcher = Watcher(planner)
    for name, fields in {
        'question': {'question': ' '},
        'choices': {'choices': ['yes']},
        'choices: expected each of them once': {'choices': ['yes', 'no', ' no']},
        'until': {'until': 'maybe ' * 10_000},
        'threshold': {'threshold': 0.0},
        'max_rate': {'max_rate': -1.0},
        'timeout': {'timeout_s': -1.0},
    }.items():
        status, result = watcher.begin(**fields).result()
        assert status == GoalStatus.STATUS_ABORTED
        assert result.answer.status == Answer.BAD_REQUEST
        assert result.answer.message.startswith(name.partition(': expected')[0] + ': expected')
        assert len(result.answer.message) < 1500, 'it goes into logs'


def test_a_watch_that_is_not_due_ends_with_its_node(seen, start, planner):
    """It has no question on its way that could be cancelled."""
    watcher = Watcher(planner)
    watch = watcher.begin(max_rate=0.01)
    wait_until(lambda: watch.answers, 'its first answer')
    handler = 'question_handler'
    assert planner.change(handler, Transition.TRANSITION_DEACTIVATE)
    assert planner.change(handler, Transition.TRANSITION_CLEANUP)
    status, result = watch.result()
    assert status == GoalStatus.STATUS_ABORTED
    assert (result.answer.status, result.asked) == (Answer.CANCELLED, 1)
    assert 'deactivated' in result.answer.message
    assert planner.change(handler, Transition.TRANSITION_CONFIGURE)
    status, result = Watcher(planner).begin().result()
    assert result.answer.status == Answer.INACTIVE


def test_a_watch_that_is_not_due_ends_at_a_signal(start, planner):
    process = start('question_handler')
    watch = Watcher(planner).begin(max_rate=0.01)  # there is no memory: it waits
    assert process.stop() == 0
    status, result = watch.result()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.answer.status == Answer.CANCELLED


def test_many_watches_begin_at_once_and_some_are_too_many(start, planner):
    start('question_handler')
    watcher = Watcher(planner)
    running = watcher.begin_many(MOST_WATCHES + 6)
    wait_until(lambda: sum(watch.is_over for watch in running) == 6, 'six results', 60.0)
    for watch in running:
        if watch.is_over:
            assert watch.result()[1].answer.status == Answer.BUSY


def test_a_watch_of_a_camera_that_does_not_exist_is_told_so(seen, planner):
    status, result = Watcher(planner).begin(camera='rear').result()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.answer.status == Answer.BAD_REQUEST
    assert result.answer.message == "camera: expected one of ['camera'] or none, got 'rear'"


def test_a_watch_of_a_memory_that_is_refused_is_told_so(start, planner):
    """Also by the name of its camera, and whatever it claims to be."""
    start('question_handler')
    watcher = Watcher(planner)
    node = planner.node
    publisher = planner.call(node.create_publisher, MemorySnapshot, 'memory', LATCHED)
    refused = MemorySnapshot(encoder_id='another' * 100_000, frames_written=3)
    refused.header.frame_id = 'front'
    publisher.publish(refused)
    for camera in ('', 'memory', 'front'):
        status, result = watcher.begin(camera=camera).result()
        assert status == GoalStatus.STATUS_ABORTED
        assert result.answer.status == Answer.MODEL_ERROR
        assert result.answer.message.startswith('memory refused: expected a memory of encoder')
        assert len(result.answer.message) < 1500, 'it goes into logs'
        assert planner.ask(camera=camera).status == Answer.MODEL_ERROR
    assert planner.ask(camera='rear').status == Answer.BAD_REQUEST


def test_watches_take_turns_and_leave_the_line_to_others(start, planner):
    """More of them than it has places: each is asked, and none is told BUSY."""
    start('frame_handler', sample_rate=0.0)
    start('question_handler', batch_size=1, queue_size=1)
    camera, watcher = FilmedBy(planner), Watcher(planner)
    camera.show(1)
    assert planner.ask(min_stamp_ns=S).status == Answer.OK
    watches = [watcher.begin() for _ in range(6)]
    for second in range(2, 9):
        camera.show(second)
        assert planner.ask(min_stamp_ns=second * S).status == Answer.OK
    wait_until(lambda: all(watch.answers for watch in watches), 'an answer for each')
    for watch in watches:
        assert {answer.status for answer in watch.answers} == {Answer.OK}
        assert not watch.is_over
