# SPDX-License-Identifier: Apache-2.0
"""The whole path on a recording: camera topic, frame handler, question handler, answers.

Run by `make demo`: a simulated patrol, whose truth is shown beside the answers. `make demo
VIDEO=clip.mp4`, `BAG=folder`, `MODEL=folder` take your own. Imports of other packages stand where
they are needed: a wrong path is said at once, and Ctrl-C ends it without a traceback.
"""

import argparse
import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path

MODEL = Path(__file__).resolve().parents[1] / 'models' / 'patrol-tiny'
SAMPLE_RATE_HZ = 1.0
SEED = 2_500_000  # one of the tests': no model is trained on it
PATROL_S, RATE_HZ, SIZE = 180.0, 5.0, (640, 480)
ASKED = 12
MOST_TOKENS = 48
SPEED = 4.0
# Of another recording: a share of its length, and what is asked then.
QUESTIONS = (
    (0.25, 'What do you see?', []),
    (0.5, 'Is there a person?', ['yes', 'no']),
    (0.75, 'What happened so far?', []),
    (1.0, 'What did you see first?', []),
)
RECORDING = 'recording'
NODES_FILES = ('frame_handler.log', 'question_handler.log')
RESULTS = ('questions.json', 'answers.jsonl', 'memory.png', *NODES_FILES)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog='demo', description=__doc__.splitlines()[0])
    parser.add_argument('--video', type=Path, help='video file')
    parser.add_argument('--bag', type=Path, help='folder of a rosbag2 (sqlite3 or mcap)')
    parser.add_argument('--topic', help='image topic of the bag, where it has several')
    parser.add_argument('--model', help='checkpoint: folder in the published layout, or hub id; '
                        'default: the small trained one in models/')  # fmt: skip
    parser.add_argument('--out', type=Path, default=Path('demo_output'), help='output folder')
    return parser.parse_args()


def check(arguments: argparse.Namespace) -> None:
    """Find out before anything heavy is imported what cannot be used.

    :raises ValueError: an argument is wrong; it is named as `make demo` names it.
    """
    video, bag, out = arguments.video, arguments.bag, arguments.out
    if video and bag:
        raise ValueError('give VIDEO= or BAG=, not both')
    for name, path in (('VIDEO', video), ('BAG', bag)):
        if path and not path.exists():
            raise ValueError(f'{name}: {path}: no such file or folder; give the path of one')
    if video and video.is_dir():
        raise ValueError(
            f'VIDEO: {video}: expected a video file, got a folder; a bag is given as BAG={video}'
        )
    if out.exists() and not out.is_dir():
        raise ValueError(f'OUT: {out}: expected a folder, got a file; choose another OUT')
    model = arguments.model
    if model and not Path(model).expanduser().is_dir() and model.count('/') != 1:
        raise ValueError(
            f'MODEL: {model}: no such folder; expected the folder of a checkpoint, or a hub id as '
            f'IVGSZ/Flash-VStream-7b'
        )


def find_model(model: str | None) -> Path:
    """Find a checkpoint's folder; here, so that the progress of a download is seen."""
    folder = Path(model or MODEL).expanduser()
    if folder.is_dir():
        return folder
    from flash_vstream_ros.core.checkpoint_files import resolve_folder

    return resolve_folder(model)


def clear(out: Path, source: Path | None) -> None:
    """Remove what an earlier demo has left, which would stand beside the new answers.

    :param source: the recording that is about to be played; it may be that of the earlier demo.
    :raises ValueError: a recording of no demo is in the way.
    """
    for name in RESULTS:
        (out / name).unlink(missing_ok=True)
    former = [path for path in out.glob(f'{RECORDING}.*') if path.is_file()]
    if source and source.resolve() in [path.resolve() for path in former]:
        return
    if (out / f'{RECORDING}.events.json').exists():
        for path in former:
            path.unlink()
    elif former and source is None:
        raise ValueError(
            f'{former[0]} is of no earlier demo and is not overwritten; choose another OUT'
        )


def record(out: Path) -> Path:
    """Record a simulated patrol, with questions to it."""
    print(f'drawing a patrol of {PATROL_S:.0f} s', flush=True)
    from flash_vstream_ros.simulator.description import PatrolDescription
    from flash_vstream_ros.simulator.writing import Form, write_patrol

    path = out / f'{RECORDING}.mp4'
    about = PatrolDescription(seed=SEED, seconds=PATROL_S, rate_hz=RATE_HZ, size=SIZE)
    write_patrol(path, about, Form('mp4', questions=ASKED, at_once=1))
    return path


