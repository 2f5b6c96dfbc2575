# SPDX-License-Identifier: Apache-2.0
"""Camera in, answers out, over real ROS: what the core computes directly, bit by bit.

Both nodes are processes of their own and everything goes over DDS.
"""

import signal
from array import array

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from asking import MANY_CHOICES
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.srv import Ask
from robots import PROGRAMS, S, SpunNode, fill, image_message, picture, result_of, wait_until
from sensor_msgs.msg import CompressedImage

from flash_vstream_ros.nodes.conversions import ns_to_time, ros_text, time_to_ns
from flash_vstream_ros.nodes.processes import NodeProcess

QUESTIONS = ['What colour is the cup?', 'Is the door open?', 'Where </s> was <image> it?']
LONG = 3000


def encoded(frame: np.ndarray, encoding: str) -> tuple[np.ndarray, np.ndarray]:
    """A frame as its encoding orders it, and the RGB picture that a reader must find in it."""
    grey, alpha = frame[..., 1], np.full((*frame.shape[:2], 1), 7, np.uint8)
    return {
        'rgb8': (frame, frame),
        'bgr8': (frame[..., ::-1], frame),
        'rgba8': (np.concatenate([frame, alpha], 2), frame),
        'bgra8': (np.concatenate([frame[..., ::-1], alpha], 2), frame),
        'mono8': (grey, np.repeat(grey[..., None], 3, 2)),
    }[encoding]


def core_snapshot(vstream, frames):
    """What the core remembers of the same frames, one a second."""
    memory = vstream.new_memory()
    for number, frame in enumerate(frames, start=1):
        vstream.write(memory, frame, number * S)
    return memory.snapshot().to_float16()


def check_memory(message, snapshot):
    """Compare a published memory with the core's: every bit of it."""
    bits = snapshot.tokens().flatten().numpy().view(np.uint16)
    assert np.array_equal(np.array(message.features, dtype=np.uint16), bits)
    assert list(message.temporal_weights) == snapshot.temporal_weights.tolist()
    for name in ('temporal_first', 'temporal_last', 'temporal_mean', 'retrieved', 'spatial'):
        stamps = [time_to_ns(stamp) for stamp in getattr(message, f'{name}_stamps')]
        assert stamps == getattr(snapshot, f'{name}_stamps_ns').tolist(), name
    assert message.encoder_id == snapshot.encoder_id
    assert message.frames_written == snapshot.frames_written
    assert time_to_ns(message.oldest_stamp) == snapshot.oldest_stamp_ns
    assert time_to_ns(message.header.stamp) == snapshot.newest_stamp_ns


def check_answer(answer, expected, snapshot):
    """Compare an answer over ROS with the core's own."""
    assert (answer.status, answer.message) == (Answer.OK, '')
    assert answer.text == ros_text(expected.text)
    assert answer.finish_reason == expected.finish_reason
    assert answer.answer_tokens == len(expected.token_ids)
    assert answer.prompt_tokens == expected.prompt_tokens
    assert answer.mean_log_probability == pytest.approx(expected.mean_log_probability, abs=1e-4)
    assert list(answer.choice_probabilities) == pytest.approx(
        list(expected.choice_probabilities), abs=1e-4
    )
    assert answer.frames_seen == snapshot.frames_written
    assert time_to_ns(answer.oldest_stamp) == snapshot.oldest_stamp_ns
    assert time_to_ns(answer.newest_stamp) == snapshot.newest_stamp_ns
    key_stamps = [time_to_ns(stamp) for stamp in answer.key_stamps]
    assert key_stamps == snapshot.retrieved_stamps_ns.tolist()
    assert 0.0 <= answer.queue_time <= answer.time_to_first_token <= answer.total_time


def check_answers(robot, vstream, snapshot):
    """Ask all that can be asked, through the service and the action."""
    for question in QUESTIONS:
        expected = vstream.answer(snapshot, question, max_new_tokens=40)
        answer = robot.ask(question, max_new_tokens=40)
        check_answer(answer, expected, snapshot)
        assert answer.memory_id == robot.memory.memory_id

        goal = robot.begin(question, max_new_tokens=40)
        status, answer = goal.result()
        assert status == GoalStatus.STATUS_SUCCEEDED
        check_answer(answer, expected, snapshot)
        wait_until(lambda g=goal, a=answer: g.feedback[-1].text == a.text, 'the last piece')
        assert ''.join(said.piece for said in goal.feedback) == answer.text
        for earlier, said in zip(goal.feedback, goal.feedback[1:], strict=False):
            assert said.text == earlier.text + said.piece
    choices = ['yes', 'no', 'nobody was there']
    expected = vstream.answer(snapshot, QUESTIONS[1], choices)
    answer = robot.ask(QUESTIONS[1], choices=choices)
    check_answer(answer, expected, snapshot)
    assert answer.text in choices
    assert sum(answer.choice_probabilities) == pytest.approx(1.0, abs=1e-6)
    check_answer(robot.begin(QUESTIONS[1], choices=choices).result()[1], expected, snapshot)


