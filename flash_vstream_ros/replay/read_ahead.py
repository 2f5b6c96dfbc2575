# SPDX-License-Identifier: Apache-2.0
"""Reads ahead in a thread: the next items are decoded while the one before is worked on."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar('T')
_END = object()


def read_ahead(items: Generator[T, None, None], count: int) -> Iterator[T]:
    """Run a generator in a thread of its own, at most ``count`` items ahead.

    The generator is begun, run and closed in that thread, because what it has open, as a database,
    may belong to it. What it raises is raised here, at the item's turn.

    :param count: at least 1; that many items are held at once.
    """
    with ThreadPoolExecutor(1, thread_name_prefix='read_ahead') as thread:
        coming = deque(thread.submit(next, items, _END) for _ in range(count))
        try:
            while (item := coming.popleft().result()) is not _END:
                yield item
                # Not before: what was yielded is done with, and its place is free.
                coming.append(thread.submit(next, items, _END))
        finally:
            for future in coming:
                future.cancel()
            thread.submit(items.close).result()
