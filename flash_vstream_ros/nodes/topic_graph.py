# SPDX-License-Identifier: Apache-2.0
"""What the ROS graph tells about the publishers of a topic."""

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from flash_vstream_ros.nodes.topic_advice import COMPRESSED, IMAGE

MEMORY = 'flash_vstream_ros/msg/MemorySnapshot'
NAME_UNKNOWN = '_NODE_NAME_UNKNOWN_'  # what rmw calls the node of a publisher it knows none of


def published_images(node: Node) -> dict[str, list[str]]:
    """Topics on which a camera publishes images, with the types published: raw or compressed.

    Pictures of a memory, which the nodes that have one publish, are none of a camera.
    """
    known = node.get_topic_names_and_types()
    ours = {
        node_of(info)
        for name, types in known
        if MEMORY in types
        for info in node.get_publishers_info_by_topic(name)
        if info.node_name != NAME_UNKNOWN
    }
    topics = {}
    for name, types in known:
        if {IMAGE, COMPRESSED} & set(types):  # of readers as well
            infos = node.get_publishers_info_by_topic(name)
            is_picture = name.removesuffix('/compressed').endswith('/memory_view')
            cameras = [i for i in infos if not (is_picture and node_of(i) in ours)]
            published = {info.topic_type for info in cameras}
            topics[name] = sorted(published & {IMAGE, COMPRESSED})
    return {name: types for name, types in topics.items() if types}


def why_refused(publisher: TopicEndpointInfo, qos: QoSProfile) -> str:
    """Say why a subscription never gets what a publisher sends: which policies do not fit.

    :param qos: what the subscription asks for.
    :returns: the words of ROS; empty where nothing is in the way.
    """
    compatibility, reason = qos_check_compatible(publisher.qos_profile, qos)
    if compatibility != QoSCompatibility.ERROR:
        return ''
    return reason.removeprefix('ERROR: ').rstrip('; ')


def node_of(endpoint: TopicEndpointInfo) -> str:
    """Name in full of the node that an endpoint belongs to."""
    return f'{endpoint.node_namespace.rstrip("/")}/{endpoint.node_name}'
