# SPDX-License-Identifier: Apache-2.0
"""Where a camera was, from TF."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from geometry_msgs.msg import Pose, PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from flash_vstream_ros.nodes.times import NS_PER_S, ns_to_time

CACHE_S = 30.0  # of stamp time that TF is kept, and of steady time that a pose is looked for
_PERIOD_S = 1.0  # memories may be rarer than TF forgets
_MOST_AWAITED = 1000


@dataclass(frozen=True)
class _Awaited:
    frame_id: str
    stamp_ns: int
    since: float  # time.monotonic()


class CameraPoses:
    """The poses of a camera at the stamps of its frames, as far as TF knows them.

    A localiser publishes its transform some time after the image it belongs to: a pose that is not
    known yet is looked for again.

    :param pose_frame: TF frame of the poses, as ``map``.
    :param submit: puts work at the end of the line of the worker that all else here runs on.
    :raises ValueError: ``tf2_ros`` is not installed.
    """

    def __init__(
        self, node: Node, pose_frame: str, submit: Callable[[Callable[[], None]], object]
    ) -> None:
        try:
            import tf2_ros
        except ImportError as error:
            raise ValueError(
                f'pose_frame: {pose_frame!r} needs the package tf2_ros_py, which is not installed '
                f'({error}): install it (apt install ros-$ROS_DISTRO-tf2-ros-py), or leave '
                f'pose_frame empty'
            ) from error
        self.pose_frame = pose_frame
        self._logger = node.get_logger()
        self._unknown = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=CACHE_S))
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._awaited: deque[_Awaited] = deque(maxlen=_MOST_AWAITED)
        self._known: dict[int, PoseStamped] = {}
        self._newest_ns = 0
        self._why_unknown = ''
        self._submit = submit
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(_PERIOD_S, self._look_again, clock=steady)

    def _look_again(self) -> None:
        if self._awaited:
            self._submit(self.look)

    def want(self, frame_id: str, stamp_ns: int) -> None:
        """Look for the pose of a camera at a stamp, now and for a while.

        :param frame_id: TF frame of the camera.
        """
        if stamp_ns < self._newest_ns:  # the clock jumped back: TF would refuse what comes now
            self._buffer.clear()
        self._newest_ns = stamp_ns
        self._awaited.append(_Awaited(frame_id, stamp_ns, time.monotonic()))

    def look(self) -> None:
        """Look for the poses that are not known yet."""
        awaited, self._awaited = self._awaited, deque(maxlen=_MOST_AWAITED)
        for wanted in awaited:
            if self._find(wanted):
                continue
            if time.monotonic() - wanted.since < CACHE_S:
                self._awaited.append(wanted)
            else:
                self._logger.warning(
                    f'the pose of the frame at {wanted.stamp_ns} ns is not known: '
                    f'{self._why_unknown}',
                    throttle_duration_sec=60.0,
                )

    def _find(self, wanted: _Awaited) -> bool:
        stamp = Time(nanoseconds=wanted.stamp_ns)
        try:
            found = self._buffer.lookup_transform(self.pose_frame, wanted.frame_id, stamp)
        except self._unknown as error:
            self._why_unknown = str(error)
            return False
        moved = found.transform
        pose = Pose(orientation=moved.rotation)
        for axis in ('x', 'y', 'z'):
            setattr(pose.position, axis, getattr(moved.translation, axis))
        self._known[wanted.stamp_ns] = _stamped(pose, wanted.stamp_ns, self.pose_frame)
        return True

    def at(self, stamp_ns: int) -> PoseStamped:
        """The pose at a stamp; where it is not known, ``frame_id`` is empty."""
        return self._known.get(stamp_ns) or _stamped(Pose(), stamp_ns, '')

    def keep_only(self, stamps_ns: list[int]) -> None:
        """Forget the poses of frames that are shown no more."""
        self._known = {s: self._known[s] for s in stamps_ns if s in self._known}

    def table(self) -> list[list[float]]:
        """All known poses to save: seconds and nanoseconds of the stamp, position, quaternion."""
        return [_row(pose) for pose in self._known.values()]

    def restore(self, table: list[list[float]]) -> None:
        """Put back what :meth:`table` gave, in place of what is known.

        :raises ValueError: a row whose stamp is none.
        """
        self.clear()
        for sec, nanosec, x, y, z, qx, qy, qz, qw in table:
            if not 0 <= nanosec < NS_PER_S:
                raise ValueError(f'poses: {nanosec} ns of a stamp: expected 0 to {NS_PER_S - 1}')
            pose = Pose()
            pose.position.x, pose.position.y, pose.position.z = x, y, z
            pose.orientation.x, pose.orientation.y = qx, qy
            pose.orientation.z, pose.orientation.w = qz, qw
            stamp_ns = int(sec) * NS_PER_S + int(nanosec)
            self._known[stamp_ns] = _stamped(pose, stamp_ns, self.pose_frame)

    def clear(self) -> None:
        """Forget all: another stream begins."""
        self._awaited.clear()
        self._known.clear()


def _stamped(pose: Pose, stamp_ns: int, frame_id: str) -> PoseStamped:
    stamped = PoseStamped(pose=pose)
    stamped.header.stamp = ns_to_time(stamp_ns)
    stamped.header.frame_id = frame_id
    return stamped


def _row(stamped: PoseStamped) -> list[float]:
    at, pose = stamped.header.stamp, stamped.pose
    position = [pose.position.x, pose.position.y, pose.position.z]
    turned = pose.orientation
    return [float(at.sec), float(at.nanosec), *position, turned.x, turned.y, turned.z, turned.w]
