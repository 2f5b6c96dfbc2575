# SPDX-License-Identifier: Apache-2.0
"""Time messages <-> nanoseconds, without the weight of all conversions (those import torch)."""

from builtin_interfaces.msg import Duration, Time

from flash_vstream_ros.core.sampler import NS_PER_S


def time_to_ns(stamp: Time | Duration) -> int:
    """Message -> nanoseconds; also of a Duration."""
    return stamp.sec * NS_PER_S + stamp.nanosec


def ns_to_time(nanoseconds: int) -> Time:
    """Nanoseconds -> message.

    :raises ValueError: the time does not fit the message (32 bits of seconds).
    """
    seconds, rest = _split(nanoseconds)
    return Time(sec=seconds, nanosec=rest)


def seconds_to_duration(seconds: float) -> Duration:
    """Seconds -> message.

    :raises ValueError: the time does not fit the message (32 bits of seconds).
    """
    whole, rest = _split(round(seconds * NS_PER_S))
    return Duration(sec=whole, nanosec=rest)


def fault_of_stretch(from_ns: int, to_ns: int) -> str:
    """What is wrong with a request's stretch of time; empty: nothing.

    :param from_ns: its ``from_stamp``, nanoseconds.
    :param to_ns: its ``to_stamp``, nanoseconds; 0: to the newest frame.
    """
    for name, stamp_ns in (('from_stamp', from_ns), ('to_stamp', to_ns)):
        if stamp_ns < 0:
            return f'{name}: expected 0 or later, got {stamp_ns} ns'
    if to_ns and to_ns < from_ns:
        return f'to_stamp: expected 0 or at least {from_ns} ns, got {to_ns} ns'
    return ''


def _split(nanoseconds: int) -> tuple[int, int]:
    seconds, rest = divmod(int(nanoseconds), NS_PER_S)
    if not -(2**31) <= seconds < 2**31:
        raise ValueError(f'nanoseconds: expected a time within 2**31 s, got {nanoseconds}')
    return seconds, rest
