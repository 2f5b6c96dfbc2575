# SPDX-License-Identifier: Apache-2.0
"""The service ``~/get_key_frames``: what the memory holds, to look at."""

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage

from flash_vstream_ros.msg import KeyFrame, MemoryMoment
from flash_vstream_ros.nodes.live_memory import LiveMemory, Shown
from flash_vstream_ros.nodes.moments import moments_of
from flash_vstream_ros.nodes.running import Worker
from flash_vstream_ros.nodes.times import fault_of_stretch, time_to_ns
from flash_vstream_ros.srv import GetKeyFrames


class KeyFrames:
    """Serves the pictures of what a memory holds.

    :param live: the memory.
    :param worker: where everything that touches it runs.
    """

    def __init__(self, node: Node, live: LiveMemory, worker: Worker) -> None:
        self._live = live
        self._worker = worker
        group = ReentrantCallbackGroup()  # it awaits the worker
        node.create_service(GetKeyFrames, '~/get_key_frames', self._serve, callback_group=group)

    async def _serve(
        self, request: GetKeyFrames.Request, response: GetKeyFrames.Response
    ) -> GetKeyFrames.Response:
        from_ns, to_ns = time_to_ns(request.from_stamp), time_to_ns(request.to_stamp)
        response.message = fault_of_stretch(from_ns, to_ns)
        if response.message:
            return response
        try:
            shown = await self._worker.run(self._live.show)
        except RuntimeError as error:  # of the device, or at shutdown
            response.message = f'not read: {error}'
            return response
        response.success = True
        response.memory_id = shown.snapshot.memory_id
        response.frames_written = shown.snapshot.frames_written
        frames = _key_frames(shown, moments_of(shown.snapshot, shown.places, from_ns, to_ns))
        response.key_frames = frames[-request.max_frames :] if request.max_frames else frames
        return response


def _key_frames(shown: Shown, moments: list[MemoryMoment]) -> list[KeyFrame]:
    """Those that a picture is kept of, in order of its stamp."""
    found = []
    for moment in sorted(moments, key=lambda m: time_to_ns(m.key_stamp)):
        jpeg = shown.thumbnails.jpeg(time_to_ns(moment.key_stamp))
        if jpeg is not None:
            image = CompressedImage(format='jpeg', data=jpeg)
            image.header.stamp = moment.key_stamp
            image.header.frame_id = shown.frame_id
            found.append(KeyFrame(moment=moment, image=image))
    return found
