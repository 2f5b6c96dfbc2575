# SPDX-License-Identifier: Apache-2.0
"""A whole evaluation: every question once for each input, whatever happens in between."""

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from evaluation_samples import entry, scenes, write_features, write_json

from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.data.trained_input import note_training
from flash_vstream_ros.evaluation.evaluation import Evaluation, EvaluationConfig
from flash_vstream_ros.evaluation.runner import key_of

INPUTS = ('star', 'uniform', 'question_only')
UNTIMED = ('time_to_first_token', 'total_time', 'read_time')
# Also shows that neither matplotlib nor openai is needed to answer, nor to import anything.
PROGRAM = """
import sys, torch
sys.modules['matplotlib'] = sys.modules['openai'] = None
import flash_vstream_ros.evaluation.job
from pathlib import Path
from flash_vstream_ros.evaluation.evaluation import Evaluation, EvaluationConfig
torch.set_num_threads(1)
model, data, out, *inputs = sys.argv[1:]
data = Path(data)
config = EvaluationConfig(model, data, Path(out), dict.fromkeys(inputs), data / 'features',
                          device='cpu', max_new_tokens=6)
Evaluation(config).run()
"""


def lines(config: EvaluationConfig) -> list[dict]:
    text = (config.out / 'answers.jsonl').read_text()
    return [json.loads(line) for line in text.splitlines()]


def content(records) -> dict:
    """Records by their key, without what differs from run to run."""
    assert len({key_of(r) for r in records}) == len(records)
    return {key_of(r): {k: v for k, v in r.items() if k not in UNTIMED} for r in records}


def stop_after(count: int):
    def progress(records):
        for number, record in enumerate(records):
            if number == count:
                raise KeyboardInterrupt
            yield record

    return progress


def test_every_question_is_answered_once_for_each_input(configure):
    config = configure()
    records = Evaluation(config).run()
    assert len(records) == 10 * 3
    assert content(records) == content(lines(config))
    assert {r['input'] for r in records} == set(INPUTS)
    assert {r['video'] for r in records} == {'walk', 'round'}
    assert all(r['video_name'] == r['video'] for r in records)
    assert all(r['status'] == 'OK' for r in records)


def test_an_interrupted_run_goes_on_without_repeating_or_losing_a_question(configure):
    whole = content(Evaluation(configure('whole')).run())
    for count in (0, 1, 16, 29):
        config = configure(f'stopped_{count}')
        with pytest.raises(KeyboardInterrupt):
            Evaluation(config).run(stop_after(count))
        before = lines(config)
        assert len(before) == count
        records = Evaluation(config).run()
        assert lines(config)[:count] == before
        assert content(records) == whole


def test_a_killed_run_goes_on(configure, checkpoint, data, tmp_path):
    config = configure('killed')
    answers = config.out / 'answers.jsonl'
    arguments = [checkpoint, data, config.out, *INPUTS]
    child = subprocess.Popen([sys.executable, '-c', PROGRAM, *map(str, arguments)])
    try:
        while child.poll() is None and not (answers.exists() and answers.stat().st_size > 3000):
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
    finally:
        child.wait()
    done = answers.read_bytes().count(b'\n')
    assert 0 < done < 30, 'the kill came too early or too late'
    with answers.open('ab') as file:  # where it might have come: within a line
        file.write(b'{"input": "star", "se')
    records = Evaluation(config).run()
    assert content(records) == content(Evaluation(configure('whole')).run())


def test_a_run_that_is_done_answers_nothing_again(configure):
    config = configure()
    Evaluation(config).run()
    before = (config.out / 'answers.jsonl').read_bytes()
    Evaluation(config).run(stop_after(0))  # would raise at the first answer
    assert (config.out / 'answers.jsonl').read_bytes() == before


def test_a_full_disk_is_said_and_loses_nothing(configure):
    """A limit on the size of files stands in for a full disk."""
    config = configure()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    evaluation = Evaluation(config)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(OSError, match=r'results are kept; make room .*answers\.jsonl'):
            evaluation.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = lines(config)
    assert kept
    records = Evaluation(config).run()
    assert lines(config)[: len(kept)] == kept
    assert content(records) == content(Evaluation(configure('whole')).run())


def test_inputs_can_be_added_later(configure):
    first = Evaluation(configure('out', ('star',))).run()
    both = Evaluation(configure('out', ('star', 'newest_4'))).run()
    assert content(both).items() >= content(first).items()
    assert len(both) == 20
    settings = json.loads((configure().out / 'run.json').read_text())
    assert list(settings['inputs']) == ['star', 'newest_4']


def test_an_input_may_have_a_model_of_its_own(configure, other_checkpoint):
    config = configure(inputs={'star': None, 'uniform': str(other_checkpoint)})
    own = content(Evaluation(config).run())
    common = content(Evaluation(configure('common', ('star', 'uniform'))).run())
    assert {k: v for k, v in own.items() if k[0] == 'star'} == {
        k: v for k, v in common.items() if k[0] == 'star'
    }
    assert own != common
    settings = json.loads((config.out / 'run.json').read_text())['inputs']
    assert (settings['star']['trained_on'], settings['uniform']['trained_on']) == (None, None)
    assert settings['star']['weights'] != settings['uniform']['weights']


