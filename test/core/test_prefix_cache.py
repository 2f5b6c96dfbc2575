# SPDX-License-Identifier: Apache-2.0
"""Which prefixes are kept."""

from flash_vstream_ros.core.prefix_cache import PrefixCache


def key(stream: int, frames: int, stretch: str = '') -> tuple:
    return ('encoder', stream, frames, *([stretch] if stretch else []))


def keep(cache: PrefixCache, *keys: tuple) -> None:
    for k in keys:
        assert cache.get(k) is None
        cache.make_room(k)
        cache.put(k, f'prefix of {k}')


def test_what_is_kept_is_found_under_its_key_only() -> None:
    cache = PrefixCache()
    keep(cache, key(1, 5))
    assert key(1, 5) in cache
    assert cache.get(key(1, 5)) == f'prefix of {key(1, 5)}'
    assert cache.get(key(1, 6)) is cache.get(key(2, 5)) is None
    cache.clear()
    assert key(1, 5) not in cache


def test_room_is_made_before_the_next_one_is_there() -> None:
    cache = PrefixCache()
    keep(cache, key(1, 5))
    cache.make_room(key(2, 1))
    assert key(1, 5) not in cache


def test_older_snapshots_of_the_same_stream_go_first() -> None:
    cache = PrefixCache(2)
    keep(cache, key(1, 5), key(2, 9))
    cache.get(key(1, 5))  # used last, and yet in the way of its own stream
    keep(cache, key(1, 6))
    assert key(2, 9) in cache
    assert key(1, 5) not in cache
    keep(cache, key(1, 6, 'this morning'))
    assert key(2, 9) in cache


def test_else_goes_what_was_not_used_for_longest() -> None:
    cache = PrefixCache(2)
    keep(cache, key(1, 5), key(2, 9))
    cache.get(key(1, 5))
    keep(cache, key(3, 1))
    assert key(1, 5) in cache
    assert key(2, 9) not in cache
