# SPDX-License-Identifier: Apache-2.0
"""Messages <-> stamps, snapshots, answers. Pure; both directions side by side.

Images have a file of their own, image_conversions.py.
"""

import math
from array import array
from collections.abc import Sequence

import numpy as np
import torch
from builtin_interfaces.msg import Time

from flash_vstream_ros.core.model_config import LARGEST_SIZE
from flash_vstream_ros.core.pipeline import Answer
from flash_vstream_ros.core.quoting import shorten
from flash_vstream_ros.core.snapshot import PARTS, MemorySnapshot, fits_float16
from flash_vstream_ros.msg import Answer as AnswerMessage
from flash_vstream_ros.msg import MemoryMoment
from flash_vstream_ros.msg import MemorySnapshot as MemorySnapshotMessage
from flash_vstream_ros.nodes.moments import NO_PLACES, Places, moments_of
from flash_vstream_ros.nodes.times import NS_PER_S, ns_to_time, time_to_ns

_SIDES = {part: f'{part}_side' for part in PARTS}
_SLOTS = {part: f'{part}_slots' for part in PARTS}
_STAMP_ARRAYS = (
    'temporal_first_stamps',
    'temporal_last_stamps',
    'temporal_mean_stamps',
    'retrieved_stamps',
    'spatial_stamps',
)
LONGEST_FRAME_ID = 256  # characters; it comes back in every answer
FINISHED = {'deadline': AnswerMessage.TIMEOUT, 'cancelled': AnswerMessage.CANCELLED}


def check_frame_id(frame_id: str) -> None:
    """Refuse the ``frame_id`` of an image or a memory that is no name.

    :raises ValueError: it is longer than :data:`LONGEST_FRAME_ID`.
    """
    if len(frame_id) > LONGEST_FRAME_ID:
        raise ValueError(
            f'header.frame_id: expected at most {LONGEST_FRAME_ID} characters, got '
            f'{len(frame_id)}: {shorten(frame_id)}'
        )


def snapshot_to_message(
    snapshot: MemorySnapshot, message: MemorySnapshotMessage, frame_id: str = ''
) -> MemorySnapshotMessage:
    """Fill a message with a snapshot, rounded to float16.

    :param message: filled and returned.
    :param frame_id: of the camera.
    :raises ValueError: a value does not fit float16, a map is not square, or a stamp does not fit
        a message.
    """
    snapshot = snapshot.to_float16()
    message.header.stamp = ns_to_time(snapshot.newest_stamp_ns)
    message.header.frame_id = frame_id
    message.encoder_id = snapshot.encoder_id
    message.memory_id = snapshot.memory_id
    message.frames_written = snapshot.frames_written
    message.oldest_stamp = ns_to_time(snapshot.oldest_stamp_ns)
    message.feature_width = snapshot.feature_width
    for part in PARTS:
        slots, patches, _ = getattr(snapshot, part).shape
        setattr(message, _SLOTS[part], slots)
        setattr(message, _SIDES[part], _side(part, patches))
    # An array from bytes is set in microseconds; an ndarray is checked number by number.
    message.features = array('H', snapshot.tokens().flatten().cpu().numpy().tobytes())
    message.temporal_weights = array('Q', snapshot.temporal_weights.tobytes())
    for name in _STAMP_ARRAYS:
        stamps = getattr(snapshot, f'{name}_ns').tolist()
        setattr(message, name, [ns_to_time(stamp) for stamp in stamps])
    return message


