# SPDX-License-Identifier: Apache-2.0
"""What the doctor takes from the ROS graph: which nodes there are, who publishes what to whom."""

from collections import Counter
from collections.abc import Callable

from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

from flash_vstream_ros.nodes.doctor_facts import Process, PublisherFacts
from flash_vstream_ros.nodes.doctor_processes import find_process
from flash_vstream_ros.nodes.rivals import servers_of
from flash_vstream_ros.nodes.topic_advice import COMPRESSED, IMAGE, nearest_topics
from flash_vstream_ros.nodes.topic_graph import MEMORY, node_of, published_images, why_refused

EVERY_NODE = '/parameter_events'  # published by all of them


class Graph:
    """The ROS graph as a node sees it. Names are in full.

    :param node: the doctor's own; what is its own is left out.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._own = node.get_fully_qualified_name()

    def full_name(self, name: str) -> str:
        """Name in full of what a node in the doctor's namespace calls by this name."""
        return name if name.startswith('/') else f'{self._node.get_namespace().rstrip("/")}/{name}'

    def nodes(self) -> Counter[str]:
        """How many nodes there are of each name."""
        found = self._node.get_node_names_and_namespaces()
        names = Counter(f'{namespace.rstrip("/")}/{name}' for name, namespace in found)
        del names[self._own]
        return names

    def content(self) -> object:
        """All that is known of the graph: it changes while nodes are being found."""
        node = self._node
        topics, services = node.get_topic_names_and_types(), node.get_service_names_and_types()
        return (self.nodes(), topics, services)

    def processes(self, name: str) -> tuple[Process, ...]:
        """Processes of this machine that run a node of this name."""
        publishers = self._node.get_publishers_info_by_topic(EVERY_NODE)
        found = [self._process(p) for p in publishers if node_of(p) == name]
        return tuple({p.pid: p for p in found if p is not None}.values())

    def _process(self, publisher: TopicEndpointInfo) -> Process | None:
        own = self._node.get_publishers_info_by_topic(EVERY_NODE)
        gid = next((bytes(p.endpoint_gid) for p in own if node_of(p) == self._own), b'')
        return find_process(bytes(publisher.endpoint_gid), gid)

    def serves(self, name: str, service: str) -> bool:
        """Whether a node serves a service of its own, as ``get_state``."""
        services = self._of_node(self._node.get_service_names_and_types_by_node, name)
        return f'{name}/{service}' in services

    def servers(self, service: str) -> tuple[str, ...]:
        """Nodes that serve a service; those of one name once."""
        return tuple(servers_of(self._node, service))

    def subscribed(self, name: str, *kinds: str) -> dict[str, str]:
        """Topics of some types that a node subscribes, with their types."""
        found = self._of_node(self._node.get_subscriber_names_and_types_by_node, name)
        return {topic: types[0] for topic, types in found.items() if types and types[0] in kinds}

    def writers(self, topic: str) -> list[str]:
        """Nodes that publish a memory on a topic."""
        publishers = self._node.get_publishers_info_by_topic(topic)
        return sorted({node_of(p) for p in publishers if p.topic_type == MEMORY})

    def memories(self) -> list[str]:
        """Topics in the doctor's namespace, or below it, on which a memory is published."""
        within = self._node.get_namespace().rstrip('/') + '/'
        topics = self._node.get_topic_names_and_types()
        return sorted(
            n
            for n, kinds in topics
            if MEMORY in kinds and n.startswith(within) and self.writers(n)
        )

    def _of_node(self, function: Callable, name: str) -> dict[str, list[str]]:
        namespace, _, last = name.rpartition('/')
        try:
            return dict(function(last, namespace or '/'))
        except NodeNameNonExistentError:
            return {}

    def publishers(self, topic: str, readers: list[str]) -> tuple[PublisherFacts, ...]:
        """Who publishes a topic, and what keeps it from nodes that read it.

        :param readers: the nodes that count.
        """
        subscriptions = self._node.get_subscriptions_info_by_topic(topic)
        reading = [s for s in subscriptions if node_of(s) in readers]
        found = []
        for publisher in self._node.get_publishers_info_by_topic(topic):
            reasons = {node_of(s): why_refused(publisher, s.qos_profile) for s in reading}
            found.append(
                PublisherFacts(
                    node=node_of(publisher),
                    kind=publisher.topic_type,
                    is_reliable=publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
                    mismatches={name: why for name, why in reasons.items() if why},
                    process=self._process(publisher),
                )
            )
        return tuple(found)

    def type_hashes(self, topic: str) -> frozenset[str]:
        """Fingerprints of the message as those who publish and read a topic know it."""
        node = self._node
        ends = node.get_publishers_info_by_topic(topic)
        ends += node.get_subscriptions_info_by_topic(topic)
        hashes = {str(end.topic_type_hash) for end in ends if end.topic_type == MEMORY}
        return frozenset(hashes - {'INVALID'})  # of a middleware that tells none

    def image_kind(self, topic: str) -> str:
        """Type of the images that are published on a topic; raw ones where none are."""
        return next(iter(published_images(self._node).get(topic, [])), IMAGE)

    def nearest(self, topic: str, kind: str) -> tuple[tuple[str, str], ...]:
        """Topics with images by how near they are to a name, with the type to take."""
        topics = published_images(self._node)
        other = COMPRESSED if kind == IMAGE else IMAGE
        return tuple(
            (name, kind if kind in topics[name] else other)
            for name in nearest_topics(topic, kind, topics)
        )

    def count_clocks(self) -> int:
        """How many publish ``/clock``."""
        return self._node.count_publishers('/clock')

    def namespaces(self, program: str) -> tuple[str, ...]:
        """Other namespaces in which nodes of this name run."""
        found = {
            namespace or '/'
            for namespace, _, name in (node.rpartition('/') for node in self.nodes())
            if name == program
        }
        return tuple(sorted(found - {self._node.get_namespace()}))
