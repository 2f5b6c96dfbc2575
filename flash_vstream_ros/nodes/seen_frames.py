# SPDX-License-Identifier: Apache-2.0
"""Pictures of the frames that a memory shows, and where the camera was when it saw them."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.nodes.camera_poses import CameraPoses
from flash_vstream_ros.nodes.moments import Places
from flash_vstream_ros.nodes.times import ns_to_time
from flash_vstream_ros.replay.thumbnails import ThumbnailStore

_POSES = 'poses'
_POSE_VALUES = 9
_NO_POSES = torch.zeros(0, _POSE_VALUES, dtype=torch.float64)


class SeenFrames:
    """Thumbnails and poses by stamp, of a bounded number. Everything runs on the worker.

    :param poses: None: they are not recorded.
    """

    def __init__(self, geometry: MemoryGeometry, poses: CameraPoses | None) -> None:
        self._width = geometry.feature_width
        older = max(212, 4 * geometry.temporal_slots)
        self.thumbnails = ThumbnailStore(geometry.buffer_frames, older)
        self._poses = poses

    def add(
        self,
        frame: np.ndarray,
        stamp_ns: int,
        frame_id: str,
        feature: Tensor,
        read_memory: Callable[[], MemorySnapshot],
    ) -> None:
        """Keep a memorised frame; see :meth:`ThumbnailStore.add`.

        :param frame_id: of the camera.
        """
        self.thumbnails.add(stamp_ns, frame, feature, read_memory)
        if self._poses is not None:
            self._poses.want(frame_id, stamp_ns)

    def clear(self) -> None:
        """Forget all: another stream begins."""
        self.thumbnails.clear()
        if self._poses is not None:
            self._poses.clear()

    def places(self, snapshot: MemorySnapshot) -> Places:
        """Which frames show the memory, and where the camera was."""
        key_stamps_ns = [stamp or 0 for stamp in self.thumbnails.key_stamps_ns(snapshot)]
        key_stamps = [ns_to_time(stamp) for stamp in key_stamps_ns]
        if self._poses is None:
            return Places(key_stamps)
        self._poses.keep_only(self.thumbnails.stamps_ns)
        self._poses.look()
        retrieved_ns = snapshot.retrieved_stamps_ns.tolist()
        return Places(
            key_stamps,
            [self._poses.at(stamp) for stamp in key_stamps_ns],
            [self._poses.at(stamp) for stamp in retrieved_ns],
        )

    def attached(self) -> dict[str, Tensor]:
        """What is saved with a memory."""
        state = {name: torch.from_numpy(a) for name, a in self.thumbnails.state().items()}
        if self._poses is not None:
            table = torch.tensor(self._poses.table(), dtype=torch.float64)
            state[f'{_POSES} {self._poses.pose_frame}'] = table.reshape(-1, _POSE_VALUES)
        return state

    def restore(self, attached: Mapping[str, Tensor]) -> str:
        """Put back what was saved with a memory; what is no use is left out.

        :returns: why there are no pictures; empty where all is well.
        """
        self.clear()
        try:
            self._restore(attached)
        except ValueError as error:
            self.clear()
            return str(error)
        return ''

    def _restore(self, attached: Mapping[str, Tensor]) -> None:
        if not attached:
            return
        self.thumbnails.restore({n: t.numpy() for n, t in attached.items()}, self._width)
        if self._poses is not None:
            # Poses in another frame say nothing in this one.
            table = attached.get(f'{_POSES} {self._poses.pose_frame}', _NO_POSES)
            is_alike = table.dtype == _NO_POSES.dtype and table.shape[1:] == _NO_POSES.shape[1:]
            if not is_alike or not table.isfinite().all():
                raise ValueError(f'poses: expected (N, {_POSE_VALUES}) finite numbers of 64 bits')
            self._poses.restore(table.tolist())
