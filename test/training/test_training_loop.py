# SPDX-License-Identifier: Apache-2.0
import json
import logging
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_processes import start_verb

from flash_vstream_ros.core.checkpoint import ATTENTION, PROJECTOR, TOWER, load_checkpoint
from flash_vstream_ros.core.checkpoint_files import read_tensors
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.data.features import open_features
from flash_vstream_ros.training.loop import Training, TrainingError


def scalars(run: Path, name: str) -> list[float]:
    log = EventAccumulator(str(run / 'logs'))
    log.Reload()
    return [event.value for event in log.Scalars(name)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor, _ in read_tensors(folder)}


def assert_same_bits(first: Path, second: Path) -> None:
    one, two = weights(first / 'checkpoint'), weights(second / 'checkpoint')
    assert one.keys() == two.keys()
    assert [key for key in one if not torch.equal(one[key], two[key])] == []


def changed(run: Path, checkpoint: Path) -> set[str]:
    before, after = weights(checkpoint), weights(run / 'checkpoint')
    return {key for key in before if not torch.equal(before[key], after[key])}


TAUGHT = {
    'Where is the cup?': 'On the table.',
    'Is the door open?': 'no',
    'What colour is the box?': 'It is blue.',
}


def test_a_model_that_was_taught_answers_as_it_was_taught(run, data, write_json):
    """The whole way: training, the published layout, the streaming memory, the spoken answer."""
    entries = [{'question': q, 'answer': a} for q, a in TAUGHT.items()]
    questions = write_json([e | {'video_name': 'one', 'end_time': 40.0} for e in entries])
    source = {'questions': str(questions), 'features': str(data / 'features')}
    values = {'global_batch': 1, 'micro_batch': 1, 'turns_per_sequence': 3, 'save_every': 0}
    out = run('taught', data=[source], steps=40, learning_rate=3e-3, **values)
    vstream = FlashVStream.from_pretrained(out / 'checkpoint')
    features = open_features(data / 'features/one.safetensors')
    memory = vstream.new_memory()
    wide = features.read(40).float().repeat_interleave(4, 1).repeat_interleave(4, 2)
    for feature, stamp_ns in zip(wide, features.stamps_ns, strict=True):
        memory.write(feature, int(stamp_ns))
    snapshot = memory.snapshot().to_float16()
    for question, expected in TAUGHT.items():
        answer = vstream.answer(snapshot, question, max_new_tokens=12)
        assert (answer.text, answer.finish_reason) == (expected, 'stop')


def test_stage_1_changes_attention_and_projector_and_nothing_else(run, checkpoint):
    moved = changed(run('one', stage=1), checkpoint)
    assert {k for k in moved if not k.startswith((ATTENTION, PROJECTOR))} == set()
    assert {f'{ATTENTION}{n}_proj.weight' for n in 'qk'} <= moved
    assert {f'{PROJECTOR}{n}.weight' for n in '02'} <= moved


def test_stage_2_changes_the_language_model_as_well_and_never_the_tower(run, checkpoint):
    moved = changed(run('two'), checkpoint)
    assert 'model.layers.0.self_attn.q_proj.weight' in moved
    assert 'lm_head.weight' in moved
    assert not any(key.startswith(TOWER) for key in moved)


def test_a_checkpoint_is_in_the_published_layout(run, checkpoint):
    out = run('saved', save_dtype='bfloat16')
    load_checkpoint(out / 'checkpoint', torch.device('cpu'), torch.float32)  # strict
    assert (out / 'checkpoint/tokenizer.model').read_bytes() == (
        checkpoint / 'tokenizer.model'
    ).read_bytes()
    held = weights(out / 'checkpoint')
    assert held['lm_head.weight'].dtype == torch.bfloat16
    assert held[f'{TOWER}post_layernorm.weight'].dtype == torch.float32


@pytest.mark.parametrize(
    'changes', [{'micro_batch': 1}, {'gradient_checkpointing': True}, {'workers': 1}]
)
def test_how_a_step_is_computed_does_not_change_what_is_learned(run, changes):
    """The loss is the mean over all answer tokens of a step, however it is cut into parts."""
    plain, other = run('plain'), run('other', **changes)
    # AdamW does not notice gradients of another scale.
    norms = [scalars(out, 'gradient_norm') for out in (plain, other)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    one, two = weights(plain / 'checkpoint'), weights(other / 'checkpoint')
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=0, atol=2e-4)


def test_a_run_that_was_killed_ends_with_the_same_weights(run, write_config, tmp_path):
    """Bit by bit, and without the rubbish that a kill in the middle of saving leaves."""
    changes = {'steps': 12, 'seed': 5}
    config = write_config('killed', **changes)
    process = start_verb(['train', '--stage', '2', '--config', str(config)])
    states = tmp_path / 'killed/state'
    deadline = time.monotonic() + 120
    while not list(states.glob('step-*')):
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert max(path.name for path in states.glob('step-*')) < 'step-00000012'
    (states / '.step-00000012.part').mkdir(exist_ok=True)
    (states / '.step-00000012.part/model.safetensors').write_bytes(b'half')
    assert_same_bits(run('killed', **changes), run('whole', **changes))
    assert [path.name for path in states.iterdir()] == ['step-00000012']


