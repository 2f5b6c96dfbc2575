# SPDX-License-Identifier: Apache-2.0
"""Config: ranges are kept, sizes come from the checkpoint."""

import json
from dataclasses import fields

import pytest

from flash_vstream_ros.core.config import (
    FrameHandlerConfig,
    MemoryGeometry,
    QuestionHandlerConfig,
)

CONFIGS = (FrameHandlerConfig, QuestionHandlerConfig)
TUNABLES = [(config, item) for config in CONFIGS for item in fields(config)]
NUMBERS = [(config, item) for config, item in TUNABLES if type(item.default) in (int, float)]


def name_of(value: object) -> str:
    return getattr(value, 'name', getattr(value, '__name__', str(value)))


@pytest.mark.parametrize(('config', 'item'), TUNABLES, ids=name_of)
def test_each_tunable_says_what_it_means_and_has_a_good_default(config, item):
    assert len(item.metadata['meaning']) > 10
    assert getattr(config(), item.name) == item.default
    if item.metadata['choices']:
        assert item.default in item.metadata['choices']


@pytest.mark.parametrize(('config', 'item'), NUMBERS, ids=name_of)
def test_each_number_has_a_range_and_keeps_it(config, item):
    low, high = item.metadata['minimum'], item.metadata['maximum']
    kind = type(item.default)
    # What saves memories needs a folder to save them in.
    others = {'memory_folder': 'here'} if hasattr(config, 'memory_folder') else {}
    for good in (low, high):
        assert getattr(config(**others | {item.name: kind(good)}), item.name) == good
    for bad in (kind(low - 1), kind(high + 1), float('nan'), float('inf')):
        with pytest.raises(ValueError, match=item.name):
            config(**{item.name: bad})


@pytest.mark.parametrize(('config', 'item'), TUNABLES, ids=name_of)
def test_a_value_of_another_type_is_refused_with_it(config, item):
    wrong_flag = 1 if isinstance(item.default, bool) else True
    for bad in (None, [1], wrong_flag, 'text' if isinstance(item.default, int | float) else 3):
        with pytest.raises(ValueError, match=f'{item.name}: expected') as error:
            config(**{item.name: bad})
        assert repr(bad) in str(error.value)


def test_a_choice_is_one_of_those_named():
    with pytest.raises(ValueError, match=r"image_transport: expected one of .*raw.*got 'theora'"):
        FrameHandlerConfig(image_transport='theora')


def test_a_whole_number_may_stand_for_a_float_but_not_the_other_way_round():
    assert FrameHandlerConfig(sample_rate=2).sample_rate == 2
    with pytest.raises(ValueError, match=r'queue_size: expected int, got 2\.0'):
        QuestionHandlerConfig(queue_size=2.0)


def test_a_sample_rate_is_none_or_one_whose_period_can_be_counted():
    for good in (0.0, 1e-6, 1000.0):
        assert FrameHandlerConfig(sample_rate=good).sample_rate == good
    for bad in (1e-300, 5e-324, 9e-7):
        with pytest.raises(
            ValueError, match=r'sample_rate: expected 0 \(all frames\) or at least'
        ):
            FrameHandlerConfig(sample_rate=bad)


@pytest.mark.parametrize(
    'url', ['http://server:8000/v1', 'https://server', 'http://[::1]:8000/v1']
)
def test_a_url_of_a_server_is_taken(url):
    assert QuestionHandlerConfig(decoder_url=url).decoder_url == url


@pytest.mark.parametrize(
    'url',
    ['http://server:80OO/v1', 'http://server:99999/v1', 'http://[::1/v1', 'http://', 'http:///v1',
     'http://:8000/v1', 'http://a b/v1', 'server:8000/v1', 'ftp://server/v1'],
)  # fmt: skip
def test_a_mistyped_url_is_refused_by_name(url):
    with pytest.raises(ValueError, match=r'decoder_url: expected http://HOST:PORT/v1 or') as error:
        QuestionHandlerConfig(decoder_url=url)
    assert repr(url) in str(error.value)


