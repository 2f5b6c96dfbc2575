# SPDX-License-Identifier: Apache-2.0
"""Both nodes as managed ones, several cameras, both nodes in one process: real processes."""

from flash_vstream_ros.msg import Answer
from lifecycle_msgs.msg import State, Transition
from own_nodes import FilmedBy
from robots import S, wait_until
from std_srvs.srv import SetBool, Trigger

UNCONFIGURED, INACTIVE, ACTIVE = (
    State.PRIMARY_STATE_UNCONFIGURED,
    State.PRIMARY_STATE_INACTIVE,
    State.PRIMARY_STATE_ACTIVE,
)


def test_a_manager_decides_what_is_loaded_and_what_is_served(start, planner):
    """rclpy gates only lifecycle publishers: images, services and goals must follow the state."""
    processes = [
        start(program, autostart=False, **more)
        for program, more in (('frame_handler', {'sample_rate': 0.0}), ('question_handler', {}))
    ]
    camera = FilmedBy(planner)
    for node in ('frame_handler', 'question_handler'):
        assert planner.state(node) == UNCONFIGURED
    assert not planner.exists('ask')
    assert camera.publisher.get_subscription_count() == 0

    for node in ('frame_handler', 'question_handler'):
        assert planner.change(node, Transition.TRANSITION_CONFIGURE)
        assert planner.state(node) == INACTIVE
    wait_until(lambda: camera.memories, 'the empty memory')
    answer = planner.ask()
    assert answer.status == Answer.INACTIVE
    assert f'ros2 lifecycle set {planner.namespace}/question_handler activate' in answer.message
    assert camera.publisher.get_subscription_count() == 0

    for node in ('frame_handler', 'question_handler'):
        assert planner.change(node, Transition.TRANSITION_ACTIVATE)
    camera.show(1)
    camera.show(2)
    answer = planner.ask(min_stamp_ns=2 * S)
    assert (answer.status, answer.frames_seen, answer.camera) == (Answer.OK, 2, 'camera')

    assert planner.change('frame_handler', Transition.TRANSITION_DEACTIVATE)
    wait_until(lambda: camera.publisher.get_subscription_count() == 0, 'nobody looks')
    assert planner.ask().frames_seen == 2, 'the memory is still there'
    assert planner.change('frame_handler', Transition.TRANSITION_ACTIVATE)
    camera.show(3)
    assert camera.memories[-1].frames_written == 3, 'and goes on'
    assert len({memory.memory_id for memory in camera.memories}) == 1

    assert planner.change('question_handler', Transition.TRANSITION_DEACTIVATE)
    assert planner.ask().status == Answer.INACTIVE
    assert planner.change('question_handler', Transition.TRANSITION_CLEANUP)
    wait_until(lambda: not planner.exists('ask'), 'the service is gone')
    assert planner.change('question_handler', Transition.TRANSITION_CONFIGURE)
    assert planner.change('question_handler', Transition.TRANSITION_ACTIVATE)
    answer = planner.ask(min_stamp_ns=3 * S)
    assert (answer.status, answer.frames_seen) == (Answer.OK, 3)
    assert [process.stop() for process in processes] == [0, 0]
    assert 'Traceback' not in ''.join(process.output() for process in processes)


def test_a_model_that_cannot_be_loaded_leaves_a_managed_node_that_says_so(start, planner):
    process = start('question_handler', autostart=False, model='/no/such/folder')
    assert not planner.change('question_handler', Transition.TRANSITION_CONFIGURE)
    assert planner.state('question_handler') == UNCONFIGURED
    assert 'cannot configure: ' in process.output()
    assert '/no/such/folder' in process.output()
    assert process.stop() == 0


def test_a_frame_handler_takes_no_images_while_disabled(start, planner):
    start('frame_handler', sample_rate=0.0)
    camera = FilmedBy(planner)
    camera.show(1)
    response = planner.request(SetBool, 'frame_handler/set_enabled', data=False)
    assert (response.success, response.message) == (True, 'takes no images')
    wait_until(lambda: camera.publisher.get_subscription_count() == 0, 'nobody looks')
    assert planner.state('frame_handler') == ACTIVE
    response = planner.request(SetBool, 'frame_handler/set_enabled', data=True)
    assert response.message == 'takes images'
    camera.show(2)
    assert camera.memories[-1].frames_written == 2


