# SPDX-License-Identifier: Apache-2.0
"""What a watch ends with where it is being asked at the time: the newest answer, and why."""

import threading

import pytest
from action_msgs.msg import GoalStatus
from flash_vstream_ros.msg import Answer
from in_process import InProcess, quoted
from robots import S, result_of, wait_until
from test_watching import Watcher

from flash_vstream_ros.core.pipeline import FlashVStream


@pytest.fixture
def nodes(namespace, checkpoint):
    nodes = InProcess(
        namespace, {'model': quoted(checkpoint), 'sample_rate': 0.0, 'prefill_share': 0.0}
    )
    yield nodes
    nodes.close()


def test_a_watch_that_ends_while_it_is_asked_ends_with_its_newest_answer(nodes, monkeypatch):
    """Of the cancellation and of the deadline, neither of which has an answer of its own."""
    nodes.camera.show(1)
    assert nodes.planner.ask(min_stamp_ns=S).status == Answer.OK
    watcher = Watcher(nodes.planner)
    watches = [watcher.begin(), watcher.begin(timeout_s=5.0)]
    wait_until(lambda: all(watch.answers for watch in watches), 'an answer for each')
    is_asked, may_go_on = threading.Event(), threading.Event()
    answer = FlashVStream.stream_answer

    def stream_answer(*arguments, **options):
        is_asked.set()
        may_go_on.wait()
        return answer(*arguments, **options)

    monkeypatch.setattr(FlashVStream, 'stream_answer', stream_answer)
    try:
        nodes.camera.show(2)
        wait_until(is_asked.is_set, 'they are asked again')
        result_of(watches[0].handle.cancel_goal_async())
        ended = [watch.result() for watch in watches]
    finally:
        may_go_on.set()
    assert [status for status, _ in ended] == [
        GoalStatus.STATUS_CANCELED,
        GoalStatus.STATUS_ABORTED,
    ]
    assert [result.answer.status for _, result in ended] == [Answer.CANCELLED, Answer.TIMEOUT]
    for watch, (_, result) in zip(watches, ended, strict=True):
        (newest,) = watch.answers  # and none of its end
        assert newest.status == Answer.OK
        assert result.answer.choice_probabilities == newest.choice_probabilities
        assert (result.answer.frames_seen, result.asked) == (1, 1)
    assert 'asked 1 times, threshold not reached' in ended[1][1].answer.message