@pytest.mark.parametrize(('name', 'value'), [('quantization', 'nf4'), ('decoding', 'compiled')])
def test_what_is_of_weights_that_a_server_has_is_refused(name, value):
    with pytest.raises(
        ValueError, match=f"{name}: expected .* with decoder_url, .* got '{value}'"
    ):
        QuestionHandlerConfig(decoder_url='http://server:8000/v1', **{name: value})


def test_the_geometry_is_read_from_the_checkpoint(golden):
    config = json.loads((golden / 'checkpoint' / 'config.json').read_text())
    geometry = MemoryGeometry.from_checkpoint_config(config, 16)
    assert geometry == MemoryGeometry(feature_width=40)
    assert geometry.tokens == 681


@pytest.mark.parametrize(
    ('key', 'name'),
    [
        ('mm_hidden_size', 'feature_width'),
        ('video_Turing_memory_length', 'abstract_slots'),
        ('video_long_memory_length', 'temporal_slots'),
        ('video_current_memory_length', 'spatial_slots'),
        ('video_retrieved_memory_length', 'retrieved_slots'),
        ('video_feature_buffer_length', 'buffer_frames'),
        ('video_long_memory_half_life', 'temporal_half_life'),
    ],
)
def test_every_size_of_the_checkpoint_counts(key, name, golden):
    config = json.loads((golden / 'checkpoint' / 'config.json').read_text())
    geometry = MemoryGeometry.from_checkpoint_config(config | {key: 7}, 16)
    assert getattr(geometry, name) == 7


def test_missing_sizes_are_named(golden):
    config = json.loads((golden / 'checkpoint' / 'config.json').read_text())
    del config['video_long_memory_length']
    with pytest.raises(ValueError, match='video_long_memory_length'):
        MemoryGeometry.from_checkpoint_config(config, 16)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({'abstract_slots': 0}, 'abstract_slots: expected at least 1.*got 0'),
        ({'feature_width': -1}, 'feature_width: expected at least 1.*got -1'),
        ({'temporal_side': 3}, 'temporal_side: expected a divisor of detail_side = 8, got 3'),
        ({'detail_side': 32}, 'detail_side: expected a divisor of feature_side = 16, got 32'),
        ({'abstract_side': 2}, 'abstract_side: expected 1, got 2'),
        ({'update_ratio': 0.0}, 'update_ratio: .*got 0.0'),
        ({'update_ratio': 1.5}, 'update_ratio: .*got 1.5'),
        ({'update_ratio': float('nan')}, 'update_ratio: .*got nan'),
        ({'temporal_half_life': -1.0}, 'temporal_half_life: .*got -1.0'),
        ({'temporal_half_life': 0.5}, 'temporal_half_life: expected 0 .none. or at least 1 frame'),
        ({'temporal_half_life': float('nan')}, 'temporal_half_life: .*got nan'),
        ({'temporal_half_life': float('inf')}, 'temporal_half_life: .*got inf'),
        ({'temporal_half_life': '100'}, "temporal_half_life: .*got '100'"),
        ({'spatial_slots': 301}, 'spatial_slots: 301 .*300'),
    ],
)
def test_an_impossible_geometry_is_refused_with_its_value(change, said):
    with pytest.raises(ValueError, match=said):
        MemoryGeometry(**{'feature_width': 8, **change})


@pytest.mark.parametrize('value', ['25', None, 25.0, [25], True])
def test_a_size_that_is_no_integer_is_refused_by_name(value, golden):
    config = json.loads((golden / 'checkpoint' / 'config.json').read_text())
    with pytest.raises(ValueError, match=r'temporal_slots|video_long_memory_length'):
        MemoryGeometry.from_checkpoint_config(config | {'video_long_memory_length': value}, 16)
