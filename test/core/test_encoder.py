# SPDX-License-Identifier: Apache-2.0
"""Encoder: CLIP's numbers from frames of any size, and no layer more than needed."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel

from flash_vstream_ros.core.encoder import CLIP_MEAN, CLIP_STD, Encoder, whole_picture

CONFIG = CLIPVisionConfig(
    hidden_size=24,
    intermediate_size=48,
    num_hidden_layers=4,
    num_attention_heads=3,
    image_size=32,
    patch_size=8,
    hidden_act='quick_gelu',
)


@pytest.fixture(scope='module')
def whole() -> CLIPVisionModel:
    """The whole tower, as transformers builds it."""
    torch.manual_seed(0)
    tower = CLIPVisionModel(CONFIG).eval().requires_grad_(False)
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return tower


def encoder_of(whole: CLIPVisionModel, select_layer: int = -2) -> Encoder:
    encoder = Encoder(CONFIG, select_layer).eval()
    encoder.tower.load_state_dict(whole.state_dict(), strict=False)
    return encoder


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_resized_frames_equal_the_golden_pixels(golden_tensors, golden_vstream):
    tensors = golden_tensors('encoder')
    found = torch.stack([golden_vstream.encoder.preprocess(f) for f in tensors['frames']])
    difference = (found - tensors['pixel_values']).abs()
    assert found.shape == tensors['pixel_values'].shape
    assert difference.max() <= 0.06
    assert difference.mean() <= 0.003


def test_golden_pixels_give_the_golden_feature_map(golden_tensors, golden_vstream, monkeypatch):
    """From ``pixel_values`` on: nothing but the network, so the tolerance is that of float32."""
    tensors = golden_tensors('encoder')
    encoder = golden_vstream.encoder
    monkeypatch.setattr(encoder, 'preprocess', lambda pixels: pixels)
    found = encoder(tensors['pixel_values'])
    assert found.shape == (3, 16, 16, 40)
    torch.testing.assert_close(found.flatten(1, 2), tensors['feature_map'], atol=1e-4, rtol=0)


def test_golden_frames_give_nearly_the_golden_feature_map(golden_tensors, golden_vstream):
    tensors = golden_tensors('encoder')
    difference = golden_vstream.encode(tensors['frames']).flatten(1, 2) - tensors['feature_map']
    assert difference.abs().mean() <= 0.01
    scale = tensors['feature_map'].abs().mean()
    assert difference.abs().mean() <= 0.02 * scale


@pytest.mark.parametrize('select_layer', [-1, -2, -4, -5, 0, 3])
def test_features_are_the_hidden_state_of_the_whole_tower(select_layer, whole):
    encoder = encoder_of(whole, select_layer)
    frames = [picture(40, 50, seed) for seed in range(3)]
    pixels = torch.stack([encoder.preprocess(frame) for frame in frames])
    states = whole(pixels, output_hidden_states=True).hidden_states
    expected = states[select_layer][:, 1:]  # without the class token
    torch.testing.assert_close(encoder(frames).flatten(1, 2), expected)


def test_the_layers_behind_the_selected_one_do_not_exist(whole):
    assert len(encoder_of(whole, -2).tower.encoder.layers) == 3
    assert len(encoder_of(whole, -4).tower.encoder.layers) == 1
    assert len(whole.encoder.layers) == 4


@pytest.mark.parametrize('select_layer', [5, -6, 100])
def test_a_layer_that_the_tower_does_not_have_is_refused(select_layer):
    with pytest.raises(ValueError, match=f'expected -5 to 4, got {select_layer}'):
        Encoder(CONFIG, select_layer)


def test_a_batch_equals_its_frames_one_by_one(golden_vstream, golden_tensors):
    frames = golden_tensors('encoder')['frames']
    together = golden_vstream.encode(frames)
    for index, frame in enumerate(frames):
        alone = golden_vstream.encode(frame[None])[0]
        torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=1e-5)


def test_a_list_may_mix_sizes_and_kinds(whole):
    encoder = encoder_of(whole)
    frames = [picture(40, 50), picture(90, 33), torch.from_numpy(picture(32, 32)), picture(7, 9)]
    together = encoder(frames)
    assert together.shape == (4, 4, 4, 24)
    for index, frame in enumerate(frames):
        torch.testing.assert_close(together[index], encoder([frame])[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('size', [(32, 32), (32, 57), (57, 32)])
def test_a_frame_of_the_right_size_is_only_cropped_and_normalised(size, whole):
    """Nothing is resampled, so the numbers are exact; wide and high ones lose their ends."""
    frame = picture(*size)
    top, left = (size[0] - 32) // 2, (size[1] - 32) // 2
    middle = frame[top : top + 32, left : left + 32].astype(np.float32) / 255
    expected = ((middle - CLIP_MEAN) / CLIP_STD).transpose(2, 0, 1)
    found = encoder_of(whole).preprocess(frame)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('size', [(150, 240), (240, 150), (20, 31), (1, 90), (90, 1), (1, 1)])
def test_every_size_becomes_one_input_without_a_change_of_colour(size, whole):
    encoder = encoder_of(whole)
    frame = np.broadcast_to(np.array([255, 0, 100], np.uint8), (*size, 3))
    expected = (torch.tensor([1.0, 0.0, 100 / 255]) - torch.tensor(CLIP_MEAN)) / torch.tensor(
        CLIP_STD
    )
    found = encoder.preprocess(frame.copy())
    torch.testing.assert_close(found, expected[:, None, None].expand(3, 32, 32))
    assert encoder([frame.copy()]).shape == (1, 4, 4, 24)


def test_the_middle_of_a_wide_frame_is_what_is_seen(whole):
    """Cropped, not padded and not squeezed."""
    frame = np.zeros((64, 200, 3), np.uint8)
    frame[:, 80:120] = 255
    seen = encoder_of(whole).preprocess(frame)[0]
    columns = seen.mean(0) > 0
    assert columns[7:25].all(), '40 of 64 columns'
    assert not columns[:4].any()
    assert not columns[-4:].any()


def test_values_stay_within_grey_levels_at_hard_edges(whole):
    """Bicubic overshoots; an image of grey levels cannot."""
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:, 32:] = 255
    found = encoder_of(whole).preprocess(frame) * torch.tensor(CLIP_STD)[:, None, None]
    levels = (found + torch.tensor(CLIP_MEAN)[:, None, None]) * 255
    assert levels.min() >= -1e-3
    assert levels.max() <= 255 + 1e-3
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)


def scene(height: int, width: int) -> np.ndarray:
    """Soft shapes, as a camera gives them; at single white pixels PIL clips between its passes."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 120 * np.sin(x / 7 + i) * np.cos(y / 9 + i) for i in range(3)]
    return np.stack(waves, -1).round().astype(np.uint8)


