# SPDX-License-Identifier: Apache-2.0
"""Saves that fail where nobody waits for them: the stream goes on, the node ends, all is said."""

from diagnostic_msgs.msg import DiagnosticStatus
from own_nodes import FilmedBy
from robots import image_message, picture, wait_until
from test_diagnostics import ERROR, OK, Monitor


def test_saves_that_fail_keep_nothing_from_going_on(start, planner, tmp_path):
    """A new stream begins, diagnostics say so, and the node ends in good order."""
    folder = tmp_path / 'memories'
    folder.mkdir()
    for name in ('previous', 'memory'):  # they lead out of the folder: refused
        (folder / f'{name}.safetensors').symlink_to(tmp_path / f'{name}.safetensors')
    monitor = Monitor(planner)
    process = start('frame_handler', sample_rate=0.0, memory_folder=folder, save_at_shutdown=True)
    camera = FilmedBy(planner)
    camera.show(1000)
    second = camera.jump_back()
    values = monitor.wait('frame_handler: memory', ERROR, 'memories could not be saved')
    assert values['frames save_failed'] == '1'
    assert 'leads out of' in values['last error']
    camera.show(second)
    assert process.stop() == 0
    assert 'memory not saved: name:' in process.output()
    assert not list(tmp_path.glob('*.safetensors'))


def test_stamps_that_make_all_images_useless_are_an_error(start, planner):
    monitor = Monitor(planner)
    start('frame_handler', sample_rate=0.0)
    camera = FilmedBy(planner)
    part = 'frame_handler: camera'

    def is_said() -> bool:
        camera.publisher.publish(image_message(picture(1), 0))
        status = monitor.parts.get(part, DiagnosticStatus())
        return 'all images are dropped: stamp of zero or below' in status.message

    wait_until(is_said, f'the fault; got {monitor.parts}', 90.0)
    assert monitor.parts[part].level == ERROR
    camera.show(1)
    monitor.wait(part, OK)
