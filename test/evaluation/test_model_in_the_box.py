# SPDX-License-Identifier: Apache-2.0
"""The trained model in the box answers what is right; nothing less would show that all fits."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.evaluation.evaluation import Evaluation, EvaluationConfig
from flash_vstream_ros.simulator.dataset import split_seeds, write_dataset
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.writing import Form

MODEL = Path(__file__).parents[2] / 'models/patrol-tiny'
MAX_BYTES = 20_000_000
STREAMS, QUESTIONS = 4, 36
LEAST = {'open': 0.7, 'closed': 0.6}  # shares of right answers


@pytest.fixture(scope='module')
def patrols(tmp_path_factory) -> Path:
    """Patrols of three minutes that no model was trained on."""
    folder = tmp_path_factory.mktemp('patrols') / 'data'
    about = PatrolDescription(seed=0, seconds=180.0, rate_hz=1.0, size=(128, 96))
    form = Form('description', questions=QUESTIONS, at_once=12)
    write_dataset(folder, split_seeds('test', STREAMS, skip=500_000), about, form)
    return folder


@pytest.fixture(scope='module')
def evaluate(patrols, tmp_path_factory):
    def run(out: str, **changes):
        values = {'inputs': {'star': None}, 'device': 'cpu', 'dtype': 'float32'} | changes
        path = tmp_path_factory.mktemp('results') / out
        return Evaluation(EvaluationConfig(str(MODEL), patrols, path, **values)).run()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield run
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def answers(evaluate):
    return evaluate('streaming')


def test_it_is_small():
    files = [path for path in MODEL.rglob('*') if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_its_checkpoint_is_in_the_published_layout():
    config = json.loads((MODEL / 'config.json').read_text())
    assert config['model_type'] == 'vstream'
    vstream = FlashVStream.from_pretrained(MODEL)  # strict: each key, each shape
    assert vstream.geometry.tokens == 272


def test_most_of_its_answers_are_right(answers):
    """Of unseen patrols. Guessing gets 50 % of the closed and next to none of the open ones."""
    asked, right = Counter(), Counter()
    for answer in answers:
        assert answer['status'] == 'OK'
        asked[answer['group']] += 1
        right[answer['group']] += answer['correct']
    assert asked.total() == STREAMS * QUESTIONS
    assert right['open'] / asked['open'] > LEAST['open']
    assert right['closed'] / asked['closed'] > LEAST['closed']


def test_without_the_memory_it_guesses(evaluate, answers):
    """What makes the answers right is what was seen."""
    blind = evaluate('blind', inputs={'question_only': None})
    assert sum(a['correct'] for a in blind) < 0.5 * sum(a['correct'] for a in answers)


def test_the_whole_video_gives_the_answers_of_the_stream(evaluate, answers):
    whole = evaluate('whole', path='whole')
    said = {answer['id']: answer['answer'] for answer in answers}
    assert {answer['id']: answer['answer'] for answer in whole} == said
