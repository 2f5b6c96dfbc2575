# SPDX-License-Identifier: Apache-2.0
"""Features of a data folder's recordings, computed once: the job of the verb ``extract``."""

import argparse
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from flash_vstream_ros.core.checkpoint_files import resolve_folder
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.model_config import load_geometry
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.sampler import FAULTY_STAMPS
from flash_vstream_ros.core.snapshot import fits_float16
from flash_vstream_ros.core.star_memory import pool
from flash_vstream_ros.core.still_frames import StillFrames
from flash_vstream_ros.data.features import find_features, open_features, write_features
from flash_vstream_ros.data.recordings import ImageRecording, identity, list_recordings
from flash_vstream_ros.data.tower import tower_id
from flash_vstream_ros.replay.due_frames import DueFrames
from flash_vstream_ros.replay.read_ahead import read_ahead
from flash_vstream_ros.replay.recorded_frame import NS_PER_S, Recording
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.training.map_rows import MapRows
from flash_vstream_ros.training.perfect_features import PerfectEncoder, PerfectRecording
from flash_vstream_ros.training.run_folder import check_out_folder

logger = logging.getLogger(__name__)


def run_extract(arguments: argparse.Namespace) -> int:
    """Extract the features of a data folder.

    :param arguments: of the command line.
    :returns: exit status: 1 if a recording is missing or broken.
    :raises OSError: a file cannot be read, or the features not be written.
    :raises ValueError: the checkpoint or an argument is of no use.
    """
    recordings = list_recordings(arguments.data, arguments.images)
    folder = resolve_folder(arguments.model)
    encoder: FrameEncoder
    if arguments.perfect and arguments.still_threshold:
        raise ValueError('still_threshold: expected 0 with perfect features, which cost nothing')
    check_out_folder(arguments.out, '--out')
    if arguments.perfect:
        encoder, encoder_id = PerfectEncoder(load_geometry(folder)), ''
    else:
        encoder = FlashVStream.from_pretrained(
            folder, arguments.device, arguments.dtype, parts=('vision',)
        )
        encoder_id = tower_id(folder)
    extraction = Extraction(
        encoder,
        encoder_id,
        arguments.out,
        side=arguments.side,
        sample_rate=arguments.sample_rate,
        batch=arguments.batch,
        still_threshold=arguments.still_threshold,
        topic=arguments.topic or '',
    )

    def open_one(path: Path) -> Recording:
        if arguments.perfect:
            return PerfectRecording(path, encoder)
        return ImageRecording(path) if arguments.images else open_recording(path, arguments.topic)

    with logging_redirect_tqdm([logging.getLogger()]):
        extraction.run(recordings, open_one)
    logger.info('%s: %s', arguments.out, extraction.summary())
    return int(bool(extraction.failures))


class FrameEncoder(Protocol):
    """What makes features of frames. A ``FlashVStream`` is one."""

    geometry: MemoryGeometry

    def encode(self, frames: Sequence[np.ndarray]) -> Tensor:
        """Encode what recordings decode to, (B, P, P, D)."""


@dataclass(eq=False)
class _Stream:
    """A recording on its way through the encoder."""

    name: str
    recording: Recording
    source: str  # identity of what it is read from
    start_ns: int = 0
    waiting: int = 0  # frames that are not encoded yet
    is_read: bool = False
    fault: str = ''  # what is wrong with its features
    stamps_ns: list[int] = field(default_factory=list)
    maps: MapRows = field(default_factory=MapRows)


