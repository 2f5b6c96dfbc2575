# SPDX-License-Identifier: Apache-2.0
"""Nodes of different names that do the same work: one memory of two cameras, two that answer."""

from collections.abc import Sequence

from rclpy.node import Node, NodeNameNonExistentError

from flash_vstream_ros.nodes.topic_graph import MEMORY, node_of

# What two question handlers in one namespace both serve.
SERVED = ('ask', 'watch/_action/send_goal')
KILLED = 'one that was killed is counted for some 20 s more'


def servers_of(node: Node, service: str) -> list[str]:
    """Nodes that serve a service, by their names in full; those of one name once.

    :param node: any, by whose view of the graph it is told.
    :param service: name in full.
    """
    found = set()
    for name, namespace in node.get_node_names_and_namespaces():
        try:
            services = dict(node.get_service_names_and_types_by_node(name, namespace))
        except NodeNameNonExistentError:  # it has just ended
            continue
        if service in services:
            found.add(f'{namespace.rstrip("/")}/{name}')
    return sorted(found)


def say_servers(node: Node, services: Sequence[str] = SERVED) -> str:
    """Say that others serve what this node does; nothing where it is alone.

    :param services: as the node calls them.
    """
    names = [node.resolve_service_name(service) for service in services]
    shared = [name for name in names if node.count_services(name) > 1]
    if not shared:
        return ''
    nodes = sorted({server for name in shared for server in servers_of(node, name)})
    served = ' and '.join(name.removesuffix('/_action/send_goal') for name in shared)
    return (
        f'several serve {served}, and each request is answered by all of them: '
        f'{", ".join(nodes)}; stop all but one, or start the others in namespaces of their own '
        f'({KILLED})'
    )


def say_writers(node: Node, topic: str) -> str:
    """Say that several nodes publish one memory; nothing where at most one does.

    :param topic: of the memory, as the node calls it.
    """
    publishers = node.get_publishers_info_by_topic(topic)
    names = sorted(node_of(p) for p in publishers if p.topic_type == MEMORY)
    if len(names) < 2:
        return ''
    return (
        f'{len(names)} publish the memory {node.resolve_topic_name(topic)} in turns: '
        f'{", ".join(names)}; stop all but one, or give each camera a memory of its own (remap '
        f'memory:=NAME) ({KILLED})'
    )
