# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from flash_vstream_ros.core.checkpoint import load_checkpoint
from flash_vstream_ros.data.conversations import Example
from flash_vstream_ros.data.features import open_features
from flash_vstream_ros.training.config import PARTS_BY_STAGE
from flash_vstream_ros.training.memory_loop import MemoryLoop
from flash_vstream_ros.training.model import TrainedModel
from flash_vstream_ros.training.sequences import TrainingPrompt, make_batch, make_sequence

TURNS = (
    ('Where is the cup?', 'On the table.'),
    ('Is the door open?', 'no'),
    ('What did the robot do before it went into the kitchen?', 'It opened the green door.'),
)


def load(checkpoint, trainable=PARTS_BY_STAGE[2]):
    modules = load_checkpoint(checkpoint, torch.device('cpu'), torch.float32)
    return TrainedModel(modules, trainable).train()


@pytest.fixture(scope='module')
def model(checkpoint):
    return load(checkpoint)


@pytest.fixture(scope='module')
def prompt(checkpoint):
    return TrainingPrompt.from_file(checkpoint / 'tokenizer.model')


def streamed(vstream, features, frames):
    """The memory as the robot has it: frame by frame, rounded as the message rounds it."""
    memory = vstream.new_memory()
    maps = features.read(frames).float()
    pooled_side = torch.nn.functional.interpolate(
        maps.permute(0, 3, 1, 2), scale_factor=16 // features.side, mode='nearest'
    ).permute(0, 2, 3, 1)  # the encoder's side, with the same averages
    for feature, stamp_ns in zip(pooled_side, features.stamps_ns, strict=False):
        memory.write(feature, int(stamp_ns))
    return memory.snapshot().to_float16()


def batch_of(vstream, prompt, data, examples, max_length=500):
    loop = MemoryLoop(vstream.geometry, 'star', None)
    sequences, memories = [], []
    for example in examples:
        features = open_features(data / 'features' / f'{example.media}.safetensors')
        frames = features.frames_until(example.at_s)
        memory = loop.tokens(features, frames, [frames])
        memories.append(memory)
        sequences.append(make_sequence(prompt, example, memory.count, max_length))
    return make_batch(sequences, memories)


def inferred(vstream, snapshot, question, answer):
    """Log-probability of an answer, computed as an answer on the robot is."""
    logits, cache = vstream.language_model.prefill_question(
        vstream.prepare(snapshot), vstream.prompt.after_memory(question)
    )
    return vstream.language_model.score(logits, cache, [vstream.prompt.choice(answer)])[0]


@pytest.mark.parametrize(('media', 'at_s'), [('one', 30.0), ('one', None), ('two', 2.0)])
def test_loss_of_each_turn_is_what_the_robot_computes(vstream, model, prompt, data, media, at_s):
    features = open_features(data / 'features' / f'{media}.safetensors')
    snapshot = streamed(vstream, features, features.frames_until(at_s))
    for turn in TURNS:
        example = Example(media, at_s, (turn,), True, '')
        loss = model(batch_of(vstream, prompt, data, [example]))
        assert loss.labels == len(prompt.choice(turn[1]))
        assert -loss.total.item() == pytest.approx(inferred(vstream, snapshot, *turn), abs=1e-4)


def test_independent_turns_see_memory_and_themselves_only(vstream, model, prompt, data):
    """Together in a sequence, beside longer and shorter ones, they cost what they cost alone."""
    alone = 0.0
    examples = []
    for media, at_s in (('one', 30.0), ('two', 2.0), ('three', None)):
        features = open_features(data / 'features' / f'{media}.safetensors')
        snapshot = streamed(vstream, features, features.frames_until(at_s))
        turns = TURNS if media != 'two' else TURNS[:1]
        alone += sum(inferred(vstream, snapshot, *turn) for turn in turns)
        examples.append(Example(media, at_s, turns, True, ''))
    together = model(batch_of(vstream, prompt, data, examples))
    assert -together.total.item() == pytest.approx(alone, abs=1e-3)


def test_later_turns_of_a_conversation_see_earlier_ones(vstream, model, prompt, data):
    """Compared with the language model fed token by token behind the same prefix."""
    features = open_features(data / 'features' / 'one.safetensors')
    snapshot = streamed(vstream, features, 40)
    (first, said), (second, answer) = TURNS[:2]
    context = prompt.after_memory(first) + prompt.choice(said) + prompt.later_turn(second)
    logits, cache = vstream.language_model.prefill_question(vstream.prepare(snapshot), context)
    expected = inferred(vstream, snapshot, first, said)
    expected += vstream.language_model.score(logits, cache, [prompt.choice(answer)])[0]
    example = Example('one', None, TURNS[:2], False, '')
    loss = model(batch_of(vstream, prompt, data, [example]))
    assert -loss.total.item() == pytest.approx(expected, abs=1e-4)


def test_gradients_reach_the_trained_parts_and_no_other(vstream, checkpoint, prompt, data):
    example = Example('one', None, TURNS, True, '')
    batch = batch_of(vstream, prompt, data, [example])
    for trainable in PARTS_BY_STAGE.values():
        model = load(checkpoint, trainable)
        model(batch).total.backward()
        moved = {n.split('.')[0] for n, p in model.named_parameters() if p.grad is not None}
        assert moved == {n.replace('language_model', 'llama') for n in trainable}
        assert model.attention.q_proj.weight.grad.abs().max() > 0
        assert model.attention.k_proj.weight.grad.abs().max() > 0
        assert model.attention.v_proj.weight.grad is None


def test_gradient_of_semantic_attention_is_that_of_finite_differences(
    vstream, checkpoint, prompt, data
):
    """Without the rounding to float16, whose steps would hide a small change."""
    model = load(checkpoint)
    batch = batch_of(vstream, prompt, data, [Example('one', None, TURNS, True, '')])
    model(batch).total.backward()
    weight = model.attention.k_proj.weight
    direction = weight.grad / weight.grad.norm()
    step = 0.05
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(direction, alpha=sign * step)
            losses.append(model(batch).total.item())
            weight.sub_(direction, alpha=sign * step)
    slope = (losses[0] - losses[1]) / (2 * step)
    assert slope == pytest.approx(weight.grad.norm().item(), rel=0.1)


def test_a_short_stream_still_gives_every_trained_weight_a_gradient(
    vstream, checkpoint, prompt, data
):
    """DDP waits for one; of three frames nothing passes through semantic attention."""
    model = load(checkpoint)
    batch = batch_of(vstream, prompt, data, [Example('three', None, TURNS, True, '')])
    model(batch).total.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert model.attention.q_proj.weight.grad.abs().max() == 0


def test_a_random_model_is_about_as_good_as_guessing(vstream, model, prompt, data):
    loss = model(batch_of(vstream, prompt, data, [Example('one', None, TURNS, True, '')]))
    assert 0.5 < (loss.total / loss.labels).item() / math.log(vstream.prompt.vocabulary) < 4
