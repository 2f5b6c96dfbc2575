# SPDX-License-Identifier: Apache-2.0
from collections import Counter

import pytest
import torch
from safetensors.torch import save_file

from flash_vstream_ros.data.recordings import identity
from flash_vstream_ros.training.config import DataSource, TrainingConfig
from flash_vstream_ros.training.dataset import MicroBatches, TrainingData, epoch_order
from flash_vstream_ros.training.sequences import TrainingPrompt


def config_of(*sources, **values):
    return TrainingConfig(init='-', out='-', data=sources, **values)


@pytest.fixture
def load(checkpoint, vstream, tmp_path):
    prompt = TrainingPrompt.from_file(checkpoint / 'tokenizer.model')

    def load(*sources, encoder_id='e', **values):
        config = config_of(*sources, memory_cache=str(tmp_path / 'cache'), **values)
        return TrainingData(config, vstream.geometry, prompt, encoder_id)

    return load


def test_questions_and_conversations_become_one_set(load, data, write_json):
    talk = [{'from': 'human', 'value': '<image>\nWhat?'}, {'from': 'gpt', 'value': 'A cup.'}]
    path = write_json([{'video': 'two.mp4', 'conversations': talk}, {'conversations': talk}])
    features = str(data / 'features')
    items = load(
        DataSource(questions=str(data / 'questions.json'), features=features),
        DataSource(conversations=str(path), features=features),
        turns_per_sequence=3,
    )
    assert len(items) == 3 * 2 * 2 + 2  # three streams, two moments of five questions, 3 + 2
    for index in range(len(items)):
        sequence, memory, _ = items[index]
        assert sequence.is_memory.sum() == memory.count
    assert items[len(items) - 1][1].count == 0
    assert 'questions.json, line' in items[0][2]
    assert 'one at 20 s' in items[0][2]


def entry(**changes):
    return {'video_name': 'one', 'question': 'q', 'answer': 'a', 'end_time': 5.0} | changes


@pytest.mark.parametrize(
    ('changes', 'error', 'words'),
    [
        ({'video_name': 'none'}, FileNotFoundError, 'none.safetensors: no such file'),
        ({'end_time': 99.0}, ValueError, 'asked at 99 s, expected 0 to 40 s'),
    ],
)
def test_what_is_wrong_with_an_example_is_found_at_once(
    load, data, write_json, changes, error, words
):
    path = write_json([entry(), entry(**changes)])
    source = DataSource(questions=str(path), features=str(data / 'features'))
    with pytest.raises(error, match=r'entries\.json, line 8: .*' + words):
        load(source)


def test_features_of_another_encoder_are_refused(load, data, write_json, tmp_path):
    save_file(
        {'feature': torch.zeros(9, 16, 40)}, tmp_path / 'one.safetensors', {'encoder_id': 'x'}
    )
    source = DataSource(questions=str(write_json([entry()])), features=str(tmp_path))
    with pytest.raises(ValueError, match=r'line 2: .*encoder x.*encoder e'):
        load(source)
    assert len(load(source, encoder_id='x')) == 1


def test_features_of_another_geometry_are_refused(load, write_json, tmp_path):
    save_file({'feature': torch.zeros(9, 16, 41)}, tmp_path / 'one.safetensors')
    source = DataSource(questions=str(write_json([entry()])), features=str(tmp_path))
    with pytest.raises(ValueError, match=r'line 2: .*width 41.*geometry of width 40'):
        load(source)


def test_the_questions_of_vstream_qa_are_refused(load, data, write_json):
    """They are a test, and count from the start of a clip: 500 would be another second."""
    path = write_json([entry()])
    path = path.rename(path.with_name('test_qa_ego4d.json'))
    source = DataSource(questions=str(path), features=str(data / 'features'))
    with pytest.raises(ValueError, match=r'test_qa_ego4d\.json: expected questions to train on'):
        load(source)


def test_an_empty_set_is_refused(load, data, write_json):
    features = str(data / 'features')
    full = DataSource(questions=str(data / 'questions.json'), features=features)
    empty = DataSource(questions=str(write_json([])), features=features)
    for sources in ((empty,), (full, empty)):
        with pytest.raises(ValueError, match=rf'{empty.text}: expected at least one example'):
            load(*sources)


def test_features_of_another_recording_than_the_one_beside_are_refused(load, write_json, tmp_path):
    path = write_json([entry()])
    recording = path.parent / 'one.json'
    recording.write_text('[]')
    about = {'source': 'other'}
    save_file({'feature': torch.zeros(9, 16, 40)}, tmp_path / 'one.safetensors', about)
    source = DataSource(questions=str(path), features=str(tmp_path))
    words = rf'line 2: {tmp_path}/one.*features of another recording than {recording}'
    with pytest.raises(ValueError, match=words):
        load(source)
    about = {'source': identity(recording)}
    save_file({'feature': torch.zeros(9, 16, 40)}, tmp_path / 'one.safetensors', about)
    assert len(load(source)) == 1


def batches(examples, start, stop, processes=1, process=0, **values):
    config = config_of(DataSource(questions='q', features='f'), **values)
    return list(MicroBatches(examples, config, start, stop, process, processes))


def test_each_epoch_sees_every_example_once_in_an_order_of_its_own():
    seen = [i for batch in batches(10, 0, 6, global_batch=5, micro_batch=5) for i in batch]
    epochs = [seen[k : k + 10] for k in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_no_example_is_left_out_where_an_epoch_ends_within_a_step():
    seen = [i for batch in batches(7, 0, 21, global_batch=4, micro_batch=2) for i in batch]
    assert set(Counter(seen).values()) == {12}


def test_a_run_goes_on_with_what_it_would_have_seen():
    whole = batches(11, 0, 9, global_batch=4, micro_batch=2, seed=3)
    assert batches(11, 4, 9, global_batch=4, micro_batch=2, seed=3) == whole[8:]


def test_processes_and_micro_batches_share_each_step_out():
    """Whatever the division, step by step it is the same data."""
    expected = [sorted(batch) for batch in batches(50, 0, 4, global_batch=12, micro_batch=12)]
    for processes, micro in ((1, 4), (2, 3), (3, 2), (4, 3), (12, 1)):
        shares = [
            batches(50, 0, 4, processes, process, global_batch=12, micro_batch=micro)
            for process in range(processes)
        ]
        per_step = len(shares[0]) // 4
        for step in range(4):
            part = slice(step * per_step, (step + 1) * per_step)
            assert sorted(i for s in shares for batch in s[part] for i in batch) == expected[step]
        assert len(shares[0]) == 4 * 12 // (processes * micro)


def test_a_batch_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ValueError, match='multiple of micro_batch 4 x 3 processes, got 16'):
        batches(50, 0, 4, 3, global_batch=16, micro_batch=4)


def test_the_order_depends_on_the_seed():
    assert epoch_order(20, 1, 0) != epoch_order(20, 2, 0)
    assert epoch_order(20, 1, 0) == epoch_order(20, 1, 0)
