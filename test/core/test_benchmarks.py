# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run at toy size, and what they compare with computes the right thing."""

import json
import socket

import numpy as np
import pytest
import torch
from benchmark_modules import (
    ages,
    answers,
    decoding,
    floors,
    loading,
    machine,
    measure,
    memory,
    quantization,
    replaying,
    report,
)
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from flash_vstream_ros.core import static_passes
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.random_checkpoint import random_vstream

CPU = torch.device('cpu')
TOY = MemoryGeometry(
    feature_width=6, feature_side=4, abstract_slots=3, temporal_slots=4, temporal_side=2,
    detail_side=4, buffer_frames=8,
)  # fmt: skip


@pytest.fixture(scope='module')
def vstream():
    return random_vstream('tiny', CPU, torch.float32)


@pytest.fixture(scope='module')
def rates():
    return floors.Rates.measured(CPU, torch.float32, side=8, size=1000)


def test_the_copied_buffer_holds_the_newest_frames():
    frames = torch.arange(5.0).view(5, 1, 1, 1)
    buffer = memory.CopiedBuffer(3, frames[0])
    for frame in frames:
        buffer.write(frame)
    assert buffer.frames.flatten().tolist() == [2, 3, 4]


def test_contenders_take_turns_and_warm_up_is_not_timed():
    calls = []
    seconds = measure.interleave(
        {'a': lambda: calls.append('a'), 'b': lambda: calls.append('b')}, rounds=2, warm_up=1
    )
    assert calls == ['a', 'b'] * 3
    assert {name: len(times) for name, times in seconds.items()} == {'a': 2, 'b': 2}


def test_a_figure_is_the_median_and_knows_whether_its_target_is_met():
    seconds = np.array([1.0, 2.0, 9.0]) / 1e3
    figure = measure.milliseconds('x', seconds, at_most=2.0)
    assert figure.value == pytest.approx(2.0)
    assert figure.met
    assert not measure.milliseconds('x', seconds, at_most=1.9).met
    assert measure.milliseconds('x', seconds).met is None
    assert not measure.ratio('x', 3 * seconds, seconds, at_least=3.5).met


def test_resident_memory_sees_what_is_held_and_what_is_given_back():
    before = measure.resident_bytes()
    held = np.ones(64_000_000, dtype=np.uint8)
    assert measure.resident_bytes() - before > 60e6
    del held
    assert measure.resident_bytes() - before < 4e6


def test_a_missed_target_shows_in_the_table_and_empty_columns_do_not():
    figures = [measure.Figure('slow', 5.0, 'ms', at_most=4.0), measure.Figure('plain', 1.0, 'ms')]
    table = report.table(figures)
    assert '**missed**' in table.splitlines()[2]
    assert 'floor' not in table


def test_a_report_names_the_machine_but_neither_host_nor_paths(tmp_path, repository):
    figures = [measure.Figure('size', 1234.0, 'MB')]
    report.write_report(tmp_path, 'toy', figures, machine.describe_machine(), 'make bench')
    text = (tmp_path / 'toy.json').read_text() + (tmp_path / 'toy.md').read_text()
    content = json.loads((tmp_path / 'toy.json').read_text())
    assert content['figures'] == [{'name': 'size', 'value': 1234.0, 'unit': 'MB'}]
    assert '1,234 MB' in text
    assert 'cores' in content['machine']['CPU']
    for private in (socket.gethostname(), str(repository), str(tmp_path)):
        assert private not in text


def test_the_memory_benchmark_runs(monkeypatch):
    monkeypatch.setattr(memory, 'YOUNG_FRAMES', 10)
    figures = memory.measure(frames=30, quick=True, geometry=TOY)
    by_name = {figure.name: figure for figure in figures}
    assert len(by_name) == len(figures)
    assert by_name['write at frame 30'].value > 0
    assert by_name['read at frame 30 / at frame 10'].at_most == 1.1
    assert all(f.value > 0 for f in figures if f.unit in ('ms', 'times'))


def test_the_old_memory_is_as_old_as_it_says():
    stream = memory.Stream(TOY)
    stream.write_until(13)
    stream.write_until(21)
    assert stream.memory.frames_written == 21


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_benchmark_of_ages_runs_and_misses_no_frame(threads, monkeypatch):
    monkeypatch.setattr(ages, 'SAMPLES', 3)  # each collects garbage, of all the tests here
    figures = {figure.name: figure for figure in ages.measure(60, TOY)}
    assert figures['core: of 68 frames lost or weighed wrong'].met
    assert figures['core: most that it grew by afterwards'].at_most == 10


def test_growth_slowing_down_and_lost_frames_show_in_the_figures():
    seconds = np.concatenate([np.ones(60), 2 * np.ones(50)])
    figures = ages.describe('x', seconds, [100.0, 120.0, 90.0], warm_up=10)
    missed = {figure.name: figure.value for figure in figures if figure.met is False}
    assert missed == {
        'x: last tenth / first tenth': 2.0,
        'x: most that it grew by afterwards': 20.0,
    }
    assert ages.lost('x', 10, 9, [5, 4]).value == 1
    assert ages.lost('x', 10, 10, [5, 4]).value == 1
    assert ages.lost('x', 10, 10, [5, 5]).met