def test_scalars_are_logged_once_a_step_also_where_a_run_was_resumed(run, monkeypatch):
    """Interrupted after steps 3 and 4 were logged and before they were saved."""
    saving = Training._save

    def interrupted(self, step):
        if step == 4:
            raise KeyboardInterrupt
        saving(self, step)

    monkeypatch.setattr(Training, '_save', interrupted)
    with pytest.raises(KeyboardInterrupt):
        run('logged', steps=6)
    monkeypatch.undo()
    out, whole = run('logged', steps=6), run('whole', steps=6)
    log = EventAccumulator(str(out / 'logs'))
    log.Reload()
    for name in ('loss', 'learning_rate', 'gradient_norm', 'tokens_per_second'):
        events = log.Scalars(name)
        assert [event.step for event in events] == [1, 2, 3, 4, 5, 6]
        assert all(event.value > 0 for event in events)
    assert scalars(out, 'loss') == scalars(whole, 'loss')


def test_a_finished_run_is_left_alone(run, caplog):
    out = run('done')
    before = {p: p.stat().st_mtime_ns for p in (out / 'checkpoint').iterdir()}
    with caplog.at_level(logging.INFO):
        run('done')
    assert 'all 4 steps are done' in caplog.text
    assert {p: p.stat().st_mtime_ns for p in (out / 'checkpoint').iterdir()} == before


def test_a_run_can_end_before_its_schedule_and_go_on_with_it(run):
    """The learning rate is that of the whole schedule, before and after."""
    out = run('stopped', steps=8, stop_at=3)
    assert [path.name for path in (out / 'state').iterdir()] == ['step-00000003']
    assert_same_bits(run('stopped', steps=8), run('never stopped', steps=8))


def test_a_run_does_not_go_on_with_other_settings(run):
    run('settled')
    with pytest.raises(ValueError, match=r'began with seed = 0, and cannot go on with 1'):
        run('settled', seed=1)
    run('settled', log_every=3, save_every=1)  # no weight depends on these


def spoil(checkpoint: Path, folder: Path) -> Path:
    """A copy with one weight that is no number."""
    shutil.copytree(checkpoint, folder)
    tensors = load_file(folder / 'model-00001.safetensors')
    tensors['lm_head.weight'][7, 0] = torch.nan
    save_file(tensors, folder / 'model-00001.safetensors')
    return folder


def test_a_loss_that_is_no_number_stops_with_step_and_data(run, checkpoint, tmp_path):
    init = spoil(checkpoint, tmp_path / 'nan')
    with pytest.raises(TrainingError, match=r'step 1: the loss is nan.*questions\.json, line \d+'):
        run('nan_run', init=str(init))
    assert not (tmp_path / 'nan_run/checkpoint').exists()


@pytest.fixture
def small_files() -> Iterator[None]:
    """Limit the size of files: a write fails in its middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def tree(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob('*') if p.is_file()}


@pytest.mark.parametrize(
    ('limit', 'words', 'kept'),
    [
        (200_000, 'the weights could not be written', 'checkpoint'),
        (1_000_000, 'the state of the run could not be written', 'state'),
    ],
)
def test_a_full_disk_leaves_the_last_good_state(
    run, checkpoint, small_files, tmp_path, limit, words, kept
):
    """The checkpoint is the smaller file: it fits below the second limit, AdamW's state not."""
    out = run('full', steps=2, epochs=1)
    state = yaml.safe_load((out / 'state/step-00000002/run.json').read_text())
    state['steps'] = 4
    (out / 'state/step-00000002/run.json').write_text(json.dumps(state))
    before = tree(out / kept)
    small_files(limit)
    with pytest.raises(OSError, match=words):
        run('full', steps=4)
    assert tree(out / kept) == before
    load_checkpoint(out / 'checkpoint', torch.device('cpu'), torch.float32)


def test_another_model_in_the_folder_is_not_overwritten(run, checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / 'taken/checkpoint')
    config = tmp_path / 'taken/checkpoint/config.json'
    config.write_text(config.read_text().replace('"video_Turing_memory_length": 4', '"x": 5'))
    with pytest.raises(FileExistsError, match='another model lies here'):
        run('taken')
    assert not (tmp_path / 'taken/logs').exists()  # said before the first step


def test_answers_that_were_cut_are_counted(run, caplog):
    run('cut', max_length=180, log_every=2)
    assert 'answers did not fit into max_length' in caplog.text


def test_an_impossible_length_is_refused(run):
    with pytest.raises(ValueError, match='max_length: expected at most 512'):
        run('long', max_length=513)


def test_mixed_precision_trains(run):
    assert (run('mixed', precision='bf16') / 'checkpoint/config.json').exists()


def test_a_run_goes_on_in_another_number_of_processes(run, tmp_path):
    """Each step is one of its own then as well, not the halves of two."""
    changes = {'micro_batch': 2, 'steps': 6}  # two parts a step
    whole = run('whole', **changes)
    parted = run('parted', stop_at=3, **changes)
    (state,) = parted.glob('state/step-*/random_states_0.pkl')
    states = torch.load(state, weights_only=False)
    torch.save(states | {'step': 3}, state)  # as two processes leave it, with one part each
    assert_same_bits(run('parted', **changes), whole)
