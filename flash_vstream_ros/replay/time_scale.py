# SPDX-License-Identifier: Apache-2.0
"""Time for people: lengths, offsets, and the ticks of a time axis."""

from datetime import UTC, datetime

from flash_vstream_ros.replay.recorded_frame import NS_PER_S

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
TICK_STEPS_S = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30,
    *(minutes * MINUTE_S for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR_S for hours in (1, 2, 3, 6, 12)),
    *(days * DAY_S for days in (1, 2, 7, 14, 28, 91, 365)),
)  # fmt: skip
FIRST_DATE_NS = 1_000_000_000 * NS_PER_S  # September 2001: earlier stamps are no dates


def duration_text(duration_ns: int) -> str:
    """A length of time in its two largest units: ``9.3 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if duration_ns < MINUTE_S * NS_PER_S:
        return f'{duration_ns / NS_PER_S:.1f} s'
    seconds = duration_ns // NS_PER_S
    if seconds < HOUR_S:
        return f'{seconds // MINUTE_S} min {seconds % MINUTE_S:02d} s'
    if seconds < DAY_S:
        return f'{seconds // HOUR_S} h {seconds % HOUR_S // MINUTE_S:02d} min'
    return f'{seconds // DAY_S} d {seconds % DAY_S // HOUR_S:02d} h'


def offset_text(offset_ns: int, decimals: int = 0) -> str:
    """A time since the beginning as on a clock: ``0:07``, ``12:30.5``, ``2 d 3:00:00``.

    :param decimals: of the seconds; the rest is cut off.
    """
    tenths = offset_ns * 10**decimals // NS_PER_S
    seconds, fraction = divmod(tenths, 10**decimals)
    days, seconds = divmod(seconds, DAY_S)
    hours, seconds = divmod(seconds, HOUR_S)
    minutes, seconds = divmod(seconds, MINUTE_S)
    clock = f'{minutes}:{seconds:02d}'
    if days or hours:
        clock = f'{hours}:{minutes:02d}:{seconds:02d}'
    if decimals:
        clock += f'.{fraction:0{decimals}d}'
    return f'{days} d {clock}' if days else clock


def date_text(stamp_ns: int) -> str:
    """Date and time of day of a stamp, or nothing if it counts from no known date."""
    if stamp_ns < FIRST_DATE_NS:
        return ''
    return datetime.fromtimestamp(stamp_ns // NS_PER_S, UTC).strftime('%Y-%m-%d %H:%M:%S UTC')


def ticks(span_ns: int, most: int) -> tuple[list[int], int]:
    """Choose round ticks for an axis that begins at 0.

    :param most: ticks at most.
    :returns: their offsets in nanoseconds, and the decimals their labels need.
    """
    steps_ns = [round(step_s * NS_PER_S) for step_s in TICK_STEPS_S]
    fitting = [step_ns for step_ns in steps_ns if span_ns // step_ns < most]
    step_ns = fitting[0] if fitting else span_ns // most + 1
    return list(range(0, span_ns + 1, step_ns)), int(step_ns < NS_PER_S)
