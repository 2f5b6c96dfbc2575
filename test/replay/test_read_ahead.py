# SPDX-License-Identifier: Apache-2.0
"""Reading ahead: order, errors, how far, and in which thread."""

import threading
from collections.abc import Generator

import pytest

from flash_vstream_ros.replay.read_ahead import read_ahead


class Source:
    """Counts what is taken from it, and notes the threads that run and close it."""

    def __init__(self, count: int, fails_at: int = -1) -> None:
        self.count, self.fails_at = count, fails_at
        self.taken = 0
        self.threads: list[threading.Thread] = []
        self.closed_by: threading.Thread | None = None

    def items(self) -> Generator[int, None, None]:
        try:
            for item in range(self.count):
                self.threads.append(threading.current_thread())
                self.taken += 1
                if item == self.fails_at:
                    raise ValueError(f'item {item} is broken')
                yield item
        finally:
            self.closed_by = threading.current_thread()


@pytest.mark.parametrize('count', [1, 2, 50])
@pytest.mark.parametrize('length', [0, 1, 2, 20])
def test_items_come_in_order_and_all(count: int, length: int) -> None:
    assert list(read_ahead(Source(length).items(), count)) == list(range(length))


def test_an_error_comes_at_its_turn() -> None:
    items = read_ahead(Source(9, fails_at=3).items(), 5)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match='item 3 is broken'):
        next(items)


def test_it_reads_so_far_ahead_and_no_further() -> None:
    source = Source(100)
    items = read_ahead(source.items(), 4)
    for number in range(10):
        assert next(items) == number
        # The one that was yielded is still held, so three more are there.
        assert source.taken <= number + 4
    items.close()
    assert source.taken < 20


def test_one_other_thread_runs_and_closes_the_source() -> None:
    source = Source(20)
    items = read_ahead(source.items(), 3)
    next(items)
    items.close()
    assert len(set(source.threads)) == 1
    assert source.closed_by is source.threads[0] is not threading.current_thread()
    assert not source.closed_by.is_alive()
