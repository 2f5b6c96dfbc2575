# SPDX-License-Identifier: Apache-2.0
"""Bags as recordings: rosbag2 (sqlite3, mcap, compressed or not) and ROS 1, without ROS."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from flash_vstream_ros.nodes.image_conversions import compressed_to_rgb, image_to_rgb
from flash_vstream_ros.replay.bag_parts import BagError, Topic
from flash_vstream_ros.replay.bag_storage import BagStorage, open_storage
from flash_vstream_ros.replay.recorded_frame import NS_PER_S, RecordedFrame

BAG_SUFFIXES = ('.bag', '.mcap', '.db3')
TO_RGB = {
    'sensor_msgs/msg/Image': image_to_rgb,
    'sensor_msgs/msg/CompressedImage': compressed_to_rgb,
}


class BagRecording:
    """The images of one topic of a bag. Stamps are those of the message headers.

    A bag whose recording was cut off is read as far as it goes.

    :param topic: the topic; None: the only image topic of the bag.
    :raises ValueError: the bag cannot be read, or its image topic cannot be told.
    """

    def __init__(self, path: Path, topic: str | None = None) -> None:
        self.path = path
        self.ended_early = ''
        with open_storage(path) as storage:
            self.topic = choose_topic(path, storage.topics, topic)
            chosen = storage.topics[self.topic]
            self.frame_count = chosen.count
            self.duration_ns = storage.duration_ns
            first = next(self._raw_images(storage), None)
            if first is None:
                raise ValueError(
                    f'{path}: 0 images could be read of {self.topic}. {self.ended_early}'.rstrip()
                )
            self.start_ns = storage.stamp_ns(first)
            self.description = f'{storage.kind}, {self.topic} ({chosen.type}), {self._length()}'

    def _length(self) -> str:
        count = 'images not counted' if self.frame_count is None else f'{self.frame_count} images'
        if self.duration_ns is None:
            return f'{count}, damaged or not closed by its recorder'
        return f'{count}, {self.duration_ns / NS_PER_S:.1f} s'

    def __iter__(self) -> Iterator[RecordedFrame]:
        with open_storage(self.path) as storage:
            message_type = storage.topics[self.topic].type
            decode = _decoder(storage.is_ros1, message_type)
            for raw in self._raw_images(storage):
                yield RecordedFrame(storage.stamp_ns(raw), partial(decode, raw))

    def _raw_images(self, storage: BagStorage) -> Iterator[bytes]:
        """Serialised messages of the topic; where reading fails, ``ended_early`` says how."""
        self.ended_early = ''
        images, problem = 0, storage.damage
        try:
            for raw in storage.messages(self.topic):
                images += 1
                yield raw
        except BagError as error:
            problem = str(error)
        if not problem and self.frame_count is not None and images < self.frame_count:
            # The mcap files of a recorder have no checksums: a damaged chunk may just be missed.
            problem = f'the bag counts {self.frame_count}'
        if problem:
            self.ended_early = (
                f'{self.path}: cut off or damaged: {images} images could be read ({problem})'
            )


def choose_topic(path: Path, topics: dict[str, Topic], wanted: str | None) -> str:
    """Find the image topic to read.

    :raises ValueError: there is no such topic, it holds no images, or several do and it is not
        said which.
    """
    images = {name: topic for name, topic in topics.items() if topic.type in TO_RGB}
    if wanted is not None:
        return _named_topic(path, topics, images, wanted)
    if not images:
        raise ValueError(
            f'{path}: no image topic; expected one of {" or ".join(TO_RGB)}, '
            f'found {_listing(topics)}'
        )
    if len(images) > 1:
        raise ValueError(
            f'{path}: {len(images)} image topics; choose one with --topic: {_listing(images)}'
        )
    return next(iter(images))


def _named_topic(
    path: Path, topics: dict[str, Topic], images: dict[str, Topic], wanted: str
) -> str:
    name = wanted if wanted.startswith('/') else f'/{wanted}'
    if name in images:
        return name
    if name in topics:
        raise ValueError(
            f'{path}: topic {name} holds {topics[name].type}, which is no image; '
            f'image topics are {_listing(images)}'
        )
    nearest = get_close_matches(name, images, n=1, cutoff=0.0)
    hint = f'did you mean {nearest[0]}? ' if nearest else ''
    raise ValueError(f'{path}: no topic {name}; {hint}Image topics are {_listing(images)}')


def _listing(topics: dict[str, Topic]) -> str:
    """One line that names topics with type and number of messages."""
    entries = [
        f'{name} ({topic.type}, {"?" if topic.count is None else topic.count} messages)'
        for name, topic in sorted(topics.items())
    ]
    return ', '.join(entries) or 'none'


def _decoder(is_ros1: bool, message_type: str) -> Callable[[bytes], np.ndarray]:
    """Make the function from a serialised message to (H, W, 3) uint8 RGB."""
    # The definitions of the two image messages have never changed, so those that lie in the bag
    # are not needed, nor can a faulty one of another topic get in the way.
    if is_ros1:
        deserialize: Any = get_typestore(Stores.ROS1_NOETIC).deserialize_ros1
    else:
        deserialize = get_typestore(Stores.ROS2_KILTED).deserialize_cdr
    to_rgb = TO_RGB[message_type]

    def decode(raw: bytes) -> np.ndarray:
        try:
            message = deserialize(raw, message_type)
        except (SerdeError, ValueError, IndexError, UnicodeDecodeError) as error:
            raise ValueError(f'not a whole {message_type}: {error}') from error
        return to_rgb(message)

    return decode