def test_raw_images_of_any_encoding_give_the_answers_of_the_core(robot, vstream):
    """40 frames: all parts of the memory are full and clusters have merged."""
    seen = []
    for number in range(1, 41):
        encoding = ['rgb8', 'bgr8', 'mono8', 'rgba8', 'bgra8'][number % 5]
        pixels, frame = encoded(picture(number, 480, 640), encoding)
        seen.append(frame)
        message = robot.show(image_message(pixels, number * S, encoding))
        assert message.frames_written == number
        if number in (1, 7):
            check_memory(message, core_snapshot(vstream, seen))
    snapshot = core_snapshot(vstream, seen)
    assert len(snapshot.tokens()) == 681
    assert max(snapshot.temporal_weights) > 1
    check_memory(robot.memory, snapshot)
    check_answers(robot, vstream, snapshot)


def test_compressed_images_under_simulated_time_give_the_answers_of_the_core(
    simulated_robot, vstream
):
    """Nobody publishes a clock: stamps alone decide, and nothing waits for it."""
    robot, seen = simulated_robot, []
    for number in range(1, 6):
        name = ('.jpg', '.png')[number % 2]
        _, data = cv2.imencode(name, picture(number, 480, 640))
        seen.append(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
        kind = {'.jpg': 'jpeg', '.png': 'png'}[name]
        message = CompressedImage(format=f'bgr8; {kind} compressed bgr8')
        message.data = array('B', data.tobytes())
        message.header.stamp = ns_to_time(number * S)
        robot.show(message)
    snapshot = core_snapshot(vstream, seen)
    check_memory(robot.memory, snapshot)
    check_answers(robot, vstream, snapshot)


def test_timeouts_pass_while_simulated_time_stands_still(simulated_robot):
    robot = simulated_robot
    assert robot.ask('Where?', min_stamp_ns=S, timeout_s=0.2).status == Answer.TIMEOUT
    _, data = cv2.imencode('.jpg', picture(1))
    message = CompressedImage(format='jpeg', data=array('B', data.tobytes()))
    message.header.stamp = ns_to_time(S)
    robot.show(message)
    assert robot.ask('Where?', min_stamp_ns=S, max_new_tokens=1).status == Answer.OK
    late = robot.ask('What happened?', max_new_tokens=LONG, timeout_s=0.3)
    assert late.status == Answer.TIMEOUT
    assert late.text


def test_an_answer_is_of_one_snapshot_and_frames_go_on_meanwhile(robot, vstream):
    frames = robot.see(4)
    goal = robot.begin('What happened?', max_new_tokens=LONG)
    wait_until(lambda: goal.feedback, 'the answer has begun')
    robot.see(10, start_s=5)
    assert robot.memory.frames_written == 14
    before = len(goal.feedback)
    wait_until(lambda: len(goal.feedback) > before, 'the answer goes on')
    goal.cancel()
    _, answer = goal.result()
    assert answer.status == Answer.CANCELLED, 'the answer ran all the time'
    assert answer.frames_seen == 4
    assert time_to_ns(answer.newest_stamp) == 4 * S
    expected = vstream.answer(core_snapshot(vstream, frames), 'What happened?', max_new_tokens=40)
    said = answer.text[:-3][:30]  # behind it, a letter may have come in part only
    assert said
    assert ros_text(expected.text).startswith(said)
    assert robot.ask('What happened?', max_new_tokens=1).frames_seen == 14


def test_a_model_of_other_weights_refuses_the_memory_naming_both(
    robot, other_checkpoint, tmp_path, namespace
):
    robot.see(1)
    process = NodeProcess(
        'question_handler',
        {'model': other_checkpoint},
        namespace=namespace,
        remappings={'memory': '/robot/memory'},
        environment={'OMP_NUM_THREADS': '1'},
        log=tmp_path / 'log',
    )
    station = SpunNode(namespace)
    try:
        asking = station.node.create_client(Ask, 'ask')
        with process:
            wait_until(asking.service_is_ready, 'the service', 60.0)
            wait_until(lambda: 'memory refused' in process.output(), 'the memory arrives')
            for fields in ({}, {'min_stamp_ns': 99 * S}):
                request = fill(Ask.Request(), 'Where?', **fields)
                answer = result_of(asking.call_async(request)).answer
                assert answer.status == Answer.MODEL_ERROR
                assert robot.memory.encoder_id in answer.message
                assert 'start both nodes with the same model' in answer.message
                assert answer.text == ''
            robot.see(5, start_s=2)
            request = fill(Ask.Request(), 'Where?')
            assert result_of(asking.call_async(request)).answer.status == Answer.MODEL_ERROR
    finally:
        station.close()
    log = process.output()
    assert log.count('memory refused') == 1
    line = next(line for line in log.split('\n') if 'memory refused' in line)
    own = log.split('for encoder ')[1].split()[0]
    assert own != robot.memory.encoder_id
    assert own in line
    assert robot.memory.encoder_id in line


def test_a_question_handler_that_is_interrupted_ends_well_and_finds_the_memory_again(
    robot, vstream
):
    frames = robot.see(3)
    goal = robot.begin('What happened?', max_new_tokens=LONG)
    waiting = robot.send('And then?')
    wait_until(lambda: goal.feedback, 'the answer has begun')
    process = robot.processes['question_handler']
    said_before = process.output()  # other tests' too, of askers that died
    process.process.send_signal(signal.SIGINT)
    assert process.process.wait(20.0) == 0
    status, answer = goal.result()
    assert (status, answer.status) == (GoalStatus.STATUS_ABORTED, Answer.CANCELLED)
    assert answer.text
    for said in (answer, result_of(waiting).answer):
        assert (said.status, 'shutting down' in said.message) == (Answer.CANCELLED, True)
    for word in ('Traceback', 'Error', 'failed'):
        assert word not in process.output().removeprefix(said_before)

    robot.start('question_handler')
    expected = vstream.answer(core_snapshot(vstream, frames), QUESTIONS[0], max_new_tokens=20)
    # Latched: the memory comes without another frame.
    answer = robot.ask(QUESTIONS[0], min_stamp_ns=3 * S, max_new_tokens=20)
    check_answer(answer, expected, core_snapshot(vstream, frames))


def test_a_frame_handler_that_dies_and_starts_again_begins_a_new_memory(robot, vstream):
    robot.see(5, start_s=100)
    former = robot.memory.memory_id
    robot.ask('Where?', max_new_tokens=1)  # the question handler has the memory as well
    robot.kill('frame_handler')
    orphaned = robot.ask('Where?', max_new_tokens=1)
    assert (orphaned.status, orphaned.memory_id) == (Answer.OK, former)

    robot.start('frame_handler')
    wait_until(lambda: robot.memory.memory_id != former, 'the new memory')
    wait_until(
        lambda: robot.ask('Where?', max_new_tokens=1).status == Answer.MEMORY_EMPTY,
        'the question handler has it too',
    )
    frames = robot.see(2)
    snapshot = core_snapshot(vstream, frames)
    check_memory(robot.memory, snapshot)
    answer = robot.ask(QUESTIONS[0], max_new_tokens=20)
    check_answer(answer, vstream.answer(snapshot, QUESTIONS[0], max_new_tokens=20), snapshot)
    assert answer.memory_id == robot.memory.memory_id != former


def test_told_to_terminate_both_end_well_in_the_middle_of_their_work(robot):
    robot.see(3)
    # Work that ends between two choices
    robot.send('What happened?', choices=MANY_CHOICES, timeout_s=1000.0)
    robot.send('And then?')
    wait_until(lambda: robot.ask('Busy?').status == Answer.BUSY, 'the work has begun')
    for number in range(4, 30):
        robot.camera.publish(image_message(picture(number, 480, 640), number * S))
    for program in PROGRAMS:
        robot.processes[program].process.send_signal(signal.SIGTERM)
    for program in PROGRAMS:
        assert robot.processes[program].process.wait(20.0) == 0
        for word in ('Traceback', 'frame lost', 'question failed'):
            assert word not in robot.log(program)
    assert 'images received' in robot.log('frame_handler')
