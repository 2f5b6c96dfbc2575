# SPDX-License-Identifier: Apache-2.0
"""Where there are images, for who looks at a topic without any: told with the command."""

from rclpy.node import Node

from flash_vstream_ros.nodes.topic_advice import (
    COMPRESSED,
    IMAGE,
    nearest_topics,
    start_command,
)
from flash_vstream_ros.nodes.topic_graph import published_images


def where_images_are(node: Node, topic: str, kind: str, model: str) -> str:
    """Name the topics that have images, the nearest first, and how to take it.

    :param topic: the one without images, in full.
    :param kind: type of the images that were expected there.
    :param model: checkpoint that the command is to name.
    """
    topics = published_images(node)
    names = nearest_topics(topic, kind, topics)
    if not names:
        return (
            'no topic has images: start the camera driver, in the same ROS domain '
            f'(ROS_DOMAIN_ID={node.context.get_domain_id()})'
        )
    nearest, *others = names
    other = COMPRESSED if kind == IMAGE else IMAGE
    found = kind if kind in topics[nearest] else other
    command = start_command(nearest, found, node.get_namespace(), model)
    rest = f' (others: {others})' if others else ''
    return f'the nearest topic with images is {nearest}{rest}. Take it with: {command}'
