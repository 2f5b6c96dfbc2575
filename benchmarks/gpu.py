# SPDX-License-Identifier: Apache-2.0
"""The whole model at full size with random weights, on a machine with a GPU; needs no ROS.

python3 benchmarks/gpu.py                                   # 7B, bfloat16, 24 GiB of GPU memory
python3 benchmarks/gpu.py --quantization nf4                # its layers in 4 bits
python3 benchmarks/gpu.py --device cpu --size tiny --quick  # does it run at all?
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __name__ == '__main__':
    # The benchmarks are no installed package. At the end, so that an installed one comes first.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import nn
from tqdm import trange

from benchmarks.answers import NS_PER_S, PLACES, QUESTIONS, filled_memory
from benchmarks.decoding import measure_decoding
from benchmarks.floors import Rates, encoder_operations, parameter_bytes
from benchmarks.gpu_answers import AnswerBench
from benchmarks.gpu_targets import PEAK_GB, with_targets
from benchmarks.machine import describe_machine
from benchmarks.measure import Figure, interleave, milliseconds, wait_for
from benchmarks.report import table, write_report
from flash_vstream_ros.core.config import FLOAT_TYPES
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.quantization import check_quantization, quantized_linear
from flash_vstream_ros.core.random_checkpoint import SIZES, random_vstream
from flash_vstream_ros.core.star_memory import StarMemory

RESULTS = Path(__file__).resolve().parent / 'results'
FRAME_SHAPE = (720, 1280, 3)
BATCH = 32
NEW_TOKENS = 64
YOUNG_FRAMES = 100
# Side of the matrices and bytes of the copy: large enough for the best rate of each device.
RATE_SIZES = {'cuda': (8192, 2**31), 'cpu': (1024, 2**27)}


@dataclass(frozen=True)
class Bench:
    """One model on one device, and how often things are timed."""

    vstream: FlashVStream
    dtype: torch.dtype
    rates: Rates
    rounds: int

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.vstream.device

    def measure_perception(self) -> list[Figure]:
        """Encoding and writing of 1280 x 720 frames that lie in the host's memory."""
        vstream, memory = self.vstream, filled_memory(self.vstream)
        rng = np.random.default_rng(0)
        frames = rng.integers(0, 256, (BATCH, *FRAME_SHAPE), dtype=np.uint8)
        contenders = {
            'resize one frame': lambda: vstream.encoder.preprocess(frames[0]),
            'encode one frame': lambda: vstream.encode(frames[:1]),
            'encode and write one frame': lambda: write_frames(vstream, memory, frames[:1]),
            f'encode {BATCH} frames': lambda: vstream.encode(frames),
            f'encode and write {BATCH} frames': lambda: write_frames(vstream, memory, frames),
        }
        seconds = interleave(contenders, self.rounds, device=self.device)
        figures = [
            milliseconds(name, seconds[name], floor=self._encoding_floor_ms(count))
            for name, count in zip(contenders, (0, 1, 1, BATCH, BATCH), strict=True)
        ]
        for figure, count in ((figures[2], 1), (figures[4], BATCH)):
            rate = 1e3 * count / figure.value
            best = 1e3 * count / figure.floor
            figures.append(
                Figure(f'encode and write, batch {count}', rate, 'frames/s', floor=best)
            )
        return figures

    def _encoding_floor_ms(self, frames: int) -> float | None:
        if not frames:
            return None
        encoder, config = self.vstream.encoder, self.vstream.config.vision
        operations = frames * encoder_operations(config, encoder.tower.config.num_hidden_layers)
        return self.rates.floor_ms(operations, parameter_bytes(encoder))

    def measure_memory(self) -> list[Figure]:
        """Writing and reading of features that are on the device."""
        memory = filled_memory(self.vstream)
        side, width = memory.geometry.feature_side, memory.geometry.feature_width
        feature = torch.randn(side, side, width, device=self.device, dtype=self.dtype)

        def write() -> None:
            memory.write(feature, memory.newest_stamp_ns + NS_PER_S)

        contenders = {'write': write, 'read': memory.snapshot}
        seconds = interleave(contenders, 5 * self.rounds, device=self.device)
        # Each compares a frame with all: a write twice with the centroids, a read with the buffer.
        write_bytes = 2 * memory.temporal.centroids.nbytes
        floors = [self.rates.floor_ms(0, b) for b in (write_bytes, memory.buffer.coarse.nbytes)]
        host = np.array([self._host_seconds(write) for _ in range(5 * self.rounds)])
        return [
            milliseconds('memory: write, waited for', seconds['write'], floor=floors[0]),
            milliseconds('memory: write, time of the host alone', host),
            milliseconds('memory: read', seconds['read'], floor=floors[1]),
        ]

    def _host_seconds(self, write: Callable[[], None]) -> float:
        """How long a write keeps its caller that does not wait for the device."""
        wait_for(self.device)
        started = time.perf_counter()
        write()
        return time.perf_counter() - started

    def measure_answers(self, decoding: str) -> list[Figure]:
        """Answers whose passes are run in one way.

        :param decoding: of :meth:`FlashVStream.new_batch`.
        """
        bench = AnswerBench(self.vstream, self.dtype, self.rates, self.rounds, NEW_TOKENS)
        return bench.measure(self.vstream.new_batch(len(PLACES), decoding))

    def measure_decoding(self) -> list[Figure]:
        """Plain passes, captured and compiled ones, and transformers' own loop."""
        return [
            figure
            for kind in self._kinds()
            for figure in measure_decoding(
                self.vstream,
                self.vstream.new_batch(len(PLACES), kind),
                kind,
                self.rounds,
                NEW_TOKENS,
            )
        ]

    def _kinds(self) -> Sequence[str]:
        return ('graph', 'compiled') if self.device.type == 'cuda' else ('compiled',)

    def measure_peaks(self, frames: int) -> list[Figure]:
        """Peak of the allocated GPU memory, frames and one answer included, as the memory ages."""
        vstream, memory = self.vstream, self.vstream.new_memory()
        frame = np.random.default_rng(1).integers(0, 256, (1, *FRAME_SHAPE), dtype=np.uint8)
        modules = (vstream.encoder, vstream.attention, vstream.projector, vstream.language_model)
        needed = sum(map(parameter_bytes, modules)) + sum(b.nbytes for b in memory.buffers())
        peaks = {}
        for age in (min(YOUNG_FRAMES, frames), frames):
            torch.cuda.reset_peak_memory_stats(self.device)
            for _ in trange(memory.frames_written, age, unit='frame', leave=False, disable=None):
                write_frames(vstream, memory, frame)
            vstream.answer(memory.snapshot(), QUESTIONS[0], max_new_tokens=NEW_TOKENS)
            peaks[age] = torch.cuda.max_memory_allocated(self.device)
        return [
            Figure(f'peak GPU memory at frame {age:,}', peak / 1e9, 'GB', floor=needed / 1e9)
            for age, peak in peaks.items()
        ]