def test_the_report_says_what_the_checkpoint_says_of_its_training(configure, other_checkpoint):
    (noted := other_checkpoint.parent / 'noted').mkdir()
    for path in other_checkpoint.iterdir():
        (noted / path.name).symlink_to(path)
    note_training(noted, 2, 'uniform')
    inputs = {'star': None, 'newest_4': str(noted), 'uniform': str(noted)}
    config = configure(inputs=inputs, model=str(noted), limit=1)
    Evaluation(config).run()
    settings = json.loads((config.out / 'run.json').read_text())['inputs']
    assert {name: item['trained_on'] for name, item in settings.items()} == dict.fromkeys(
        inputs, 'uniform'
    )


def test_the_whole_video_path_gives_the_same_answers(configure):
    inputs = ('star', 'no_temporal')
    streaming = content(Evaluation(configure('streaming', inputs)).run())
    whole = content(Evaluation(configure('whole', inputs, path='whole')).run())
    assert streaming.keys() == whole.keys()
    for key, record in streaming.items():
        assert whole[key]['answer'] == record['answer']
        assert whole[key]['frames_seen'] == record['frames_seen']
        probabilities = pytest.approx(record['choice_probabilities'], abs=1e-4)
        assert whole[key]['choice_probabilities'] == probabilities


def test_recordings_are_encoded_once_for_all_inputs_of_an_encoder(
    configure, checkpoint, other_checkpoint, vstream, tmp_path, monkeypatch
):
    from test_evaluation_streams import write_video

    from flash_vstream_ros.core.encoder import Encoder

    encoded = []
    forward = Encoder.forward
    monkeypatch.setattr(
        Encoder, 'forward', lambda self, frames: encoded.append(self) or forward(self, frames)
    )
    data = tmp_path / 'videos'
    write_video(data / 'walk.mp4', seconds=6)
    entries = [entry(n, end_time=t, duration=6.0) for n, t in enumerate((5.0, 5.5))]
    write_json(data / 'questions.json', entries)
    inputs = {'star': None, 'newest_4': None, 'uniform': str(other_checkpoint)}
    config = configure('out', inputs, data=data, features=None)
    records = Evaluation(config).run()
    assert {r['frames_seen'] for r in records} == {6}
    assert len(records) == 6
    assert len(encoded) == 2 * 6


def test_only_the_first_questions_are_asked(configure):
    records = Evaluation(configure(limit=3)).run()
    assert sorted({r['id'] for r in records}) == ['walk_00', 'walk_01', 'walk_02']
    assert len(Evaluation(configure(limit=4)).run()) == 12


def test_features_pooled_to_the_details_give_the_same_answers(configure, data, vstream):
    whole = content(Evaluation(configure('whole', ('star',))).run())
    side = vstream.geometry.detail_side
    for number, video in enumerate(('walk', 'round')):
        features = scenes(40, vstream.geometry, seed=number)
        step = vstream.geometry.feature_side // side
        pooled = features.unflatten(1, (side, step)).unflatten(3, (side, step)).mean((2, 4))
        write_features(data / f'features/{video}.safetensors', pooled)
    pooled = content(Evaluation(configure('pooled', ('star',))).run())
    assert {k: r['answer'] for k, r in pooled.items()} == {
        k: r['answer'] for k, r in whole.items()
    }


def test_a_description_is_of_the_maps_that_were_shown(configure, data, vstream):
    """Stored maps of 4x4 show 16 tokens a frame, whatever the encoder's own side is."""
    for number, video in enumerate(('walk', 'round')):
        features = scenes(40, vstream.geometry, seed=number)[:, :4, :4]
        write_features(data / f'features/{video}.safetensors', features)
    config = configure('out', ('last_frame', 'newest_4'))
    records = Evaluation(config).run()
    inputs = json.loads((config.out / 'run.json').read_text())['inputs']
    assert inputs['last_frame']['description'] == 'newest 1 frame of 4x4, 16 tokens'
    assert inputs['newest_4']['description'] == 'newest 4 frames of 4x4, 64 tokens'
    assert {r['tokens'] for r in records if r['input'] == 'last_frame'} == {16}
    assert {r['tokens'] for r in records if r['input'] == 'newest_4'} == {64}


def test_the_model_is_run_in_the_type_asked_for(configure):
    config = configure('out', ('star',), dtype='bfloat16', limit=1)
    evaluation = Evaluation(config)
    (model,) = evaluation._models.values()
    assert model.projector[0].weight.dtype == torch.bfloat16
    assert evaluation.run()[0]['status'] == 'OK'


def test_equal_checkpoints_have_equal_names(tmp_path):
    from flash_vstream_ros.evaluation.run_folder import checkpoint_digest

    one, two, other = (
        make_random_checkpoint(Path(tmp_path / name), seed=seed)
        for name, seed in (('a', 1), ('b', 1), ('c', 2))
    )
    assert checkpoint_digest(str(one)) == checkpoint_digest(str(two))
    assert checkpoint_digest(str(one)) != checkpoint_digest(str(other))