class Extraction:
    """Encodes recordings into feature files. A batch may hold frames of several recordings.

    :param encoder_id: of the encoder, written into each file; '': none that a checkpoint has.
    :param out: folder of the files.
    :param side: patches along a side of the stored maps; 0: the encoder's own.
    :param sample_rate: frames per second of stamp time; 0: all.
    :param batch: frames that are encoded at once.
    :param still_threshold: as the frame handler's: frames that show nothing new get the features
        of the one before.
    :param topic: of the bags' images, written into each file.
    :raises ValueError: the encoder's maps do not pool to this side.
    """

    def __init__(
        self,
        encoder: FrameEncoder,
        encoder_id: str,
        out: Path,
        *,
        side: int = 0,
        sample_rate: float = 1.0,
        batch: int = 32,
        still_threshold: float = 0.0,
        topic: str = '',
    ) -> None:
        own = encoder.geometry.feature_side
        self._side = side or own
        if self._side < 0 or own % self._side:
            raise ValueError(f'side: expected a divisor of {own}, the encoder has, got {side}')
        self._encoder = encoder
        self._out = out
        self._sample_rate = sample_rate
        self._batch = batch
        self._about = {'encoder_id': encoder_id, 'side': str(self._side)}
        self._width = encoder.geometry.feature_width
        self._about |= {'sample_rate': str(sample_rate), 'topic': topic}
        self._still_frames = StillFrames(still_threshold)
        if still_threshold:
            self._about['still_threshold'] = str(still_threshold)
        # Decoded, not encoded; None: shows nothing new.
        self._frames: list[tuple[_Stream, np.ndarray | None]] = []
        self._streams: deque[_Stream] = deque()  # not written
        self.failures: list[str] = []
        self._written = self._skipped = self._replaced = self._still = 0

    def run(self, recordings: Mapping[str, Path], open_one: Callable[[Path], Recording]) -> None:
        """Extract all that has not been extracted yet; what is broken is said and passed over.

        :param recordings: path by name.
        :raises OSError: a file of features cannot be written.
        """
        self._out.mkdir(parents=True, exist_ok=True)
        # Shown on a terminal only.
        for name, path in tqdm(recordings.items(), unit='recording', disable=None):
            try:
                source = identity(Path(path))
                if self._is_done(find_features(self._out, name), source):
                    self._skipped += 1
                    continue
                stream = _Stream(name, open_one(path), source)
            except (OSError, ValueError) as error:
                self._fail(str(error))
                continue
            self._read(stream)
        self._encode()

    def summary(self) -> str:
        """One line for a person."""
        parts = [f'{self._written} recordings extracted']
        parts += [f'{self._skipped} were there already'] * bool(self._skipped)
        replaced = f'{self._replaced} replaced: they were of another recording'
        parts += [replaced] * bool(self._replaced)
        parts += [f'{self._still} frames showed nothing new'] * bool(self._still_frames.threshold)
        parts += [f'{len(self.failures)} missing or broken'] * bool(self.failures)
        return ', '.join(parts)

    def _is_done(self, path: Path, source: str) -> bool:
        try:
            there = open_features(path)
        except (FileNotFoundError, ValueError):
            return False
        if there.width != self._width:
            return False
        if bool(self._still_frames.threshold) != ('still_threshold' in there.about):
            return False
        # Files of an earlier version do not say where they come from.
        known = {'topic': self._about['topic'], 'source': source} | there.about
        return all(known.get(k) == v for k, v in (self._about | {'source': source}).items())

    def _is_of_another(self, path: Path, source: str) -> bool:
        """Whether features that lie there are known to be of another recording."""
        try:
            return open_features(path).about.get('source', source) != source
        except (FileNotFoundError, ValueError):
            return False

    def _fail(self, reason: str) -> None:
        self.failures.append(reason)
        logger.error('%s', reason)

    def _read(self, stream: _Stream) -> None:
        self._streams.append(stream)
        try:
            self._sample(stream)
        except (OSError, ValueError) as error:
            self._give_up(stream, str(error))
            return
        stream.is_read = True
        if stream.recording.ended_early:
            self._give_up(stream, stream.recording.ended_early)
        elif not stream.stamps_ns:
            self._give_up(stream, f'{stream.recording.path}: no frame of it can be used')
        else:
            self._write_finished()

    def _sample(self, stream: _Stream) -> None:
        self._still_frames.forget()
        due = DueFrames(self._sample_rate)
        for frame in read_ahead(due.of(stream.recording), self._batch):
            if frame.begins_stream:
                raise ValueError(
                    f'{stream.recording.path}: its stamps jump back to {frame.stamp_ns}; split it '
                    f'there into two recordings'
                )
            stream.start_ns = frame.zero_ns
            if frame.pixels is None:
                logger.warning('%s; the frame is left out', frame.fault)
                continue
            is_still = self._still_frames.shows_nothing_new(frame.pixels)
            self._add(stream, None if is_still else frame.pixels, frame.stamp_ns)
        dropped = [f'{n} {d.value}' for d, n in due.counts.items() if n and d in FAULTY_STAMPS]
        if dropped:
            logger.warning('%s: frames left out: %s', stream.recording.path, ', '.join(dropped))

    def _add(self, stream: _Stream, pixels: np.ndarray | None, stamp_ns: int) -> None:
        stream.stamps_ns.append(stamp_ns)
        stream.waiting += 1
        self._frames.append((stream, pixels))
        if len(self._frames) >= self._batch:
            self._encode()
        if stream.fault:
            raise ValueError(stream.fault)

    def _give_up(self, stream: _Stream, reason: str) -> None:
        self._streams.remove(stream)
        self._frames = [item for item in self._frames if item[0] is not stream]
        self._fail(reason)

    def _encode(self) -> None:
        new = [pixels for _, pixels in self._frames if pixels is not None]
        pooled: Iterator[Tensor] = iter(())
        if new:
            pooled = iter(pool(self._encoder.encode(new).float(), self._side).cpu())  # (N, D) each
        for stream, pixels in self._frames:
            feature = stream.maps.last if pixels is None else next(pooled)
            if not fits_float16(feature):
                stream.fault = f'{stream.recording.path}: its features do not fit float16'
            stream.maps.append(feature.half())
            stream.waiting -= 1
            self._still += pixels is None
        self._frames.clear()
        self._write_finished()

    def _write_finished(self) -> None:
        while self._streams and self._streams[0].is_read and not self._streams[0].waiting:
            stream = self._streams.popleft()
            if stream.fault:
                self._fail(stream.fault)
                continue
            about = self._about | {'start_ns': str(stream.start_ns), 'source': stream.source}
            if stream.recording.duration_ns:
                about['duration'] = str(stream.recording.duration_ns / NS_PER_S)
            path = find_features(self._out, stream.name)
            self._replaced += self._is_of_another(path, stream.source)
            write_features(path, stream.maps.together(), stream.stamps_ns, about)
            self._written += 1
