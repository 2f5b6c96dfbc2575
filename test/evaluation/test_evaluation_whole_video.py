# SPDX-License-Identifier: Apache-2.0
"""The memory of a whole video at once and the streaming one are the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation_samples import SMALL, S, feed, make_source, scenes

from flash_vstream_ros.core.temporal_memory import TemporalMemory
from flash_vstream_ros.evaluation.inputs import make_input
from flash_vstream_ros.evaluation.whole_video import (
    WHOLE_VIDEO_INPUTS,
    WholeVideoInput,
    cluster_video,
)


@pytest.mark.parametrize('half_life', [0.0, 12.0])
@pytest.mark.parametrize('seed', range(3))
def test_both_paths_hold_the_same_tokens_at_every_moment(seed, half_life):
    source = make_source(replace(SMALL, temporal_half_life=half_life))
    streaming = make_input('star', source)
    whole = WholeVideoInput('star', source)
    for number, feature in enumerate(scenes(70, seed=seed)):
        streaming.write(feature, (5 + number) * S)
        whole.write(feature, (5 + number) * S)
        parts, others = streaming.read().parts, whole.read().parts
        assert list(parts) == list(others)
        for name, part in parts.items():
            torch.testing.assert_close(others[name], part, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('name', WHOLE_VIDEO_INPUTS)
def test_both_paths_give_the_same_answers(vstream, name):
    features = scenes(33, vstream.geometry)
    streaming, whole = make_input(name, vstream), WholeVideoInput(name, vstream)
    feed(streaming, features)
    feed(whole, features)
    one, other = streaming.read().to_float16(), whole.read().to_float16()
    assert list(one.parts) == list(other.parts)
    for question, choices in (('Is it open?', ['yes', 'no']), ('What is there?', None)):
        expected = vstream.answer(one, question, choices, max_new_tokens=8)
        answer = vstream.answer(other, question, choices, max_new_tokens=8)
        assert answer.text == expected.text
        assert answer.choice_probabilities == pytest.approx(
            expected.choice_probabilities, abs=1e-4
        )


def test_clusters_of_a_whole_video_are_those_of_the_streaming_memory():
    random = np.random.default_rng(0)
    points = np.repeat(random.normal(size=(12, 4)), 10, 0)[random.permutation(120)]
    points = (points + 0.1 * random.normal(size=points.shape)).astype(np.float32)
    memory = TemporalMemory(6, 4)
    for number, point in enumerate(points):
        stamp = torch.tensor(number + 1)
        memory.write(torch.from_numpy(point), stamp, stamp.double(), torch.tensor(True))
    clusters = cluster_video(points, 6)
    for slot, cluster in enumerate(clusters):
        assert int(memory.weights[slot]) == len(cluster)
        assert int(memory.first_ns[slot]) == cluster.min() + 1
        np.testing.assert_allclose(memory.centroids[slot], points[cluster].mean(0), atol=1e-5)


def test_equal_frames_make_equal_memories_on_both_paths():
    streaming, whole = make_input('star', make_source()), WholeVideoInput('star', make_source())
    for number in range(20):
        for shown in (streaming, whole):
            shown.write(torch.ones(8, 8, 6), (5 + number) * S)
    assert torch.allclose(streaming.read().tokens(), whole.read().tokens())


def test_a_video_of_no_frame_is_empty():
    snapshot = WholeVideoInput('star', make_source()).read()
    assert snapshot.is_empty
    assert snapshot.token_count == 0


def test_other_inputs_only_stream():
    with pytest.raises(ValueError, match=r'on the path of the whole video, got .uniform'):
        WholeVideoInput('uniform', make_source())
