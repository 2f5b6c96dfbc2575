# SPDX-License-Identifier: Apache-2.0
"""Asks a running robot from the command line, through the service or, streaming, the action."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.conversions import NS_PER_S, ns_to_time, time_to_ns
from flash_vstream_ros.nodes.replay_results import STATUS_NAMES
from flash_vstream_ros.nodes.running import initialised
from flash_vstream_ros.srv import Ask as AskService

FIND_TIMEOUT_S = 10.0
CHECK_PERIOD_S = 0.5


def run_ask(arguments: argparse.Namespace) -> int:
    """Ask one question and print the answer.

    :param arguments: question, choice (list), stream, camera, timeout (seconds or None),
        namespace.
    :returns: exit status: 0 for an answer, 1 for none.
    """
    # Ctrl-C must reach us and not rclpy, which would close the way to cancel the question.
    with initialised(SignalHandlerOptions.NO):
        node = rclpy.create_node('ask', namespace=arguments.namespace)
        try:
            answer = (_through_action if arguments.stream else _through_service)(node, arguments)
        except (ConnectionError, TimeoutError) as error:
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
    answer = _wait(node, future, client.service_is_ready).answer
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
    goal = _wait(node, sent, client.server_is_ready)
    result = goal.get_result_async()
    try:
        answer = _wait(node, result, client.server_is_ready).result.answer
    except KeyboardInterrupt:
        _wait(node, goal.cancel_goal_async(), client.server_is_ready)
        answer = _wait(node, result, client.server_is_ready).result.answer
    print()
    return answer


def _wait(node: Node, future: Future, is_served: Callable[[], bool]) -> Any:
    """Wait for a response as long as somebody is there to give it.

    The question has a timeout of its own, so that a question handler that lives does answer.

    :raises ConnectionError: nobody is there any more.
    """
    while not future.done():
        rclpy.spin_until_future_complete(node, future, timeout_sec=CHECK_PERIOD_S)
        if not future.done() and not is_served():
            raise ConnectionError('the question handler has gone; start it and ask again')
    return future.result()


def _nobody_answers(node: Node) -> str:
    """Say that there is no question handler here, and where there is one."""
    kind = 'flash_vstream_ros/srv/Ask'
    services = node.get_service_names_and_types()
    # Our own client is listed too: what counts is who serves.
    served = [name for name, kinds in services if kind in kinds and node.count_services(name)]
    elsewhere = [name.removesuffix('/ask') or '/' for name in served]
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