def write_frames(vstream: FlashVStream, memory: StarMemory, frames: np.ndarray) -> None:
    """Encode frames at once and write them one by one, a second apart."""
    for feature in vstream.encode(frames):
        memory.write(feature, memory.newest_stamp_ns + NS_PER_S)


def in_fewer_bits(vstream: FlashVStream, quantization: str) -> FlashVStream:
    """Quantize the layers of a model's language model in place, one by one."""
    for owner in list(vstream.language_model.llama.model.layers.modules()):
        for name, layer in list(owner.named_children()):
            if isinstance(layer, nn.Linear):
                weight = layer.weight.detach().cpu()
                small = quantized_linear(weight, layer.bias, quantization, vstream.device)
                setattr(owner, name, small)
    return vstream


def measure(
    device: torch.device,
    dtype: torch.dtype,
    size: str,
    frames: int,
    rounds: int,
    quantization: str = 'none',
) -> list[Figure]:
    """Measure all of it; peaks and what is captured on a GPU only.

    :param size: one of the sizes of random checkpoints.
    :param frames: age at the second look at the memory's peak.
    """
    rates = Rates.measured(device, dtype, *RATE_SIZES[device.type])
    started = time.perf_counter()
    vstream = random_vstream(size, device, dtype)
    if quantization != 'none':
        vstream = in_fewer_bits(vstream, quantization)
    bench = Bench(vstream, dtype, rates, rounds)
    wait_for(device)
    figures = [*rates.figures(), Figure('making the model', time.perf_counter() - started, 's')]
    figures += bench.measure_perception()
    figures += bench.measure_memory()
    figures += bench.measure_answers('plain')
    if device.type == 'cuda':  # before anything is captured, which takes room and keeps it
        figures += bench.measure_peaks(frames)
        vstream.encoder.captures = True
        captured = [*bench.measure_perception(), *bench.measure_memory()]
        figures += [replace(figure, name=f'{figure.name}, captured') for figure in captured]
        torch.cuda.reset_peak_memory_stats(device)
        figures += bench.measure_answers('graph')
        peak = torch.cuda.max_memory_allocated(device)
        figures.append(Figure('peak GPU memory with captured graphs', peak / 1e9, 'GB'))
    figures += bench.measure_decoding()
    is_published = device.type == 'cuda' and size == '7b'
    return with_targets(figures, quantization) if is_published else figures


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', choices=tuple(RATE_SIZES), default='cuda')
    parser.add_argument('--size', choices=SIZES, default='7b')
    parser.add_argument('--dtype', choices=FLOAT_TYPES, default='bfloat16')
    parser.add_argument('--quantization', choices=tuple(PEAK_GB), default='none')
    parser.add_argument('--frames', type=int, default=100_000, help='age of the old memory')
    parser.add_argument('--quick', action='store_true', help='few rounds; only printed')
    parser.add_argument('--out', type=Path, default=RESULTS, help='folder of the results')
    options = parser.parse_args()
    if options.device == 'cuda' and not torch.cuda.is_available():
        parser.error(
            '--device cuda: this machine has no CUDA device; try --device cpu --size tiny'
        )
    try:
        check_quantization(options.quantization)
    except ValueError as error:
        parser.error(f'--{error}')
    return options


def main() -> int:
    """Measure, print and keep."""
    options = parse_arguments()
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    machine = describe_machine(device)
    rounds, frames = (2, 200) if options.quick else (20, options.frames)
    figures = measure(device, dtype, options.size, frames, rounds, options.quantization)
    print(table(figures))
    if not options.quick:
        bits = '' if options.quantization == 'none' else f'-{options.quantization}'
        name = f'{options.device}-{options.size}-{options.dtype}{bits}'
        choices = ('device', 'size', 'dtype', 'quantization', 'frames')
        arguments = ' '.join(f'--{choice} {getattr(options, choice)}' for choice in choices)
        write_report(options.out, name, figures, machine, f'python3 benchmarks/gpu.py {arguments}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
