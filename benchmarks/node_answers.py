# SPDX-License-Identifier: Apache-2.0
"""Whether the two nodes, through DDS and bags, answer as the core does: every answer compared.

scripts/in_ros_env.sh python3 benchmarks/node_answers.py --streams 10 --questions 36

Simulated patrols of the tests' seeds are recorded as bags; a replay in step shows them to the
running nodes and asks. The core evaluates the same bags.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flash_vstream_ros.evaluation.evaluation import Evaluation, EvaluationConfig
from flash_vstream_ros.evaluation.judges import is_right
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.simulator.dataset import QUESTIONS, split_seeds, write_dataset
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.writing import Form

MODEL = Path(__file__).resolve().parents[1] / 'models' / 'patrol-tiny'
RATE_HZ = 1.0
SIZE = (320, 240)
Record = Mapping[str, Any]


def record(folder: Path, streams: int, minutes: float, questions: int) -> list[dict[str, Any]]:
    """Record patrols as bags; returns the entries of all questions."""
    form = Form('bag', questions=questions, at_once=min(questions, 12))
    about = PatrolDescription(seed=0, seconds=minutes * 60.0, rate_hz=RATE_HZ, size=SIZE)
    write_dataset(folder, split_seeds('test', streams), about, form)
    return json.loads((folder / QUESTIONS).read_text())


def ask_nodes(
    bag: Path, entries: Sequence[Record], model: Path, out: Path
) -> list[dict[str, Any]]:
    """Replay a bag in step with both nodes; returns a result for each question, in their order.

    :raises RuntimeError: the replay failed; its output is told.
    """
    questions = out / f'{bag.name}.asked.json'
    asked = [
        {'at': e['end_time'], 'question': e['question'], 'choices': e.get('choices', [])}
        for e in entries
    ]
    questions.write_text(json.dumps(asked))
    answers = out / f'{bag.name}.answers.jsonl'
    arguments = [str(bag), '--in-step', '--questions', str(questions), '--out', str(answers)]
    # Each memory is waited for: none is held back.
    parameters = {'model': model, 'sample_rate': RATE_HZ, 'publish_rate': 1000.0}
    with (
        NodeProcess('frame_handler', parameters, log=out / 'frame_handler.log'),
        NodeProcess('question_handler', {'model': model}, log=out / 'question_handler.log'),
        NodeProcess('replay_client', arguments=arguments, log=out / 'replay.log') as replay,
    ):
        if replay.process.wait(3600.0):
            raise RuntimeError(f'{bag.name}: the replay failed:\n{replay.output()}')
    results = [json.loads(line) for line in answers.read_text().splitlines()]
    # The client answers in the order of the moments; at equal ones, of the file.
    order = sorted(range(len(entries)), key=lambda i: entries[i]['end_time'])
    by_place = dict(zip(order, results, strict=True))
    return [by_place[place] for place in range(len(entries))]


def compare(folder: Path, entries: Sequence[Record], model: Path) -> dict[str, int]:
    """Ask the nodes and the core; count answers, equal ones, and right ones of each."""
    evaluation = Evaluation(
        EvaluationConfig(str(model), folder, folder / 'core', {'star': None}, device='cpu')
    )
    core = {r['id']: r for r in evaluation.run()}
    groups = {q.id: q.group for q in evaluation.questions}
    counts = {'answers': 0, 'equal': 0, 'right_nodes': 0, 'right_core': 0}
    for name in dict.fromkeys(entry['video_name'] for entry in entries):
        own = [entry for entry in entries if entry['video_name'] == name]
        for entry, result in zip(own, ask_nodes(folder / name, own, model, folder), strict=True):
            said, truth = result['answer'], entry['answer']
            counts['answers'] += 1
            counts['equal'] += said == core[entry['id']]['answer']
            counts['right_nodes'] += is_right(said, truth, groups[entry['id']])
            counts['right_core'] += core[entry['id']]['correct']
    return counts


def main() -> int:
    """Compare and print; the exit status is 1 where an answer differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', type=Path, default=MODEL)
    parser.add_argument('--streams', type=int, default=10)
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument('--questions', type=int, default=36, help='to each stream')
    arguments = parser.parse_args()
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_DOMAIN_ID'] = str(random.randint(1, 100))
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / 'data'
        entries = record(data, arguments.streams, arguments.minutes, arguments.questions)
        counts = compare(data, entries, arguments.model)
    print(
        f'{arguments.streams} bags of {arguments.minutes:g} minutes, {counts["answers"]} answers: '
        f'{counts["equal"]} equal; right: nodes {counts["right_nodes"]}, core '
        f'{counts["right_core"]}'
    )
    return int(counts['equal'] < counts['answers'])


if __name__ == '__main__':
    sys.exit(main())
