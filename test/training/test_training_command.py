# SPDX-License-Identifier: Apache-2.0
import builtins
import json
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_processes import run_pair
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.core.checkpoint_files import read_tensors
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.data.features import write_features
from flash_vstream_ros.data.tower import tower_id
from flash_vstream_ros.training.config import read_training_config

S = 1_000_000_000


@pytest.fixture
def config_file(checkpoint, data, tmp_path):
    source = {'questions': str(data / 'questions.json'), 'features': str(data / 'features')}
    values = {'init': str(checkpoint), 'data': [source], 'steps': 2, 'max_length': 512}
    values |= {'global_batch': 4, 'micro_batch': 2, 'log_every': 1, 'out': str(tmp_path / 'run')}
    path = tmp_path / 'run.yaml'
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_verb_trains_and_its_settings_replace_those_of_the_file(config_file, tmp_path):
    out = tmp_path / 'other'
    settings = [f'out={out}', 'seed=3', 'trainable=["projector"]', 'learning_rate=1e-2']
    command = ['train', '--stage', '2', '--config', str(config_file)]
    assert main([*command, *(a for s in settings for a in ('--set', s))]) == 0
    state = json.loads((out / 'state/step-00000002/run.json').read_text())
    assert (state['seed'], state['stage'], state['learning_rate']) == (3, 2, 0.01)
    assert state['trainable'] == ['projector']
    assert (out / 'checkpoint/model.safetensors.index.json').exists()


@pytest.mark.parametrize(
    'arguments',
    [
        ['--config', 'run.yaml'],
        ['--stage', '3', '--config', 'run.yaml'],
        ['--stage', '1'],
        ['--stage', '1', '--config', 'run.yaml', '--set', 'seed'],
    ],
)
def test_wrong_use_is_told_from_a_failed_job(arguments, capsys):
    with pytest.raises(SystemExit, match='2'):
        main(['train', *arguments])


def test_a_failed_job_says_why_in_a_line(config_file, capsys):
    command = ['train', '--stage', '1', '--config', str(config_file)]
    assert main([*command, '--set', 'init=nowhere']) == 1
    assert (
        capsys.readouterr().err == 'flash_vstream train: nowhere: no such folder (and no hub '
        'id: owner/name)\n'
    )


def test_what_training_needs_is_said_where_it_is_missing(config_file, capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == 'accelerate':
            raise ModuleNotFoundError("No module named 'accelerate'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, '__import__', without)
    assert main(['train', '--stage', '1', '--config', str(config_file)]) == 1
    assert 'requirements/training.txt' in capsys.readouterr().err


def test_the_command_line_is_quick_to_start():
    """Nothing heavy is imported before a verb is chosen."""
    code = (
        'import sys; from flash_vstream_ros.__main__ import make_parser; make_parser(); '
        "heavy = {'torch', 'accelerate', 'yaml'} & sys.modules.keys(); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def gradient_norms(run):
    """AdamW does not notice gradients of another scale; their norms do."""
    log = EventAccumulator(str(run / 'logs'))
    log.Reload()
    return [event.value for event in log.Scalars('gradient_norm')]


def test_two_processes_learn_what_one_learns(config_file, tmp_path):
    """With gloo on the CPU, as a launcher starts them; each takes its share of every step."""
    command = ['train', '--stage', '2', '--config', str(config_file)]
    setting = ['--set', f'out={tmp_path / "two"}']
    assert run_pair([*command, *setting]) == [0, 0]
    assert (tmp_path / 'two/state/step-00000002/random_states_1.pkl').exists()
    assert main(command) == 0
    one, two = (
        {key: tensor for key, tensor, _ in read_tensors(tmp_path / name / 'checkpoint')}
        for name in ('run', 'two')
    )
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=0, atol=1e-5)
    assert gradient_norms(tmp_path / 'run') == pytest.approx(gradient_norms(tmp_path / 'two'))


@pytest.fixture
def stand_ins(tmp_path, checkpoint):
    """A Llama and a CLIP as transformers saves them, tiny, in the published geometry."""
    torch.manual_seed(0)
    llama = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=400,
        max_position_embeddings=4096,
    )
    LlamaForCausalLM(llama).save_pretrained(tmp_path / 'vicuna')
    shutil.copy(checkpoint / 'tokenizer.model', tmp_path / 'vicuna')
    clip = CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=64,
        patch_size=4,
    )
    CLIPVisionModel(clip).save_pretrained(tmp_path / 'clip')
    return tmp_path


def make_llava(folder, encoder_id):
    """An image and a video with a conversation each, and one without either."""
    generator = torch.Generator().manual_seed(0)
    for name, frames in (('coco/1', 1), ('clips/2', 30)):
        feature = torch.randn(frames, 64, 24, generator=generator)
        stamps_ns = [(1 + i) * S for i in range(frames)]
        path = folder / f'features/{name}.safetensors'
        write_features(path, feature, stamps_ns, {'encoder_id': encoder_id})
    talk = [
        {'from': 'human', 'value': '<image>\nWhat is it?'},
        {'from': 'gpt', 'value': 'A red cup.'},
        {'from': 'human', 'value': 'Where?'},
        {'from': 'gpt', 'value': 'On the table.'},
    ]
    entries = [
        {'image': 'coco/1.jpg', 'conversations': talk[:2]},
        {'video': 'clips/2.mp4', 'conversations': talk},
        {'conversations': talk[2:]},
    ]
    (folder / 'data.json').write_text(json.dumps(entries))


def test_the_configurations_of_the_7b_train_tiny_stand_ins(repository, stand_ins, capsys):
    """The paper's own numbers stay; batches, precision and paths are those of the stand-ins."""
    start = stand_ins / 'start'
    folders = ['--language', str(stand_ins / 'vicuna'), '--vision', str(stand_ins / 'clip')]
    assert main(['assemble', str(start), *folders]) == 0
    make_llava(stand_ins, tower_id(start))
    config = repository / 'config/training'
    source = {'conversations': 'data.json', 'features': 'features'}
    source = {key: str(stand_ins / value) for key, value in source.items()}
    init = start
    for stage, rate, batch in ((1, 1e-3, 256), (2, 2e-5, 128)):
        path = config / f'vicuna7b_stage{stage}.yaml'
        paper = read_training_config(path, {'stage': stage})
        assert (paper.learning_rate, paper.global_batch) == (rate, batch)
        assert (paper.max_length, paper.warmup, paper.epochs) == (2048, 0.03, 1)
        assert paper.precision == 'bf16'
        out = stand_ins / f'stage{stage}'
        values = {'init': str(init), 'out': str(out), 'data': [source], 'workers': 0}
        values |= {'global_batch': 3, 'micro_batch': 3, 'precision': 'no', 'steps': 2}
        settings = [f'{key}={json.dumps(value)}' for key, value in values.items()]
        command = ['train', '--stage', str(stage), '--config', str(path)]
        assert main([*command, *(a for s in settings for a in ('--set', s))]) == 0
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        init = out / 'checkpoint'
    vstream = FlashVStream.from_pretrained(init)
    assert vstream.geometry.tokens == 681
    assert vstream.projector[0].weight.dtype == torch.float32


def test_a_checkpoint_is_not_assembled_over_something(stand_ins, capsys):
    folders = ['--language', str(stand_ins / 'vicuna'), '--vision', str(stand_ins / 'clip')]
    assert main(['assemble', str(stand_ins / 'clip'), *folders]) == 1
    assert 'is not overwritten' in capsys.readouterr().err