def test_the_answers_benchmark_runs():
    figures = answers.measure_size('tiny', rounds=1, max_new_tokens=3)
    together = ['ms', 'ms', 'times', 'answers']
    units = ['ms', 'ms', 'times', 'tokens/s', 'ms', 'ms', 'times', *together]
    assert [figure.unit for figure in figures] == units
    assert all(figure.value > 0 for figure in figures[:-1])
    assert figures[-1].value == 0, 'what is said at once is what is said one by one'


def test_the_decoding_benchmark_compares_what_says_the_same(vstream, monkeypatch):
    """With passes of a fixed form as they are: that they are compiled is another test's."""
    monkeypatch.setattr(static_passes, 'compiled', lambda plain: plain)
    figures = decoding.measure_size('tiny', rounds=1, tokens=4)
    units = ['s', 's', 'ms', 'ms', 'ms', 'times', 'times', 'times', 'ms', 'ms', 'times']
    assert [figure.unit for figure in figures] == [*units, 'answers']
    assert all(figure.value > 0 for figure in figures[:-1])
    assert figures[-1].value == 0, 'plain passes and those of a fixed form say the same'
    snapshot = answers.filled_memory(vstream).snapshot()
    ours = decoding._speak(vstream, vstream.new_batch(), snapshot, ['What is it?'], 5)
    assert decoding._generate(vstream, snapshot, 'What is it?', 5) == ours


def test_answers_after_streams_of_any_length_are_compared():
    figures = answers.measure_ages(oldest=40, quick=True)
    assert [figure.name for figure in figures] == [
        'answer after 25 frames', 'answer after 40 frames', 'slowest / quickest'
    ]  # fmt: skip
    assert all(figure.value > 0 for figure in figures)


def test_the_loading_benchmark_reads_all_of_a_checkpoint(monkeypatch):
    loaded = []
    load = loading.load
    monkeypatch.setattr(loading, 'load', lambda *a: loaded.append(a[2]) or load(*a))
    figures = loading.measure(quick=True, size='tiny')
    assert [figure.unit for figure in figures] == ['ms', 'ms', 'times', 'ms', 'times']
    assert set(loaded) == {'float32', 'bfloat16'}


def test_the_quantization_benchmark_shows_smaller_layers():
    pytest.importorskip('bitsandbytes')
    figures = quantization.measure(quick=True, size='tiny')
    sizes = [figure.value for figure in figures if figure.unit == 'MB']
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] / sizes[1] == pytest.approx(2.0)


def test_replaying_replays_every_frame_in_every_way(tmp_path, vstream, monkeypatch):
    video = tmp_path / 'video.mp4'
    replaying.write_video(video, frames=5)
    encoded = []
    encode = vstream.encode
    monkeypatch.setattr(
        vstream, 'encode', lambda frames: encoded.append(len(frames)) or encode(frames)
    )
    replaying.replay(vstream, video, batch=2)
    replaying.in_turn(vstream, video)
    replaying.encode(vstream, [np.zeros((8, 8, 3), np.uint8)] * 5, batch=4)
    assert encoded == [2, 2, 1] + [1] * 5 + [4, 1]


def test_replaying_measures(tmp_path, monkeypatch):
    monkeypatch.setattr(replaying, 'WIDTH', 64)
    monkeypatch.setattr(replaying, 'HEIGHT', 48)
    figures = replaying.measure(quick=True, sizes=('tiny',))
    assert [figure.unit for figure in figures] == ['ms'] * 4 + ['times'] * 2
    assert all(figure.value > 0 for figure in figures)


def count_operations(compute):
    # Torch counts matrix products, not the fused attention of a CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops()


def test_operations_of_the_encoder_are_those_that_torch_counts(vstream):
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    counted = count_operations(lambda: vstream.encode(frame))
    layers = vstream.encoder.tower.config.num_hidden_layers
    assert floors.encoder_operations(vstream.config.vision, layers) == pytest.approx(counted)


def test_operations_of_a_prefill_are_those_that_torch_counts(vstream):
    config, model, tokens = vstream.config.language, vstream.language_model, 20
    embeddings = model.embed([5] * tokens)
    counted = count_operations(lambda: model.prefill_prefix(embeddings))
    # Torch counts the half of the attention that the causal mask removes.
    masked = tokens * (tokens - 1) / 2 * 4 * config.hidden_size * config.num_hidden_layers
    assert floors.prefill_operations(config, tokens) + masked == pytest.approx(counted)


def test_a_prefill_in_two_steps_has_the_operations_of_one(vstream):
    config = vstream.config.language
    two_steps = floors.prefill_operations(config, 7) + floors.prefill_operations(config, 5, past=7)
    assert two_steps == pytest.approx(floors.prefill_operations(config, 12))


def test_bytes_of_the_cache_are_those_of_a_prefix(vstream):
    prefix = vstream.language_model.prefill_prefix(vstream.language_model.embed([5] * 9))
    held = sum(keys.nbytes + values.nbytes for keys, values in prefix.layers)
    assert floors.cache_bytes(vstream.config.language, 9, torch.float32) == held


def test_a_floor_is_the_larger_of_arithmetic_and_memory():
    rates = floors.Rates(operations=1000.0, bytes=10.0)
    assert rates.floor_ms(500, 1) == 500.0
    assert rates.floor_ms(500, 20) == 2000.0
