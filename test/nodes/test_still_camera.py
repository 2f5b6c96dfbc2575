# SPDX-License-Identifier: Apache-2.0
"""A camera that shows nothing new costs no pass of the encoder, and is remembered all the same."""

from own_nodes import FilmedBy
from robots import S, image_message, picture, wait_until


def test_frames_that_show_nothing_new_are_memorised_without_the_encoder(start, planner):
    process = start('frame_handler', sample_rate=0.0, still_threshold=3.0)
    camera = FilmedBy(planner)
    camera.show(1)
    for second in (2, 3):
        camera.publisher.publish(image_message(picture(1), second * S))
        wait_until(lambda second=second: camera.has(second), f'a memory of second {second}')
    camera.show(4)
    memory = camera.memories[-1]
    assert memory.frames_written == 4
    assert sum(memory.temporal_weights) == 4
    process.stop()
    assert "'still': 2" in process.output()