def write_questions(path: Path, recording: Path, topic: str | None) -> bool:
    """Write what is asked: what the simulator has laid beside the recording, or a few of ours.

    :returns: whether the recording is one of the simulator's, whose truth is known.
    """
    from flash_vstream_ros.replay.questions import questions_beside, read_questions

    beside = questions_beside(recording)
    if beside:
        known = read_questions(beside, recording)
        every = math.ceil(len(known) / ASKED) or 1
        asked = known[::every]  # no more than the nodes keep up with
        print(f'asking {len(asked)} of the {len(known)} questions in {beside}')
        entries = [
            {'at': q.at, 'question': q.question, 'choices': list(q.choices), 'truth': q.truth}
            for q in asked
        ]
    else:
        seconds = length_s(recording, topic)
        entries = [
            {'at': round(share * seconds, 3), 'question': text, 'choices': choices}
            for share, text, choices in QUESTIONS
        ]
    entries = [entry | {'max_new_tokens': MOST_TOKENS} for entry in entries]
    path.write_text(json.dumps(entries, indent=1))
    return beside is not None


def length_s(path: Path, topic: str | None) -> float:
    """Length of a recording; counted frame by frame where the file does not say."""
    from flash_vstream_ros.replay.recorded_frame import NS_PER_S
    from flash_vstream_ros.replay.recording import open_recording

    recording = open_recording(path, topic)
    if recording.duration_ns is not None:
        return recording.duration_ns / NS_PER_S
    last_ns = max((frame.stamp_ns for frame in recording), default=recording.start_ns)
    return (last_ns - recording.start_ns) / NS_PER_S


def main() -> int:
    """Run the demo; the exit status is that of the replay."""
    arguments = parse_arguments()
    out: Path = arguments.out
    source = arguments.video or arguments.bag
    try:
        check(arguments)
        model = find_model(arguments.model)
        out.mkdir(parents=True, exist_ok=True)
        clear(out, source)
        path = source or record(out)
        is_simulated = write_questions(out / 'questions.json', path, arguments.topic)
    except (ValueError, OSError) as error:
        print(f'demo: {error}', file=sys.stderr)
        return 1
    if not (is_simulated or arguments.model):
        print(
            f"{MODEL.name} knows only this package's simulated patrols: its answers about any "
            f'other recording mean nothing. Name your own model with MODEL=folder.'
        )
    return run(path, arguments.topic, model, out, SPEED if is_simulated else 1.0)


def run(path: Path, topic: str | None, model: Path, out: Path, speed: float) -> int:
    """Start both nodes and the replay, and wait for the replay's end.

    :param speed: 2.0 plays twice as fast as it was recorded.
    :returns: its exit status; 1 where a node ended before it.
    """
    from flash_vstream_ros.nodes.processes import NodeProcess

    # Alone on this machine, so that a robot nearby neither hears nor disturbs the demo.
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_DOMAIN_ID'] = str(random.randint(1, 100))
    arguments = [str(path), '--questions', str(out / 'questions.json'), '--out',
                 str(out / 'answers.jsonl'), '--picture', str(out / 'memory.png'),
                 '--speed', str(speed), *(['--topic', topic] if topic else [])]  # fmt: skip
    frames_log, answers_log = (out / name for name in NODES_FILES)
    sampling = {'model': model, 'sample_rate': SAMPLE_RATE_HZ}
    print('starting both nodes', flush=True)
    with (
        NodeProcess('frame_handler', sampling, log=frames_log, apart=True) as frames,
        NodeProcess('question_handler', {'model': model}, log=answers_log, apart=True) as answers,
        NodeProcess('replay_client', arguments=arguments, apart=True) as replay,
    ):
        while not replay.has_ended:
            for node in (frames, answers):
                if node.has_ended:
                    print(f'demo: the {node.program} ended:\n{node.output()}', file=sys.stderr)
                    return 1
            time.sleep(0.1)
        print(f'logs, questions and answers: {out}')
        return replay.process.returncode


if __name__ == '__main__':
    # The nodes are in no group of the terminal's: whatever ends the demo has to end them too.
    for told in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(told, lambda number, _: sys.exit(128 + number))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print('demo: interrupted', file=sys.stderr)
        sys.exit(130)
