# SPDX-License-Identifier: Apache-2.0
"""Whole answers in a batch: of several memories, come and gone at any time."""

import pytest
import torch

from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.prompt import RequestError

QUESTIONS = ('What is on the table?', 'Where is it?', 'Who is there and what is being done?')


def finish(pieces):
    """Take pieces to the end, with nothing to wait for; returns the answer."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value


def together(vstream, batch, asked):
    """Ask (snapshot, question, options) in one batch, one more before each pass."""
    waiting, running, answers = list(enumerate(asked)), {}, {}
    while waiting or running:
        if waiting:
            number, (snapshot, text, options) = waiting.pop(0)
            running[number] = vstream.stream_answer(snapshot, text, batch=batch, **options)
        for number, pieces in list(running.items()):
            try:
                while next(pieces):
                    pass
            except StopIteration as end:
                answers[number] = end.value
                del running[number]
        batch.step()
    return [answers[number] for number in range(len(asked))]


@pytest.fixture
def snapshots(vstream):
    memory = vstream.new_memory()
    generator = torch.Generator().manual_seed(3)
    side, width = vstream.geometry.feature_side, vstream.geometry.feature_width
    found = []
    for second in range(1, 9):
        memory.write(torch.randn(side, side, width, generator=generator), second * 10**9)
        found.append(memory.snapshot())
    return found[3:8:2]


def test_whole_answers_equal_those_one_after_the_other(vstream, snapshots):
    options = [
        {'max_new_tokens': 12},
        {'choices': ['yes', 'no', 'on the table']},
        {'max_new_tokens': 1},
    ]
    asked = [
        (snapshot, text, option)
        for snapshot in snapshots
        for text, option in zip(QUESTIONS, options, strict=True)
    ]
    vstream.prefixes.size = 3
    batch = ContinuousBatch(vstream.language_model)
    found = together(vstream, batch, asked)
    for (snapshot, text, option), answer in zip(asked, found, strict=True):
        expected = vstream.answer(snapshot, text, **option)
        assert answer.text == expected.text
        assert answer.token_ids == expected.token_ids
        assert answer.finish_reason == expected.finish_reason
        assert answer.prompt_tokens == expected.prompt_tokens
        assert answer.mean_log_probability == pytest.approx(
            expected.mean_log_probability, abs=1e-4
        )
        assert answer.choice_probabilities == pytest.approx(
            expected.choice_probabilities, abs=1e-4
        )
        assert 0.0 < answer.time_to_first_token <= answer.total_time
    assert len(batch) == 0, 'all have left'


def test_who_stops_leaves_the_batch(vstream, snapshots):
    batch = ContinuousBatch(vstream.language_model)
    is_cancelled = []
    pieces = vstream.stream_answer(
        snapshots[0], QUESTIONS[0], batch=batch, cancelled=lambda: bool(is_cancelled)
    )
    assert next(pieces) == ''
    assert len(batch) == 1
    batch.step()
    is_cancelled.append(True)
    assert finish(pieces).finish_reason == 'cancelled'
    assert len(batch) == 0
    pieces = vstream.stream_answer(snapshots[0], QUESTIONS[0], batch=batch)
    next(pieces)
    pieces.close()  # nobody wants it any more
    assert len(batch) == 0


def test_what_cannot_be_asked_is_refused_before_it_joins(vstream, snapshots):
    batch = ContinuousBatch(vstream.language_model)
    for options in ({'choices': ['yes ' * 3000]}, {'max_new_tokens': 0}):
        with pytest.raises(RequestError):
            next(vstream.stream_answer(snapshots[0], QUESTIONS[0], batch=batch, **options))
    assert len(batch) == 0
