# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from flash_vstream_ros.training.config import PARTS_BY_STAGE, read_training_config

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / 'models/patrol-tiny'
SCRIPT = ROOT / 'scripts/train_patrol_tiny.sh'
MINIMAL = """
init: checkpoint
out: run
data:
- questions: q.json
  features: f
"""


@pytest.fixture
def read(tmp_path):
    def read(text: str, **overrides):
        path = tmp_path / 'run.yaml'
        path.write_text(text)
        return read_training_config(path, overrides)

    return read


def test_what_is_not_said_is_the_papers(read):
    config = read(MINIMAL)
    assert (config.warmup, config.weight_decay, config.max_length) == (0.03, 0.0, 2048)
    assert config.memory_input == 'star'
    assert config.data[0].questions == 'q.json'


@pytest.mark.parametrize('stage', [1, 2])
def test_a_stage_trains_its_parts_unless_others_are_named(read, stage):
    assert read(MINIMAL, stage=stage).trained_parts == PARTS_BY_STAGE[stage]
    named = read(MINIMAL + 'trainable: [projector]\n', stage=stage)
    assert named.trained_parts == ('projector',)


def test_numbers_may_be_written_as_yaml_does_not_know_them(read):
    """YAML 1.1 takes 1e-3 for a text, as it has no point."""
    assert read(MINIMAL + 'learning_rate: 1e-3\n').learning_rate == 1e-3


def test_no_may_be_written_without_quotes(read):
    """YAML 1.1 takes it for false."""
    assert read(MINIMAL + 'precision: no\n').precision == 'no'
    with pytest.raises(ValueError, match='precision: expected str, got True'):
        read(MINIMAL + 'precision: yes\n')
    with pytest.raises(ValueError, match='save_dtype: expected str, got False'):
        read(MINIMAL + 'save_dtype: no\n')


def test_an_override_takes_the_place_of_a_value(read):
    config = read(MINIMAL + 'seed: 1\n', seed=7, out='elsewhere')
    assert (config.seed, config.out) == (7, 'elsewhere')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        (MINIMAL + 'learning_rat: 1\n', "unknown key 'learning_rat'.*did you mean learning_rate"),
        (MINIMAL + 'seed: one\n', "seed: expected int, got 'one'"),
        (MINIMAL + 'learning_rate: fast\n', "learning_rate: expected float, got 'fast'"),
        (MINIMAL + 'warmup: 2.0\n', 'warmup: expected a value from 0.0 to 1.0, got 2.0'),
        (MINIMAL + 'precision: fp8\n', r"precision: expected one of \['no', 'bf16', 'fp16'\]"),
        (MINIMAL + 'trainable: [vision]\n', r"trainable: .*got \['vision'\]"),
        (MINIMAL + 'trainable: projector\n', 'trainable: expected a list'),
        (MINIMAL.replace('init: checkpoint', ''), 'init: expected the checkpoint'),
        (MINIMAL.replace('out: run', ''), 'out: expected a folder'),
        ('init: a\nout: b\n', 'data: expected a list'),
        ('init: a\nout: b\ndata: q.json\n', "data: expected a list, got 'q.json'"),
        ('init: a\nout: b\ndata: [q.json]\n', 'data, item 1: expected keys and values'),
        (MINIMAL + '- features: g\n', 'data, item 2: expected either questions or conversations'),
        (MINIMAL + '- questions: g\n', 'data, item 2: features'),
        (MINIMAL + '- quetsions: g\n', 'data, item 2: unknown key.*did you mean questions'),
        (MINIMAL + 'a: [1\n', r'line \d+: not YAML'),
        ('- 1\n', 'expected keys and values'),
        ('', 'expected keys and values'),
    ],
)
def test_what_cannot_be_is_refused_with_the_file(read, text, words):
    with pytest.raises(ValueError, match=r'run\.yaml.*' + words):
        read(text)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match='nowhere'):
        read_training_config(Path('nowhere.yaml'), {})


@pytest.mark.parametrize(
    'name', sorted(path.name for path in RECIPE.glob('*.yaml') if path.name != 'stage0.yaml')
)
def test_the_recipe_of_the_model_in_the_box_can_be_read(name):
    stage = 1 if name == 'stage1.yaml' else 2
    config = read_training_config(RECIPE / name, {'stage': stage})
    assert config.steps > 0


def test_the_recipe_has_all_its_steps():
    names = {path.name for path in RECIPE.glob('*.yaml')}
    steps = {'stage0', 'language', 'stage1', 'stage2', 'stage2_end'}
    steps |= {f'stage2_{name}' for name in ('hard', 'more', 'last', 'wide')}
    assert names == {f'{step}.yaml' for step in steps}
    for step in steps:
        assert step in SCRIPT.read_text()
