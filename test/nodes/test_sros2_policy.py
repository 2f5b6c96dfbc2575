# SPDX-License-Identifier: Apache-2.0
"""The policy of SROS 2 allows the nodes what they do, and nothing else."""

import re
import xml.etree.ElementTree as ET

import pytest
from spun_nodes import wait_until

KINDS = {
    'topics': ('publish', 'subscribe'),
    'services': ('reply', 'request'),
    'actions': ('call', 'execute'),
}
# What a node has only with other parameters than the robot's, and what the camera is called there.
OPTIONAL = {
    ('subscribe', name) for name in ('/clock', '/camera/image_raw/compressed', '/tf', '/tf_static')
}
CAMERA = ('subscribe', '/camera/image_raw')
# Allowed along with the action
OF_ACTIONS = '/_action/'


@pytest.fixture(scope='module')
def enclaves(repository):
    """Path of an enclave -> its only profile, with what it includes in place."""
    folder = repository / 'config/sros2'
    root = ET.parse(folder / 'policy.xml').getroot()
    for profile in root.iter('profile'):
        for include in profile.findall('{http://www.w3.org/2001/XInclude}include'):
            assert include.get('xpointer') == 'xpointer(/profile/*)'
            profile.extend(ET.parse(folder / include.get('href')).getroot())
            profile.remove(include)
    return {enclave.get('path'): enclave.find('profiles/profile') for enclave in root[0]}


def allowed(profile: ET.Element, namespace: str | None = None) -> set[tuple[str, str]]:
    """(what is allowed, full name) of all rules, in the policy's or another namespace."""
    namespace = namespace or profile.get('ns')
    node = f'{namespace}/{profile.get("node")}'
    rules = []
    for group in profile:
        (way,) = group.attrib
        rules += [(way, entry.text.replace('~', node)) for entry in group]
    return {(w, name if name[0] == '/' else f'{namespace}/{name}') for w, name in rules}


@pytest.mark.parametrize('name', ['policy.xml', 'node.xml'])
def test_no_comment_stands_among_the_rules(name, repository):
    """Sros2 would take it for an element of theirs, and fail."""
    text = (repository / 'config/sros2' / name).read_text()
    rules = text[re.search(r'^<(policy|profile)', text, re.MULTILINE).start() :]
    assert '<topic' in rules
    assert '<!--' not in rules


def test_each_node_and_a_planner_have_an_enclave_of_their_own(enclaves):
    nodes = ('frame_handler', 'question_handler', 'planner')
    assert list(enclaves) == [f'/flash_vstream/{node}' for node in nodes]
    names = [f'{profile.get("ns")}/{profile.get("node")}' for profile in enclaves.values()]
    assert names == list(enclaves)


def test_it_holds_nothing_but_permissions_of_known_kinds(enclaves):
    for profile in enclaves.values():
        for group in profile:
            assert [*group.attrib.values()] == ['ALLOW']
            assert set(group.attrib) < set(KINDS[group.tag])
            assert {entry.tag for entry in group} == {group.tag.removesuffix('s')}
            assert all('*' not in entry.text for entry in group)


def test_a_planner_can_ask_and_nothing_else(enclaves):
    ours = {rule for rule in allowed(enclaves['/flash_vstream/planner']) if '/' in rule[1][1:]}
    assert ours == {
        ('request', '/flash_vstream/ask'),
        ('call', '/flash_vstream/ask'),
        ('call', '/flash_vstream/watch'),
    }


@pytest.mark.parametrize('name', ['frame_handler', 'question_handler'])
def test_a_node_is_allowed_what_it_has_and_nothing_else(name, enclaves, robot):
    rules = allowed(enclaves[f'/flash_vstream/{name}'], robot.namespace) - OPTIONAL
    rules = {('subscribe', f'{robot.namespace}/image') if r == CAMERA else r for r in rules}
    wait_until(lambda: entities(robot, name) == rules, 'the graph is what the policy allows')
    assert entities(robot, name) == rules


def entities(robot, name: str) -> set[tuple[str, str]]:
    """All that a running node publishes, subscribes, serves and requests."""
    graph, where = robot.station.node, (name, robot.namespace)
    found = {
        'publish': graph.get_publisher_names_and_types_by_node(*where),
        'subscribe': graph.get_subscriber_names_and_types_by_node(*where),
        'reply': graph.get_service_names_and_types_by_node(*where),
        'request': graph.get_client_names_and_types_by_node(*where),
    }
    pairs = {(way, entry) for way, names in found.items() for entry, _ in names}
    actions = {entry.split(OF_ACTIONS)[0] for _, entry in pairs if OF_ACTIONS in entry}
    return {p for p in pairs if OF_ACTIONS not in p[1]} | {('execute', a) for a in actions}
