# SPDX-License-Identifier: Apache-2.0
"""Prefixes that are kept, so that a question costs only its own tokens."""

from flash_vstream_ros.core.language_model import Prefix

Key = tuple[object, ...]
_STREAM = 2  # entries of a key that name the stream: encoder_id, memory_id


class PrefixCache:
    """Prefixes by the key of their snapshot; at most ``size``.

    Of the published model one of 681 memory tokens is about 0.4 GB.
    """

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self._kept: dict[Key, Prefix] = {}  # used last stands last

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def get(self, key: Key) -> Prefix | None:
        """The prefix of a snapshot, if it is kept."""
        prefix = self._kept.pop(key, None)
        if prefix is not None:
            self._kept[key] = prefix
        return prefix

    def make_room(self, key: Key) -> None:
        """Drop what is in the way of another one, so that it can be computed in its place.

        Older snapshots of the same stream go first: nobody will ask about them again.
        """
        while len(self._kept) >= self.size:
            older = (k for k in self._kept if k[:_STREAM] == key[:_STREAM])
            del self._kept[next(older, next(iter(self._kept)))]

    def put(self, key: Key, prefix: Prefix) -> None:
        """Keep a prefix that there was made room for."""
        self._kept[key] = prefix

    def clear(self) -> None:
        """Drop all."""
        self._kept.clear()