def message_to_snapshot(message: MemorySnapshotMessage) -> MemorySnapshot:
    """Read a snapshot out of a message: float16 on the CPU.

    :raises ValueError: the message contradicts itself; the field is named.
    """
    _check_sizes(message)
    width = message.feature_width
    shapes = {p: (getattr(message, _SLOTS[p]), getattr(message, _SIDES[p]) ** 2) for p in PARTS}
    sizes = [slots * patches * width for slots, patches in shapes.values()]
    if sum(sizes) != len(message.features):
        raise ValueError(
            f'features: expected {sum(sizes)} values for slots and patches {shapes} of width '
            f'{width}, got {len(message.features)}'
        )
    values = np.array(message.features, dtype=np.uint16).view(np.float16)
    values = torch.from_numpy(values)
    if len(values) and not fits_float16(values):
        raise ValueError('features: expected finite numbers, got NaN or infinity')
    parts = values.split(sizes)
    return MemorySnapshot(
        encoder_id=message.encoder_id,
        memory_id=message.memory_id,
        frames_written=message.frames_written,
        oldest_stamp_ns=time_to_ns(message.oldest_stamp),
        newest_stamp_ns=time_to_ns(message.header.stamp),
        temporal_weights=np.array(message.temporal_weights, dtype=np.int64),
        **{p: part.view(*shapes[p], width) for p, part in zip(PARTS, parts, strict=True)},
        **{f'{name}_ns': _stamps(getattr(message, name)) for name in _STAMP_ARRAYS},
    )


def _check_sizes(message: MemorySnapshotMessage) -> None:
    """Bound what is multiplied and allocated: a message can claim anything."""
    least = dict.fromkeys(('feature_width', *_SIDES.values()), 1) | dict.fromkeys(
        _SLOTS.values(), 0
    )
    for name, minimum in least.items():
        value = getattr(message, name)
        if not minimum <= value <= LARGEST_SIZE:
            raise ValueError(f'{name}: expected {minimum} to {LARGEST_SIZE}, got {value}')
    _check_times('header.stamp', [message.header.stamp])
    _check_times('oldest_stamp', [message.oldest_stamp])
    for name in _STAMP_ARRAYS:
        _check_times(name, getattr(message, name))


def _check_times(name: str, times: Sequence[Time]) -> None:
    """A stamp that no message can carry again would spoil every answer about the memory."""
    for time in times:
        if time.sec < 0 or time.nanosec >= NS_PER_S:
            raise ValueError(
                f'{name}: expected 0 or more seconds and less than {NS_PER_S} nanoseconds, got '
                f'{time.sec} s and {time.nanosec} ns'
            )


def _side(part: str, patches: int) -> int:
    side = math.isqrt(patches)
    if side * side != patches:
        raise ValueError(f'{part}: expected square maps, got {patches} patches')
    return side


def _stamps(times: list[Time]) -> np.ndarray:
    return np.array([time_to_ns(time) for time in times], dtype=np.int64)


def ros_text(text: str) -> str:
    """Text as a message can carry it: U+FFFD for the character 0, at which it would be cut off."""
    return text.replace('\0', '\ufffd')


def answer_to_message(answer: Answer) -> AnswerMessage:
    """Answer of the model -> message; what it was computed from and waited for is the node's."""
    return AnswerMessage(
        status=FINISHED.get(answer.finish_reason, AnswerMessage.OK),
        text=ros_text(answer.text),
        choice_probabilities=answer.choice_probabilities,
        mean_log_probability=answer.mean_log_probability,
        finish_reason=answer.finish_reason,
        time_to_first_token=answer.time_to_first_token,
        total_time=answer.total_time,
        prefix_ready=answer.prefix_ready,
        prompt_tokens=answer.prompt_tokens,
        answer_tokens=answer.answer_tokens,
    )


def describe_snapshot(
    message: AnswerMessage,
    snapshot: MemorySnapshot,
    places: Places = NO_PLACES,
    from_ns: int = 0,
    to_ns: int = 0,
) -> None:
    """Fill in which memory an answer speaks of.

    :param places: that came with it.
    :param from_ns: begin of the stretch of time that was asked about, nanoseconds.
    :param to_ns: its end; 0: none.
    """
    message.oldest_stamp = ns_to_time(snapshot.oldest_stamp_ns)
    message.newest_stamp = ns_to_time(snapshot.newest_stamp_ns)
    message.frames_seen = snapshot.frames_written
    message.memory_id = snapshot.memory_id
    message.moments = moments_of(snapshot, places, from_ns, to_ns)
    retrieved = (m for m in message.moments if m.part == MemoryMoment.RETRIEVED)
    message.key_stamps = [moment.key_stamp for moment in retrieved]
