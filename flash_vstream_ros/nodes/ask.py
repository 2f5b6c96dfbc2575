# SPDX-License-Identifier: Apache-2.0
"""Asks a running robot from the command line, through the service or, streaming, the action."""

import argparse
import sys

import rclpy
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future

from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.conversions import NS_PER_S, ns_to_time, time_to_ns
from flash_vstream_ros.nodes.replay_results import STATUS_NAMES
from flash_vstream_ros.srv import Ask as AskService

FIND_TIMEOUT_S = 10.0
GRACE_S = 10.0  # beyond the question's own timeout, for the way there and back


def run_ask(arguments: argparse.Namespace) -> int:
    """Ask one question and print the answer.

    :param arguments: question, choice (list), stream, camera, timeout (seconds or None),
        namespace.
    :returns: exit status: 0 for an answer, 1 for none.
    """
    with rclpy.init():
        node = rclpy.create_node('ask', namespace=arguments.namespace)
        try:
            answer = (_through_action if arguments.stream else _through_service)(node, arguments)
        except TimeoutError as error:
            print(f'ask: {error}', file=sys.stderr)
            return 1
        finally:
            node.destroy_node()
    if answer.status != Answer.OK:
        print(f'ask: {STATUS_NAMES[answer.status]}: {answer.message}', file=sys.stderr)
        return 1
    for choice, share in zip(arguments.choice, answer.choice_probabilities, strict=True):
        print(f'{share:6.1%}  {choice}')
    print(_describe(answer), file=sys.stderr)
    return 0


def _fill(
    request: AskService.Request | AskAction.Goal, arguments: argparse.Namespace
) -> AskService.Request | AskAction.Goal:
    request.question = arguments.question
    request.choices = list(arguments.choice)
    request.camera = arguments.camera or ''
    stamp = ns_to_time(round((arguments.timeout or 0.0) * NS_PER_S))
    request.timeout.sec, request.timeout.nanosec = stamp.sec, stamp.nanosec
    return request


def _through_service(node: Node, arguments: argparse.Namespace) -> Answer:
    client = node.create_client(AskService, 'ask')
    if not client.wait_for_service(FIND_TIMEOUT_S):
        raise TimeoutError(_nobody_answers(node))
    future = client.call_async(_fill(AskService.Request(), arguments))
    answer = _wait(node, future, arguments).answer
    print(answer.text)
    return answer


def _through_action(node: Node, arguments: argparse.Namespace) -> Answer:
    client = ActionClient(node, AskAction, 'ask')
    if not client.wait_for_server(FIND_TIMEOUT_S):
        raise TimeoutError(_nobody_answers(node))
    sent = client.send_goal_async(
        _fill(AskAction.Goal(), arguments),
        feedback_callback=lambda said: print(said.feedback.piece, end='', flush=True),
    )
    goal = _wait(node, sent, arguments)
    result = goal.get_result_async()
    try:
        answer = _wait(node, result, arguments).result.answer
    except KeyboardInterrupt:
        goal.cancel_goal_async()
        answer = _wait(node, result, arguments).result.answer
    print()
    return answer


def _wait(node: Node, future: Future, arguments: argparse.Namespace) -> object:
    """Wait for a response; without a timeout of its own a question has the node's."""
    timeout_s = arguments.timeout + GRACE_S if arguments.timeout else None
    rclpy.spin_until_future_complete(node, future, timeout_sec=timeout_s)
    if not future.done():
        raise TimeoutError(f'no response after {timeout_s:g} s; has the question handler died?')
    return future.result()


def _nobody_answers(node: Node) -> str:
    """Say that there is no question handler here, and where there is one."""
    kind = 'flash_vstream_ros/srv/Ask'
    services = node.get_service_names_and_types()
    elsewhere = [name.removesuffix('/ask') or '/' for name, kinds in services if kind in kinds]
    hint = f'; try --namespace {elsewhere[0]}' if elsewhere else '; is the launch file running?'
    return f'nobody answers {node.get_namespace().rstrip("/")}/ask{hint}'


def _describe(answer: Answer) -> str:
    """What the answer was computed from and how long it took, in one line."""
    newest_s = time_to_ns(answer.newest_stamp) / NS_PER_S
    stale = ', STALE' if answer.stale else ''
    return (
        f'[{answer.frames_seen} frames seen, the newest stamped {newest_s:.1f} s{stale}; first '
        f'token {answer.time_to_first_token * 1e3:.0f} ms, all {answer.total_time * 1e3:.0f} ms]'
    )
