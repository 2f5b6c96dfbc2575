# SPDX-License-Identifier: Apache-2.0
"""Every tunable of the package, written once: default, meaning, unit, range.

What the model was trained with comes from the checkpoint (:class:`MemoryGeometry`); what belongs
to the robot is a field of one of the other dataclasses, from which the nodes declare their
parameters. YAML and launch files hold overrides only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any

from flash_vstream_ros.core.sampler import check_not_too_low
from flash_vstream_ros.core.tunables import check_tunables, is_server_url, tunable

FLOAT_TYPES = ('float32', 'bfloat16', 'float16')
QUANTIZATIONS = ('none', 'int8', 'nf4')
DECODINGS = ('plain', 'graph', 'compiled')


@dataclass(frozen=True)
class MemoryGeometry:
    """The sizes of a STAR memory, as the model was trained with them.

    A slot holds a square map of ``side`` x ``side`` patches, each ``feature_width`` (D) wide. The
    defaults are the paper's; a checkpoint's own come from :meth:`from_checkpoint_config`.
    ``temporal_half_life`` is in frames: after so many the weight of a frame in temporal memory has
    halved; 0, the paper's, lets all frames of a stream weigh the same.
    """

    feature_width: int
    feature_side: int = 16
    abstract_slots: int = 25
    abstract_side: int = 1
    temporal_slots: int = 25
    temporal_side: int = 4
    retrieved_slots: int = 3
    spatial_slots: int = 1
    detail_side: int = 8
    buffer_frames: int = 300
    update_ratio: float = 0.2
    temporal_half_life: float = 0.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type is int and (type(value) is not int or value < 1):
                raise ValueError(f'{item.name}: expected at least 1, got {value!r}')
        for name, whole in (('detail_side', 'feature_side'), ('temporal_side', 'detail_side')):
            if getattr(self, whole) % getattr(self, name):
                raise ValueError(
                    f'{name}: expected a divisor of {whole} = {getattr(self, whole)}, got '
                    f'{getattr(self, name)}'
                )
        self._check_parts()

    def _check_parts(self) -> None:
        if self.abstract_side != 1:
            raise ValueError(
                f'abstract_side: expected 1, got {self.abstract_side}; semantic attention is '
                f'defined on whole frames only (compress_Turing_memory_size)'
            )
        ratio = self.update_ratio
        if not isinstance(ratio, int | float) or not 0.0 < ratio <= 1.0:
            raise ValueError(f'update_ratio: expected 0 < ratio <= 1, got {ratio!r}')
        half_life = self.temporal_half_life
        if not isinstance(half_life, int | float) or not (half_life == 0 or 1 <= half_life < inf):
            raise ValueError(
                f'temporal_half_life: expected 0 (none) or at least 1 frame, got {half_life!r}'
            )
        if self.spatial_slots > self.buffer_frames:
            raise ValueError(
                f'spatial_slots: {self.spatial_slots} newest frames cannot come from a feature '
                f'buffer of {self.buffer_frames}'
            )

    @property
    def tokens(self) -> int:
        """Tokens of a full memory: 681 for the published checkpoint."""
        abstract = self.abstract_slots * self.abstract_side**2
        temporal = self.temporal_slots * self.temporal_side**2
        retrieved = min(self.retrieved_slots, self.temporal_slots)
        return abstract + temporal + (retrieved + self.spatial_slots) * self.detail_side**2

    @classmethod
    def from_checkpoint_config(
        cls, config: Mapping[str, Any], feature_side: int
    ) -> 'MemoryGeometry':
        """Read the sizes from the ``config.json`` of a checkpoint in the published layout.

        :param config: the parsed ``config.json``.
        :param feature_side: P, patches along a side of the encoder's feature map.
        :raises ValueError: a size is missing or impossible.
        """
        sizes = {name: config[key] for name, key in _PUBLISHED_NAMES.items() if key in config}
        missing = [k for n, k in _PUBLISHED_NAMES.items() if k not in config and n in _REQUIRED]
        if missing:
            raise ValueError(f'config.json: expected the memory sizes {missing}, found none')
        return cls(feature_side=feature_side, **sizes)


# Ours -> the published config.json. The published code has no name for the last three: the number
# of retrieved frames is fixed at 3 there, the feature buffer is never cut, and no weight fades.
_PUBLISHED_NAMES = {
    'feature_width': 'mm_hidden_size',
    'abstract_slots': 'video_Turing_memory_length',
    'abstract_side': 'compress_Turing_memory_size',
    'temporal_slots': 'video_long_memory_length',
    'temporal_side': 'compress_long_memory_size',
    'spatial_slots': 'video_current_memory_length',
    'detail_side': 'compress_size',
    'update_ratio': 'compress_Turing_update_ratio',
    'retrieved_slots': 'video_retrieved_memory_length',
    'buffer_frames': 'video_feature_buffer_length',
    'temporal_half_life': 'video_long_memory_half_life',
}
_REQUIRED = set(_PUBLISHED_NAMES) - {'retrieved_slots', 'buffer_frames', 'temporal_half_life'}


@dataclass(frozen=True)
class FrameHandlerConfig:
    """What a robot sets on its frame handler."""

    model: str = tunable('', 'checkpoint: a folder in the published layout, or a hub id')
    device: str = tunable('auto', 'torch device of the encoder, as cuda:0; auto: CUDA if present')
    dtype: str = tunable(
        'auto',
        'type of the encoder; auto: float16 on CUDA, float32 on the CPU',
        choices=('auto', *FLOAT_TYPES),
    )
    cuda_graphs: bool = tunable(
        False, 'capture encoder passes and writes of the memory as CUDA graphs, on a GPU'
    )
    sample_rate: float = tunable(
        1.0,
        'frames memorised per second of stamp time; 0: all of them. The published model was '
        'trained at 1',
        unit='Hz',
        minimum=0.0,
        maximum=1000.0,
    )
    still_threshold: float = tunable(
        0.0,
        'a frame no part of which differs by more from the one encoded last is memorised as that '
        'one again, without the encoder; 0: all are encoded',
        unit='grey levels',
        minimum=0.0,
        maximum=255.0,
    )
    image_transport: str = tunable(
        'raw',
        'raw: subscribe image; compressed: subscribe image/compressed',
        choices=('raw', 'compressed'),
    )
    image_reliability: str = tunable(
        'auto',
        'reliability asked of the camera; auto: reliable if all its publishers offer it',
        choices=('auto', 'reliable', 'best_effort'),
    )
    publish_rate: float = tunable(
        10.0, 'memories published per second at most', unit='Hz', minimum=0.01, maximum=1000.0
    )
    enabled: bool = tunable(True, 'take images from the start; set_enabled changes it')
    silence_timeout: float = tunable(
        3.0,
        'seconds without an image after which the node says what is wrong',
        unit='s',
        minimum=0.1,
        maximum=3600.0,
    )
    pose_frame: str = tunable(
        '',
        'TF frame, as map, in which it is remembered where the camera was; empty: it is not',
    )
    autostart: bool = tunable(
        True, 'configure and activate by itself; false: a lifecycle manager does'
    )
    memory_folder: str = tunable('', 'folder of saved memories; empty: none can be saved')
    autosave_minutes: float = tunable(
        0.0,
        'minutes between two savings of a memory that has changed; 0: never',
        unit='min',
        minimum=0.0,
        maximum=1e5,
    )
    save_at_shutdown: bool = tunable(False, 'save the memory when the node ends')
    restore_at_start: bool = tunable(False, 'begin with the memory saved last')

    def __post_init__(self) -> None:
        check_tunables(self)
        for name in ('autosave_minutes', 'save_at_shutdown', 'restore_at_start'):
            if getattr(self, name) and not self.memory_folder:
                raise ValueError(
                    f'memory_folder: expected a folder for {name}, got nothing; name one, or '
                    f'leave {name} off'
                )
        check_not_too_low(self.sample_rate)


@dataclass(frozen=True)
class QuestionHandlerConfig:
    """What a robot sets on its question handler."""

    model: str = tunable('', 'checkpoint: a folder in the published layout, or a hub id')
    device: str = tunable(
        'auto', 'torch device of the language model, as cuda:0; auto: CUDA if present'
    )
    dtype: str = tunable(
        'auto',
        'type of the language model; auto: float16 on CUDA, float32 on the CPU',
        choices=('auto', *FLOAT_TYPES),
    )
    quantization: str = tunable(
        'none',
        'of the weights of the language model: int8 or nf4 (4 bits) take less memory; needs '
        'bitsandbytes',
        choices=QUANTIZATIONS,
    )
    decoder_url: str = tunable(
        '',
        'of a server that has the language model, as http://host:8000/v1; empty: it is here',
    )
    decoder_model: str = tunable(
        '', 'name of the language model on that server; empty: the first it has'
    )
    memories: tuple[str, ...] = tunable(
        ('memory',), 'topics of the memories to answer from; the first is the default'
    )
    max_new_tokens: int = tunable(
        128, 'tokens of an answer at most, where the request names none', minimum=1, maximum=4096
    )
    queue_size: int = tunable(
        8,
        'questions waiting behind those being answered; one more is told BUSY',
        minimum=1,
        maximum=1000,
    )
    batch_size: int = tunable(
        8, 'questions answered at once, a token of each in a pass', minimum=1, maximum=64
    )
    decoding: str = tunable(
        'plain',
        'how those passes are run; graph: captured as CUDA graphs; compiled: by torch.compile, '
        'which takes a minute or more at the first start',
        choices=DECODINGS,
    )
    default_timeout: float = tunable(
        30.0,
        'seconds for waiting and answering, where the request names none',
        unit='s',
        minimum=0.01,
        maximum=86400.0,
    )
    stale_after: float = tunable(
        5.0,
        'seconds without a new memory, or three usual intervals, after which answers are stale',
        unit='s',
        minimum=0.1,
        maximum=86400.0,
    )
    prefill_share: float = tunable(
        0.25,
        'share of the time at most that goes into reading new memories before anybody asks, while '
        'no question waits; 0: they are read when somebody asks',
        minimum=0.0,
        maximum=1.0,
    )
    temperature: float = tunable(
        0.0, 'sampling temperature; 0: the most probable token each time', minimum=0.0, maximum=5.0
    )
    top_p: float = tunable(
        1.0,
        'probability mass sampled from, where temperature is above 0',
        minimum=0.01,
        maximum=1.0,
    )
    seed: int = tunable(
        0, 'seed of the sampling, where temperature is above 0', minimum=0, maximum=2**31 - 1
    )
    autostart: bool = tunable(
        True, 'configure and activate by itself; false: a lifecycle manager does'
    )

    def __post_init__(self) -> None:
        check_tunables(self)
        for name, local in (('quantization', 'none'), ('decoding', 'plain')):
            if self.decoder_url and getattr(self, name) != local:
                raise ValueError(
                    f'{name}: expected {local} with decoder_url, whose server has the weights, '
                    f'got {getattr(self, name)!r}'
                )
        if self.decoder_model and not self.decoder_url:
            raise ValueError('decoder_url: expected a server for decoder_model, got none')
        if self.decoder_url and not is_server_url(self.decoder_url):
            raise ValueError(
                f'decoder_url: expected http://HOST:PORT/v1 or https://..., got '
                f'{self.decoder_url!r}'
            )
