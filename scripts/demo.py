# SPDX-License-Identifier: Apache-2.0
"""The whole path on a recording: camera topic, frame handler, question handler, answers.

Run by `make demo`: a simulated patrol, whose truth is shown beside the answers. `make demo
VIDEO=clip.mp4`, `BAG=folder`, `MODEL=folder` take your own.
"""

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path

from flash_vstream_ros.core.checkpoint_files import resolve_folder
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.replay.recorded_frame import NS_PER_S
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.writing import Form, write_patrol

MODEL = Path(__file__).resolve().parents[1] / 'models' / 'patrol-tiny'
SAMPLE_RATE_HZ = 1.0
# One of the tests' seeds: no model is trained on it.
PATROL = PatrolDescription(seed=2_500_000, seconds=180.0, rate_hz=5.0, size=(640, 480))
ASKED = 12
SPEED = 4.0
# Of another recording: a share of its length, and what is asked then.
QUESTIONS = (
    (0.25, 'What do you see?', []),
    (0.5, 'Is there a person?', ['yes', 'no']),
    (0.75, 'What happened so far?', []),
    (1.0, 'What did you see first?', []),
)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    recording = parser.add_mutually_exclusive_group()
    recording.add_argument('--video', type=Path, help='video file')
    recording.add_argument('--bag', type=Path, help='folder of a rosbag2 (sqlite3 or mcap)')
    parser.add_argument('--topic', help='image topic of the bag, where it has several')
    parser.add_argument('--model', help='checkpoint: folder in the published layout, or hub id; '
                        'default: the small trained one in models/')  # fmt: skip
    parser.add_argument('--out', type=Path, default=Path('demo_output'), help='output folder')
    return parser.parse_args()


def write_questions(path: Path, seconds: float) -> None:
    """Spread the questions over a recording of this many seconds."""
    entries = [
        {'at': round(share * seconds, 3), 'question': text, 'choices': choices,
         'max_new_tokens': 24}
        for share, text, choices in QUESTIONS
    ]  # fmt: skip
    path.write_text(json.dumps(entries, indent=1))


def record(path: Path, questions: Path) -> None:
    """Record a simulated patrol, in place of that of an earlier demo, with questions to it."""
    former = [old for old in (path, *path.parent.glob(f'{path.stem}.*.json')) if old.exists()]
    if former and not path.with_name(f'{path.stem}.events.json').exists():
        raise SystemExit(
            f'{path} is of no earlier demo and is not overwritten; choose another OUT'
        )
    for old in former:
        old.unlink()
    write_patrol(path, PATROL, Form('mp4', questions=ASKED, at_once=1))
    asked = json.loads(path.with_name(f'{path.stem}.questions.json').read_text())
    entries = [
        {'at': entry['end_time'], 'question': entry['question'], 'truth': entry['answer'],
         'choices': entry.get('choices', []), 'max_new_tokens': 48}
        for entry in asked
    ]  # fmt: skip
    questions.write_text(json.dumps(entries, indent=1))


def length_s(path: Path, topic: str | None) -> float:
    """Length of a recording; counted frame by frame where the file does not say."""
    recording = open_recording(path, topic)
    if recording.duration_ns is not None:
        return recording.duration_ns / NS_PER_S
    last_ns = max((frame.stamp_ns for frame in recording), default=recording.start_ns)
    return (last_ns - recording.start_ns) / NS_PER_S


def main() -> int:
    """Run the demo; the exit status is that of the replay."""
    arguments = parse_arguments()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    is_simulated = not (arguments.video or arguments.bag)
    path = arguments.video or arguments.bag or out / 'recording.mp4'
    questions = out / 'questions.json'
    try:
        if is_simulated:
            record(path, questions)
        else:
            write_questions(questions, length_s(path, arguments.topic))
        # Here, so that the progress of a download is seen; the nodes write to log files.
        model = resolve_folder(arguments.model or MODEL)
    except (ValueError, OSError) as error:
        print(f'demo: {error}', file=sys.stderr)
        return 1
    if not (is_simulated or arguments.model):
        print(
            f'The model in the box, {MODEL.name}, knows simulated patrols only: what it answers '
            f'about another recording means nothing. Name your own with MODEL=folder.'
        )
    return run(path, arguments.topic, model, questions, out, SPEED if is_simulated else 1.0)


def run(
    path: Path, topic: str | None, model: str | Path, questions: Path, out: Path, speed: float
) -> int:
    """Start both nodes and the replay, and wait for the replay's end.

    :param speed: 2.0 plays twice as fast as it was recorded.

    :returns: its exit status; 1 where a node ended before it.
    """
    # Alone on this machine, so that a robot nearby neither hears nor disturbs the demo.
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_DOMAIN_ID'] = str(random.randint(1, 100))
    arguments = [str(path), '--questions', str(questions), '--out', str(out / 'answers.jsonl'),
                 '--picture', str(out / 'memory.png'), '--speed', str(speed)]  # fmt: skip
    arguments += ['--topic', topic] if topic else []
    sampling = {'model': model, 'sample_rate': SAMPLE_RATE_HZ}
    with (
        NodeProcess('frame_handler', sampling, log=_fresh(out / 'frame_handler.log')) as frames,
        NodeProcess(
            'question_handler', {'model': model}, log=_fresh(out / 'question_handler.log')
        ) as answers,
        NodeProcess('replay_client', arguments=arguments) as replay,
    ):
        while not replay.has_ended:
            for node in (frames, answers):
                if node.has_ended:
                    print(f'demo: the {node.program} ended:\n{node.output()}', file=sys.stderr)
                    return 1
            time.sleep(0.1)
        print(f'logs, questions and answers: {out}')
        return replay.process.returncode


def _fresh(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


if __name__ == '__main__':
    sys.exit(main())
