# SPDX-License-Identifier: Apache-2.0
"""Asks a running robot from the command line, through the service or, streaming, the action."""

import argparse
import sys

from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.ask_errors import AskError, ServerNotFound
from flash_vstream_ros.nodes.client import VStreamClient
from flash_vstream_ros.nodes.times import NS_PER_S, time_to_ns


def run_ask(arguments: argparse.Namespace) -> int:
    """Ask one question and print the answer.

    :param arguments: question, choice (list), stream, camera, timeout (seconds or None),
        namespace.
    :returns: exit status: 0 for an answer, 1 for none.
    """
    with VStreamClient(namespace=arguments.namespace) as client:
        try:
            answer = (_stream if arguments.stream else _ask)(client, arguments)
        except ServerNotFound as error:
            hint = f'; try --namespace {error.namespaces[0]}' if error.namespaces else ''
            print(f'flash_vstream ask: {error}{hint}', file=sys.stderr)
            return 1
        except AskError as error:
            print(f'flash_vstream ask: {error}', file=sys.stderr)
            return 1
    for choice, share in zip(arguments.choice, answer.choice_probabilities, strict=True):
        print(f'{share:6.1%}  {choice}')
    print(_describe(answer), file=sys.stderr)
    return 0


def _ask(client: VStreamClient, arguments: argparse.Namespace) -> Answer:
    try:
        answer = client.ask(**_fields(arguments))
    except AskError as error:
        if error.answer is not None and error.answer.text:
            print(error.answer.text)
        raise
    print(answer.text)
    return answer


def _stream(client: VStreamClient, arguments: argparse.Namespace) -> Answer:
    pending = client.ask_async(**_fields(arguments))
    has_begun = False
    try:
        for piece in pending.pieces():
            print(piece, end='', flush=True)
            has_begun = True
    except KeyboardInterrupt:
        pending.cancel()
    finally:
        if has_begun:
            print()
    return pending.result()


def _fields(arguments: argparse.Namespace) -> dict[str, object]:
    return {
        'question': arguments.question,
        'choices': arguments.choice,
        'camera': arguments.camera or '',
        'timeout_s': arguments.timeout,
    }


def _describe(answer: Answer) -> str:
    """What the answer was computed from and how long it took, in one line."""
    newest_s = time_to_ns(answer.newest_stamp) / NS_PER_S
    stale = ', STALE' if answer.stale else ''
    return (
        f'[{answer.frames_seen} frames seen, the newest stamped {newest_s:.1f} s{stale}; first '
        f'token {answer.time_to_first_token * 1e3:.0f} ms, all {answer.total_time * 1e3:.0f} ms]'
    )
