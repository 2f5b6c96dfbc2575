# SPDX-License-Identifier: Apache-2.0
"""What the language model reads: equal budgets, and each input shows what its name says."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from evaluation_samples import SMALL, S, feed, make_source, scenes

from flash_vstream_ros.core.star_memory import StarMemory, pool
from flash_vstream_ros.evaluation.frame_inputs import finest_side, pool_to
from flash_vstream_ros.evaluation.inputs import INPUTS, Source, make_input

FRAMES = 50


def shown_after(name: str, frames: int, seed: int = 0):
    shown = make_input(name, make_source())
    feed(shown, scenes(frames, seed=seed))
    return shown.read()


def naive_pool(feature: torch.Tensor, side: int) -> torch.Tensor:
    """Mean of each of side x side fields, (side * side, D)."""
    step = feature.shape[0] // side
    return torch.stack(
        [
            feature[r * step : (r + 1) * step, c * step : (c + 1) * step].mean((0, 1))
            for r in range(side)
            for c in range(side)
        ]
    )


@pytest.mark.parametrize('name', INPUTS)
def test_no_input_has_more_tokens_than_star(name):
    shown = make_input(name, make_source())
    for number, feature in enumerate(scenes(FRAMES)):
        shown.write(feature, (number + 1) * S)
        assert shown.read().token_count <= SMALL.tokens
    snapshot = shown.read()
    assert snapshot.tokens().shape == (snapshot.token_count, SMALL.feature_width)
    assert f'{snapshot.token_count} tokens' in shown.description


def test_frames_come_as_near_to_the_budget_as_they_can():
    counts = {name: shown_after(name, FRAMES).token_count for name in INPUTS}
    assert SMALL.tokens == 88
    assert (
        counts['star']
        == counts['algorithm_1']
        == counts['neighbours']
        == counts['fading']
        == counts['exact']
        == 88
    )
    assert counts['exemplars'] == 88
    assert counts['uniform'] == counts['average_pool'] == 88  # 22 frames of 2x2
    assert counts['newest_4'] == 64  # 4x4; four of 5x5 would be 100
    assert counts['newest_10'] == 40
    assert counts['last_frame'] == 64  # the whole map of 8x8
    assert counts['question_only'] == 0


def test_star_is_the_memory_of_the_robot():
    source = make_source()
    memory = StarMemory(SMALL, source.attention, 'encoder')
    feed(memory, scenes(FRAMES))
    snapshot = shown_after('star', FRAMES)
    assert torch.equal(snapshot.tokens(), memory.snapshot().tokens())
    assert list(snapshot.parts) == ['abstract', 'temporal', 'retrieved', 'spatial']
    assert snapshot.frames_written == FRAMES
    assert snapshot.newest_stamp_ns == (5 + FRAMES - 1) * S


@pytest.mark.parametrize('part', ['abstract', 'temporal', 'retrieved', 'spatial'])
def test_a_part_left_out_changes_nothing_of_the_others(part):
    star, without = shown_after('star', FRAMES), shown_after(f'no_{part}', FRAMES)
    assert list(without.parts) == [name for name in star.parts if name != part]
    for name, tensor in without.parts.items():
        assert torch.equal(tensor, star.parts[name])


def test_newest_frames_are_the_newest_in_order_of_time():
    features = scenes(FRAMES)
    expected = torch.cat([naive_pool(f, 4) for f in features[-4:]])
    torch.testing.assert_close(shown_after('newest_4', FRAMES).tokens(), expected)
    torch.testing.assert_close(
        shown_after('last_frame', FRAMES).tokens(), features[-1].flatten(0, 1)
    )
    assert shown_after('newest_10', 3).token_count == 3 * 4


def test_uniform_spans_the_stream_from_its_first_frame_to_its_newest():
    maps = torch.stack([naive_pool(f, 2) for f in scenes(FRAMES)])
    tokens = shown_after('uniform', FRAMES).tokens().view(22, 4, -1)
    chosen = [int((maps - frame).abs().sum((1, 2)).argmin()) for frame in tokens]
    torch.testing.assert_close(tokens, maps[chosen])
    assert (chosen[0], chosen[-1]) == (0, FRAMES - 1)
    steps = {after - before for before, after in pairwise(chosen)}
    assert steps == {2, 3}  # 49 / 21
    assert shown_after('uniform', 9).token_count == 9 * 4  # all of a short stream


def test_average_pool_averages_equal_stretches():
    maps = torch.stack([naive_pool(f, 2) for f in scenes(66)])
    tokens = shown_after('average_pool', 66).tokens().view(22, 4, -1)
    torch.testing.assert_close(tokens, maps.view(22, 3, 4, -1).mean(1))
    short = shown_after('average_pool', 9).tokens()
    torch.testing.assert_close(short, maps[:9].flatten(0, 1))


def test_all_inputs_see_the_same_frames_in_one_pass():
    together = {name: make_input(name, make_source()) for name in INPUTS}
    for number, feature in enumerate(scenes(30)):
        for shown in together.values():
            shown.write(feature, (5 + number) * S)
    for name, shown in together.items():
        assert torch.equal(shown.read().tokens(), shown_after(name, 30).tokens()), name


@pytest.mark.parametrize('name', INPUTS)
def test_reading_changes_nothing(name):
    shown = make_input(name, make_source())
    for number, feature in enumerate(scenes(30)):
        shown.write(feature, (5 + number) * S)
        assert torch.equal(shown.read().tokens(), shown.read().tokens())
    assert torch.equal(shown.read().tokens(), shown_after(name, 30).tokens())


def test_features_that_are_pooled_already_make_the_same_memory():
    features = scenes(30)
    pooled = pool(features, SMALL.detail_side).unflatten(1, (4, 4))
    whole, small = (make_input('star', make_source(), side) for side in (None, SMALL.detail_side))
    feed(whole, features)
    feed(small, pooled)
    assert torch.equal(whole.read().tokens(), small.read().tokens())


@pytest.mark.parametrize('name', INPUTS)
def test_bad_frames_are_refused_and_leave_no_trace(name):
    features = scenes(8)
    shown, clean = make_input(name, make_source()), make_input(name, make_source())
    for number, feature in enumerate(features):
        shown.write(feature, (5 + number) * S)
        clean.write(feature, (5 + number) * S)
        with pytest.raises(ValueError, match='stamp'):
            shown.write(feature, (5 + number) * S)
        with pytest.raises(ValueError, match='float16'):
            shown.write(torch.full_like(feature, torch.nan), (6 + number) * S)
        with pytest.raises(ValueError, match='shape'):
            shown.write(feature[:4], (6 + number) * S)
    assert torch.equal(shown.read().tokens(), clean.read().tokens())
    assert shown.read().frames_written == 8


def test_neighbours_has_the_half_life_of_the_checkpoint():
    source = make_source()
    faded = Source(replace(source.geometry, temporal_half_life=7.0), source.attention)
    temporal = {
        name: make_input(name, faded).memory.temporal
        for name in ('star', 'neighbours', 'exact', 'algorithm_1')
    }
    assert temporal['neighbours']._fading == temporal['star']._fading != 0.0
    assert temporal['exact']._fading == temporal['algorithm_1']._fading == 0.0


@pytest.mark.parametrize('name', INPUTS)
def test_an_empty_stream_says_so(name):
    snapshot = make_input(name, make_source()).read()
    assert snapshot.is_empty
    assert snapshot.token_count == 0
    assert snapshot.to_float16().tokens().shape == (0, SMALL.feature_width)


def test_keys_tell_inputs_streams_moments_and_roundings_apart():
    snapshots = []
    for name in INPUTS:
        for frames in (4, 5):
            snapshots += [shown_after(name, frames), shown_after(name, frames)]
    snapshots += [snapshot.to_float16() for snapshot in snapshots]
    assert len({snapshot.key for snapshot in snapshots}) == len(snapshots)


def test_an_input_answers_like_a_memory(vstream):
    features = scenes(20, vstream.geometry)
    memory, shown = vstream.new_memory(), make_input('star', vstream)
    feed(memory, features)
    feed(shown, features)
    for question, choices in (('Is the door open?', ['yes', 'no']), ('What is there?', None)):
        expected = vstream.answer(memory.snapshot().to_float16(), question, choices)
        answer = vstream.answer(shown.read().to_float16(), question, choices)
        assert answer.text == expected.text
        assert answer.choice_probabilities == expected.choice_probabilities


def test_question_only_reads_no_memory_token(vstream):
    shown = make_input('question_only', vstream)
    feed(shown, scenes(3, vstream.geometry))
    answer = vstream.answer(shown.read(), 'Is the door open?', ['yes', 'no'])
    text = len(vstream.prompt.before_memory()) + len(
        vstream.prompt.after_memory('Is the door open?')
    )
    assert answer.prompt_tokens == text


def test_rounding_refuses_what_float16_cannot_hold():
    snapshot = shown_after('star', 3)
    huge = {name: part * 1e6 for name, part in snapshot.parts.items()}
    with pytest.raises(ValueError, match='abstract: expected values within float16'):
        replace(snapshot, parts=huge).to_float16()


def test_parts_of_different_widths_are_refused():
    snapshot = shown_after('star', 3)
    with pytest.raises(ValueError, match='one D'):
        replace(snapshot, parts={'a': torch.zeros(2, 6), 'b': torch.zeros(2, 5)})


def test_unknown_inputs_are_named():
    with pytest.raises(ValueError, match=r'expected one of star, .*got .stars.'):
        make_input('stars', make_source())


@pytest.mark.parametrize('side', range(1, 9))
def test_pooling_to_any_side_keeps_the_mean_of_constant_maps(side):
    assert torch.allclose(pool_to(torch.ones(8, 8, 3), side), torch.ones(side * side, 3))


@pytest.mark.parametrize(('count', 'side'), [(1, 8), (2, 6), (4, 4), (10, 2), (88, 1), (500, 1)])
def test_the_finest_side_that_fits_is_chosen(count, side):
    assert finest_side(SMALL, count) == side
