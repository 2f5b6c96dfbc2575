# SPDX-License-Identifier: Apache-2.0
"""Standing questions on a real question handler: asked at new memories only, ended as they say."""

import pytest
from action_msgs.msg import GoalStatus
from flash_vstream_ros.action import Watch
from flash_vstream_ros.msg import Answer
from own_nodes import FilmedBy
from rclpy.action import ActionClient
from robots import S, result_of, wait_until

from flash_vstream_ros.nodes.times import ns_to_time


class Watcher:
    """Starts watches and keeps what they say."""

    def __init__(self, planner) -> None:
        self._client = planner.call(ActionClient, planner.node, Watch, 'watch')
        wait_until(self._client.server_is_ready, 'the action watch', 90.0)

    def begin(self, timeout_s: float = 0.0, **fields: object) -> 'Running':
        values = {
            'question': 'Is the door open?', 'choices': ['yes', 'no'], 'until': 'yes',
            'threshold': 1.0, 'max_rate': 1000.0,
        }  # fmt: skip
        goal = Watch.Goal(**(values | fields))
        timeout = ns_to_time(round(timeout_s * S))
        goal.timeout.sec, goal.timeout.nanosec = timeout.sec, timeout.nanosec
        return Running(self._client, goal)


class Running:
    """A watch that goes on."""

    def __init__(self, client: ActionClient, goal: Watch.Goal) -> None:
        self.answers: list[Answer] = []
        sent = client.send_goal_async(goal, lambda m: self.answers.append(m.feedback.answer))
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
        'until': {'until': 'maybe'},
        'threshold': {'threshold': 0.0},
        'max_rate': {'max_rate': -1.0},
        'timeout': {'timeout_s': -1.0},
    }.items():
        status, result = watcher.begin(**fields).result()
        assert status == GoalStatus.STATUS_ABORTED
        assert result.answer.status == Answer.BAD_REQUEST
        assert result.answer.message.startswith(f'{name}: expected')