@pytest.mark.parametrize('size', [(150, 240), (231, 97), (33, 40), (20, 31)])
def test_resizing_agrees_with_pil_to_a_grey_level_or_two(size, whole):
    image = pytest.importorskip('PIL.Image')
    frame, short = scene(*size), min(size)
    height, width = (int(32 * side / short) for side in size)
    resized = np.asarray(
        image.fromarray(frame).resize((width, height), image.Resampling.BICUBIC), np.float32
    )
    top, left = (height - 32) // 2, (width - 32) // 2
    middle = resized[top : top + 32, left : left + 32] / 255
    expected = ((middle - CLIP_MEAN) / CLIP_STD).transpose(2, 0, 1)
    difference = np.abs(encoder_of(whole).preprocess(frame).numpy() - expected)
    assert difference.max() <= 2.1 / 255 / min(CLIP_STD)
    assert difference.mean() <= 0.004


def strided(frame: np.ndarray) -> dict[str, np.ndarray]:
    """The same picture, lying in memory in other ways."""
    wide = np.zeros((frame.shape[0] * 2, frame.shape[1] * 3, 3), np.uint8)
    wide[::2, ::3] = frame
    locked = frame.copy()
    locked.flags.writeable = False
    planes = np.ascontiguousarray(frame.transpose(2, 0, 1)).transpose(1, 2, 0)
    return {
        'every-other': wide[::2, ::3],
        'locked': locked,
        'planes': planes,
        'bgr-read-as-rgb': frame[..., ::-1].copy()[..., ::-1],
        'flipped-twice': frame[::-1].copy()[::-1],
    }