def test_a_camera_that_was_switched_off_stays_off_over_a_cleanup(start, planner):
    start('frame_handler', sample_rate=0.0, enabled=False)
    camera = FilmedBy(planner)
    assert planner.state('frame_handler') == ACTIVE
    assert camera.publisher.get_subscription_count() == 0
    for enabled, state in ((True, 'takes images'), (False, 'takes no images')):
        response = planner.request(SetBool, 'frame_handler/set_enabled', data=enabled)
        assert response.message == state
    for name in ('DEACTIVATE', 'CLEANUP', 'CONFIGURE', 'ACTIVATE'):
        assert planner.change('frame_handler', getattr(Transition, f'TRANSITION_{name}'))
    assert camera.publisher.get_subscription_count() == 0
    assert planner.request(SetBool, 'frame_handler/set_enabled', data=True).success
    camera.show(1)


def test_cameras_that_share_a_frame_id_or_have_none_are_told_apart_by_their_topics(start, planner):
    for name in ('front', 'rear'):
        start('frame_handler', f'/{name}', sample_rate=0.0)
    start('question_handler', memories=['front/memory', 'rear/memory'])
    front, rear = FilmedBy(planner, 'front/', ''), FilmedBy(planner, 'rear/', '')
    front.show(1)
    rear.show(2)
    for camera, second in (('front', 1), ('rear', 2)):
        answer = planner.ask(camera=camera, min_stamp_ns=second * S)
        assert (answer.status, answer.camera) == (Answer.OK, camera)
    assert "expected one of ['front', 'rear'] or none" in planner.ask(camera='side').message


def test_one_question_handler_answers_about_several_cameras(start, planner):
    for name in ('front', 'rear'):
        start('frame_handler', f'/{name}', sample_rate=0.0)
    start('question_handler', memories=['front/memory', 'rear/memory'])
    front, rear = FilmedBy(planner, 'front/', 'lens'), FilmedBy(planner, 'rear/', 'rear_lens')
    assert planner.ask(camera='rear_lens').status == Answer.MEMORY_EMPTY
    front.show(1)
    for second in (1, 2, 3):
        rear.show(second)
    seen = {'': ('lens', 1), 'lens': ('lens', 1), 'front/memory': ('lens', 1)}
    seen |= dict.fromkeys(('rear_lens', 'rear/memory', 'rear'), ('rear_lens', 3))
    for camera, (frame_id, frames) in seen.items():
        answer = planner.ask(camera=camera, min_stamp_ns=frames * S)
        assert (answer.status, answer.camera, answer.frames_seen) == (
            Answer.OK, frame_id, frames,
        )  # fmt: skip
    answer = planner.ask(camera='side')
    assert answer.status == Answer.BAD_REQUEST
    assert "expected one of ['lens', 'rear_lens'] or none, got 'side'" in answer.message
    answer = planner.ask(camera='lens', min_stamp_ns=3 * S, timeout_s=0.2)
    assert answer.status == Answer.TIMEOUT, 'only the rear camera has seen that'
    assert planner.request(Trigger, 'rear/frame_handler/reset_memory').success
    wait_until(lambda: planner.ask(camera='rear').status == Answer.MEMORY_EMPTY, 'one is empty')
    assert planner.ask(camera='front').status == Answer.OK


def test_both_nodes_run_in_one_process(start, planner):
    process = start('one_process')
    camera = FilmedBy(planner)
    camera.show(1)
    answer = planner.ask(min_stamp_ns=S)
    assert (answer.status, answer.frames_seen) == (Answer.OK, 1)
    for node in ('frame_handler', 'question_handler'):
        assert planner.state(node) == ACTIVE
    assert process.stop() == 0
    assert 'Traceback' not in process.output()
