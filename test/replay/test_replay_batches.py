# SPDX-License-Identifier: Apache-2.0
"""Replay in batches: the answers are those of one frame at a time, whatever is damaged."""

import numpy as np
import pytest
import torch
from frame_lists import NS, T0, FrameList, camera, pixels, without_times

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.replay.questions import Question
from flash_vstream_ros.replay.replay import Replay


@pytest.mark.parametrize('batch', [2, 3, 8, 100])
def test_frames_encoded_together_give_the_same_answers(vstream: FlashVStream, batch: int) -> None:
    """Damaged frames, a stream that begins anew and questions in between all cut a batch short."""
    frames = [*camera(7), (T0 + 7 * NS, None), *camera(9, start_ns=T0 + 8 * NS, first=8)]
    frames += camera(12, start_ns=T0 - 500 * NS, first=40)
    questions = [Question(at, 'What is it?', ('a cup', 'a door')) for at in (0.0, 4.5, 7.0, 12.0)]
    questions += [Question(at, 'Where is the cup?', max_new_tokens=5) for at in (18.0, 21.0, 90.0)]
    alone = Replay(vstream, FrameList(frames), questions, batch=1)
    together = Replay(vstream, FrameList(frames), questions, batch=batch)
    for one, other in zip(alone, together, strict=True):
        probabilities = other.pop('choice_probabilities')
        assert probabilities == pytest.approx(one.pop('choice_probabilities'), abs=1e-5)
        mean = other.pop('mean_log_probability')
        assert mean == pytest.approx(one.pop('mean_log_probability'), abs=1e-4)
        assert without_times(other) == without_times(one)
    assert together.summary() == alone.summary()
    assert together.snapshot().frames_written == 10  # two confirm that it began


def test_a_feature_that_is_refused_costs_its_frame_only(vstream, monkeypatch) -> None:
    encode = vstream.encode

    def with_a_hole(frames):
        features = encode(frames)
        for number, frame in enumerate(frames):
            if np.array_equal(frame, pixels(2)):
                features[number] = torch.nan
        return features

    monkeypatch.setattr(vstream, 'encode', with_a_hole)
    replay = Replay(vstream, FrameList(camera(6)), [], batch=4)
    assert list(replay) == []
    assert replay.snapshot().frames_written == 5
    assert replay.summary() == '6 frames read, 5 memorised, 1 left out as damaged'


def test_a_frame_that_a_gpu_reports_at_the_read_is_left_out(
    vstream: FlashVStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = vstream.new_memory()
    read = memory.snapshot
    refusals = [ValueError('feature of the frame stamped 5: NaN')]

    def snapshot() -> object:
        if refusals:
            raise refusals.pop()
        return read()

    monkeypatch.setattr(memory, 'snapshot', snapshot)
    monkeypatch.setattr(vstream, 'new_memory', lambda: memory)
    replay = Replay(vstream, FrameList(camera(3)), [Question(2, 'a', ('x', 'y'))])
    (result,) = replay
    assert result['status'] == 'OK'
    assert '1 left out as damaged' in replay.summary()