@pytest.mark.parametrize(
    'layout', ['every-other', 'locked', 'planes', 'bgr-read-as-rgb', 'flipped-twice']
)
def test_a_frame_may_lie_in_memory_as_it_likes(layout, whole):
    """Read-only as a message's buffer is; reversed as OpenCV's BGR is turned into RGB."""
    encoder, frame = encoder_of(whole), picture(40, 50)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = encoder.preprocess(strided(frame)[layout])
    assert torch.equal(found, encoder.preprocess(frame))


@pytest.mark.parametrize(
    'frame',
    [
        picture(40, 50).astype(np.float32),
        picture(40, 50).astype(np.uint16),
        picture(40, 50)[..., 0],
        np.zeros((40, 50, 4), np.uint8),
        np.zeros((40, 50, 1), np.uint8),
        np.zeros((0, 50, 3), np.uint8),
        np.zeros((40, 0, 3), np.uint8),
        np.zeros((2, 40, 50, 3), np.uint8),
        torch.zeros(3, 40, 50, dtype=torch.uint8),
        np.uint8(3),
    ],
    ids=lambda frame: f'{frame.dtype}-{tuple(frame.shape)}',
)
def test_another_shape_or_type_is_refused_with_both(frame, whole):
    with pytest.raises(ValueError, match=r'frame: expected \(H, W, 3\) uint8 RGB, got') as error:
        encoder_of(whole)([frame])
    assert str(tuple(frame.shape)) in str(error.value)


def test_a_single_frame_for_a_batch_is_refused(whole):
    with pytest.raises(ValueError, match='frame: expected'):
        encoder_of(whole)(picture(40, 50))


def test_no_frames_are_refused_in_words(whole):
    with pytest.raises(ValueError, match=r'frames?: expected'):
        encoder_of(whole)([])


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_a_tower_of_another_type_gives_features_of_it(dtype, whole):
    frames = [picture(40, 50)]
    expected = encoder_of(whole)(frames)
    found = encoder_of(whole).to(dtype)(frames)
    assert found.dtype == dtype
    assert (found.float() - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_frames_are_encoded_on_the_encoders_device(device, whole):
    frames = [picture(40, 50)]
    found, expected = encoder_of(whole).to(device)(frames), encoder_of(whole)(frames)
    assert found.device.type == device.type
    torch.testing.assert_close(found.cpu(), expected, atol=1e-2, rtol=0)


def test_encoding_keeps_no_graph(whole):
    encoder = encoder_of(whole).requires_grad_(True)
    features: Tensor = encoder([picture(40, 50)])
    assert not features.requires_grad


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ('value', 'fits'), [(1.0, True), (65504.0, True), (1e5, False), (-math.inf, False)]
)
def test_what_a_frame_shows_as_a_whole_is_the_mean_of_what_can_be_memorised(dtype, value, fits):
    feature = torch.randn(4, 4, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    feature[1, 2, 3] = value if dtype == torch.float32 or value != 65504.0 else 65280.0
    whole = whole_picture(feature)
    assert (whole is not None) == fits
    if fits:
        assert torch.equal(whole[0], feature.float().flatten(0, 1).mean(0))
    feature[0, 0, 0] = torch.nan
    assert whole_picture(feature) is None
