# SPDX-License-Identifier: Apache-2.0
"""Images of several cameras on one topic, which one memory would mix up. No ROS."""

from collections.abc import Iterable

from flash_vstream_ros.core.quoting import quote

APART = (
    'start one frame handler for each camera (launch file: '
    "cameras:='front=/front/image rear=/rear/image')"
)
RECENT_S = 30.0  # a frame_id that comes back within so long alternates with those in between
MOST = 16  # frame_ids that are remembered


class FrameIds:
    """The frame_ids of the images of one topic, by which several cameras are told from one.

    A camera that starts anew with another frame_id is still one; one whose frame_id comes back
    after another one's is not.
    """

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}  # when each of them came last
        self._newest: str | None = None
        self._alternated = float('-inf')

    def note(self, frame_id: str, now: float) -> None:
        """Take one in.

        :param now: seconds, by a clock that never goes back.
        """
        if frame_id != self._newest:
            if now - self._heard.get(frame_id, float('-inf')) < RECENT_S:
                self._alternated = now
            elif len(self._heard) >= MOST:
                self._heard.clear()
        self._heard[frame_id] = now
        self._newest = frame_id

    def alternating(self, now: float) -> list[str]:
        """Those that take turns, sorted; nothing where all images are of one camera."""
        if now - self._alternated >= RECENT_S:
            return []
        return sorted(name for name, then in self._heard.items() if now - then < RECENT_S)


def say_publishers(topic: str, nodes: Iterable[str]) -> str:
    """Say that several publish images on one topic; nothing where at most one does.

    :param nodes: name in full of the node of each of them, twice of a node with two.
    """
    names = sorted(nodes)
    if len(names) < 2:
        return ''
    return (
        f'{len(names)} publish images on {topic}, all into one memory: {", ".join(names)} (one '
        'that was killed is counted for some 20 s more)'
    )


def say_frame_ids(topic: str, frame_ids: Iterable[str]) -> str:
    """Say that the images of a topic are of several frame_ids in turn; nothing where they are not.

    :param frame_ids: those that take turns.
    """
    names = sorted(frame_ids)
    if not names:
        return ''
    return f'the images of {topic} are of several cameras in turn, by frame_id: {quote(names)}'
