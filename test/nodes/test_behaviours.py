# SPDX-License-Identifier: Apache-2.0
"""The behaviour of py_trees against real nodes: asks, waits, judges, cancels."""

import pytest
from flash_vstream_ros.msg import Answer
from robots import S, wait_until

from flash_vstream_ros.nodes.ask_errors import BadRequest, Cancelled, MemoryEmpty

py_trees = pytest.importorskip('py_trees')

from py_trees.common import Status  # noqa: E402

from flash_vstream_ros.nodes.behaviours import AskMemory  # noqa: E402

LONG = 3000  # tokens: seconds of work, should nobody end it
YES_OR_NO = ['yes', 'no']


@pytest.fixture(autouse=True)
def _clean_blackboard():
    yield
    py_trees.blackboard.Blackboard.clear()


def tick_to_the_end(behaviour):
    """Tick as a tree does, until the behaviour has decided; its status each time."""
    seen = []

    def tick():
        behaviour.tick_once()
        seen.append(behaviour.status)
        return behaviour.status != Status.RUNNING

    wait_until(tick, 'a decision')
    return seen


def value_of(key):
    return py_trees.blackboard.Blackboard.get(key)


def test_it_runs_until_the_answer_is_on_the_blackboard(robot, client):
    robot.see(2)
    asking = AskMemory('ask', 'What is it?', client=client, min_stamp_ns=2 * S, max_new_tokens=9)
    seen = tick_to_the_end(asking)
    assert seen[0] == Status.RUNNING
    assert seen[-1] == Status.SUCCESS
    assert value_of('answer').text == robot.ask('What is it?', max_new_tokens=9).text
    assert value_of('answer').frames_seen == 2
    assert asking.feedback_message == value_of('answer').text


def test_the_probability_of_the_expected_choice_decides(robot, client):
    robot.see(1)
    truth = robot.ask('Is it day?', choices=YES_OR_NO)
    for choice, share in zip(YES_OR_NO, truth.choice_probabilities, strict=True):
        for threshold, status in ((share * 0.99, Status.SUCCESS), (share * 1.01, Status.FAILURE)):
            asking = AskMemory(
                'ask',
                'Is it day?',
                YES_OR_NO,
                expected=choice,
                threshold=min(threshold, 1.0),
                key='is_day',
                client=client,
            )
            assert tick_to_the_end(asking)[-1] == status, (choice, threshold)
            assert value_of('is_day').text == truth.text, 'the answer is kept in both cases'
            assert asking.feedback_message.startswith(f'{choice}: {share:.3f} of ')
            assert asking.error is None


def test_no_answer_is_a_failure_with_its_exception(robot, client):
    robot.see(1)
    asking = AskMemory('ask', 'What?', client=client, min_stamp_ns=S, max_new_tokens=1)
    assert tick_to_the_end(asking)[-1] == Status.SUCCESS
    robot.reset()
    asking = AskMemory('ask', 'What?', client=client)
    assert tick_to_the_end(asking)[-1] == Status.FAILURE
    assert isinstance(asking.error, MemoryEmpty)
    assert asking.feedback_message.startswith('MEMORY_EMPTY: ')
    assert not py_trees.blackboard.Blackboard.exists('answer'), 'the former answer is taken away'


def test_a_tree_that_turns_to_something_else_cancels_the_question(robot, client):
    robot.see(1)
    is_low = False
    battery = py_trees.behaviours.Running('battery')
    battery.update = lambda: Status.SUCCESS if is_low else Status.FAILURE
    asking = AskMemory('ask', 'What?', client=client, min_stamp_ns=S, max_new_tokens=LONG)
    root = py_trees.composites.Selector('root', memory=False, children=[battery, asking])
    before = len(robot.said)
    root.tick_once()
    assert asking.status == Status.RUNNING
    wait_until(lambda: len(robot.said) > before, 'the answer has begun')
    is_low = True
    root.tick_once()
    assert asking.status == Status.INVALID
    with pytest.raises(Cancelled) as error:
        asking._pending.result()
    assert error.value.answer.status == Answer.CANCELLED
    is_low = False
    asking._asked['max_new_tokens'] = 1
    assert tick_to_the_end(root)[-1] == Status.SUCCESS, 'it asks anew'


def test_a_tree_sets_it_up_beside_the_node_of_py_trees_ros(robot, spun):
    """py_trees_ros hands its node to setup(), and ticks in a callback of that node."""
    robot.see(1)
    asking = AskMemory('ask', 'What?', namespace=robot.namespace, min_stamp_ns=S, max_new_tokens=3)
    tree = py_trees.trees.BehaviourTree(asking)
    with pytest.raises(RuntimeError, match=r"behaviour 'ask' has no client; call setup\(\)"):
        asking.tick_once()
    tree.setup(node=spun.node)
    timer = spun.node.create_timer(0.01, tree.tick)
    answer = wait_until(lambda: value_of_or_none('answer'), 'an answer')
    spun.call(timer.cancel)  # it asks again and again
    spun.call(tree.shutdown)
    assert answer.answer_tokens == 3


def value_of_or_none(key):
    try:
        return value_of(key)
    except KeyError:
        return None


def test_a_tree_without_ros_sets_it_up_too(robot):
    asking = AskMemory('ask', ' ', namespace=robot.namespace)
    robot.see(1)
    asking.setup()
    assert tick_to_the_end(asking)[-1] == Status.FAILURE
    assert isinstance(asking.error, BadRequest)
    clients = len(py_trees.blackboard.Blackboard.clients)
    asking.shutdown()
    asking.shutdown()
    assert len(py_trees.blackboard.Blackboard.clients) == clients - 1


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'expected': 'perhaps'}, r"expected: expected one of \['yes', 'no'\], got 'perhaps'"),
        ({'expected': 'yes', 'threshold': 0.0}, 'threshold: expected above 0 and at most 1'),
        ({'expected': 'yes', 'threshold': 1.5}, 'threshold: expected above 0 and at most 1'),
    ],
)
def test_what_can_never_be_a_success_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        AskMemory('ask', 'Is it day?', YES_OR_NO, **fields)


def test_a_text_in_place_of_choices_is_refused():
    with pytest.raises(ValueError, match="choices: expected several texts, got the text 'yes;no'"):
        AskMemory('ask', 'Is it day?', 'yes;no', expected='yes')
