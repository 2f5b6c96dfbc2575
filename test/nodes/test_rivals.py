# SPDX-License-Identifier: Apache-2.0
"""Nodes of different names that do the same work are named: by both nodes and by the doctor."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from doctor_samples import ANSWERER, HEALTHY, says
from flash_vstream_ros.action import Watch
from flash_vstream_ros.msg import MemorySnapshot
from flash_vstream_ros.srv import Ask
from in_process import InProcess, quoted
from rclpy.action import ActionServer
from rclpy.node import NodeNameNonExistentError
from robots import SpunNode, wait_until
from test_diagnostics import OK, WARN, Monitor

from flash_vstream_ros.nodes.doctor_facts import ERROR
from flash_vstream_ros.nodes.doctor_graph import Graph
from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.rivals import say_servers, say_writers, servers_of


@pytest.fixture
def other(namespace):
    """A node of another name beside the test's own."""
    other = SpunNode(namespace, 'other')
    yield other
    other.close()


def serve(spun: SpunNode) -> None:
    spun.call(spun.node.create_service, Ask, 'ask', print)


def test_who_serves_the_same_is_named(spun, other, namespace):
    for answerer in (spun, other):
        assert say_servers(spun.node) == ''
        serve(answerer)
    names = f'{namespace}/other, {namespace}/test'
    said = f'several serve {namespace}/ask, and each request is answered by all of them: {names};'
    wait_until(lambda: say_servers(spun.node).startswith(said), 'both names')
    for answerer in (spun, other):
        answerer.server = answerer.call(ActionServer, answerer.node, Watch, 'watch', print)
    both = f'several serve {namespace}/ask and {namespace}/watch,'
    wait_until(lambda: say_servers(spun.node).startswith(both), 'the action as well')
    for answerer in (spun, other):
        answerer.call(answerer.server.destroy)


def test_who_writes_the_same_memory_is_named(spun, other, namespace):
    for writer in (spun, other):
        assert say_writers(spun.node, 'memory') == ''
        writer.call(writer.node.create_publisher, MemorySnapshot, 'memory', LATCHED)
    names = f'{namespace}/other, {namespace}/test'
    said = f'2 publish the memory {namespace}/memory in turns: {names};'
    wait_until(lambda: say_writers(spun.node, 'memory').startswith(said), 'both names')


def test_the_doctor_counts_who_serves_ask(spun, other, namespace):
    for answerer in (spun, other):
        serve(answerer)
    names = (f'{namespace}/other', f'{namespace}/test')
    graph = Graph(spun.node)
    wait_until(lambda: graph.servers(graph.full_name('ask')) == names, 'both')


def test_the_doctor_says_that_two_serve_ask():
    facts = replace(HEALTHY, answerers=(ANSWERER, '/flash_vstream/q2'))
    words = ('2 nodes serve /flash_vstream/ask', f'{ANSWERER}, /flash_vstream/q2', 'stop all but')
    says(facts, 'ask', ERROR, *words)


@pytest.fixture
def nodes(namespace, checkpoint):
    """Both nodes in this process."""
    nodes = InProcess(namespace, {'model': quoted(checkpoint), 'sample_rate': 0.0})
    yield nodes
    nodes.close()


def test_rivals_of_both_nodes_are_in_their_diagnostics(nodes, other, namespace):
    monitor = Monitor(nodes.planner)
    nodes.camera.show(1)
    for part in ('frame_handler: memory', 'question_handler: answers'):
        monitor.wait(part, OK)
    serve(other)
    other.call(other.node.create_publisher, MemorySnapshot, 'memory', LATCHED)
    name = f'{namespace}/other'
    monitor.wait('question_handler: answers', WARN, name)
    monitor.wait('question_handler: memories', WARN, f'{namespace}/frame_handler, {name};')
    monitor.wait('frame_handler: memory', WARN, f'{namespace}/frame_handler, {name};')


def test_a_node_that_ends_meanwhile_serves_nothing():
    def fail(*_: str) -> None:
        raise NodeNameNonExistentError

    gone = SimpleNamespace(
        get_node_names_and_namespaces=lambda: [('gone', '/')],
        get_service_names_and_types_by_node=fail,
    )
    assert servers_of(gone, '/ask') == []
