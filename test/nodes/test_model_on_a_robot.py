# SPDX-License-Identifier: Apache-2.0
"""The trained model on a robot: a bag through both nodes, and answers that are right."""

import json
from pathlib import Path

import pytest
import torch

from flash_vstream_ros.evaluation.evaluation import Evaluation, EvaluationConfig
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.nodes.replay_results import score
from flash_vstream_ros.simulator.dataset import QUESTIONS, split_seeds, write_dataset
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.writing import Form

MODEL = Path(__file__).parents[2] / 'models/patrol-tiny'
ASKED = 24


@pytest.fixture(scope='module')
def patrols(tmp_path_factory) -> Path:
    """Two bags of two minutes, JPEG at 2 Hz, and questions to both."""
    folder = tmp_path_factory.mktemp('patrols') / 'data'
    about = PatrolDescription(seed=0, seconds=120.0, rate_hz=2.0, size=(320, 240))
    form = Form('bag', questions=ASKED, at_once=8)
    write_dataset(folder, split_seeds('test', 2, skip=600_000), about, form)
    return folder


def replay(bag: Path, entries: list[dict], namespace: str, out: Path) -> list[dict]:
    """Both nodes as processes, and a client that plays the bag in step with them and asks."""
    questions, answers = out / 'questions.json', out / 'answers.jsonl'
    asked = [
        {
            'at': entry['end_time'],
            'question': entry['question'],
            'choices': entry.get('choices', []),
            'truth': entry['answer'],
        }
        for entry in entries
    ]
    questions.write_text(json.dumps(asked))
    words = [str(bag), '--in-step', '--questions', str(questions), '--out', str(answers)]
    environment = {'OMP_NUM_THREADS': '1'}
    with (
        NodeProcess(
            'frame_handler',
            {'model': MODEL, 'image_transport': 'compressed', 'publish_rate': 1000.0},
            namespace=namespace,
            environment=environment,
            log=out / 'frame_handler.log',
        ),
        NodeProcess(
            'question_handler',
            {'model': MODEL},
            namespace=namespace,
            environment=environment,
            log=out / 'question_handler.log',
        ),
        NodeProcess(
            'replay_client', arguments=words, namespace=namespace, log=out / 'replay.log'
        ) as client,
    ):
        status = client.process.wait(240.0)
    assert status == 0, client.output()
    assert 'answers are right' in client.output()
    return [json.loads(line) for line in answers.read_text().splitlines()]


def test_the_nodes_answer_as_the_core_does_and_mostly_right(patrols, namespace, tmp_path):
    config = EvaluationConfig(
        str(MODEL), patrols, tmp_path / 'core', {'star': None}, device='cpu', dtype='float32'
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the nodes: else sums differ in their last bits
    core = {record['id']: record for record in Evaluation(config).run()}
    torch.set_num_threads(threads)
    entries = json.loads((patrols / QUESTIONS).read_text())
    bags = list(dict.fromkeys(entry['video_name'] for entry in entries))
    assert len(bags) == 2
    results = []
    for bag in bags:
        own = [entry for entry in entries if entry['video_name'] == bag]
        out = tmp_path / bag
        out.mkdir()
        found = replay(patrols / bag, own, f'{namespace}/{bag}', out)
        # The client asks in order of time, as the file has them.
        for entry, result in zip(own, found, strict=True):
            same = core[entry['id']]
            assert (result['at'], result['question']) == (same['at'], same['question'])
            assert result['frames_seen'] == same['frames_seen']
            assert result['answer'] == same['answer'], entry
            assert result['choice_probabilities'] == pytest.approx(
                same['choice_probabilities'], abs=1e-3
            )
        results += found
    right = int(score(results).split()[0])
    assert right == sum(record['correct'] for record in core.values())
    assert right > 0.6 * len(results)
