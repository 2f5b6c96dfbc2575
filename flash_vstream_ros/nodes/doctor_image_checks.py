# SPDX-License-Identifier: Apache-2.0
"""Facts -> findings: the images of a camera on their way. No ROS."""

from collections.abc import Iterator
from itertools import pairwise

from flash_vstream_ros.nodes.doctor_facts import (
    ERROR,
    OK,
    SKIP,
    WARN,
    Facts,
    Finding,
    ImageFacts,
    PublisherFacts,
)
from flash_vstream_ros.nodes.environment import PROFILE_VARIABLES
from flash_vstream_ros.nodes.mixed_cameras import APART, say_frame_ids, say_publishers
from flash_vstream_ros.nodes.topic_advice import how_to_keep_images, start_command

HOUR_S = 3600.0
OFFSET_S = 2.0  # stamps and clock may differ by so much
DAY_S = 24 * HOUR_S
SMALL_SEGMENT = 2**20  # bytes; that of Fast DDS by itself is smaller


def check_image(image: ImageFacts, facts: Facts) -> Iterator[Finding]:
    """Check a camera from its name to its stamps; what cannot be seen yet is left out."""
    if not image.topic:
        yield _check_reader(image, facts)
        return
    yield _check_name(image, facts)
    publishers = [publisher for publisher in image.publishers if publisher.kind == image.kind]
    if not publishers:
        return
    yield from _check_mixing(image, publishers)
    yield from _check_quality(image, publishers)
    yield _check_arrival(image, publishers, facts)
    if (image.received or image.lost) and 'fastrtps' in facts.machine.middleware:
        for publisher in publishers:
            yield _check_shared_memory(image, publisher)
    if image.received:
        yield _check_picture(image)
        yield from _check_stamps(image)


def _check_reader(image: ImageFacts, facts: Facts) -> Finding:
    """A frame handler that subscribes no image."""
    node = facts.node(image.reader)
    if node is not None and node.state not in (None, 'active'):
        text = f'{image.reader} takes no images while it is {node.state or "silent"}'
        return Finding('image topic', SKIP, text)
    hint = f'ros2 service call {image.reader}/set_enabled std_srvs/srv/SetBool "{{data: true}}"'
    return Finding('image topic', ERROR, f'{image.reader} takes no images', hint)


def _check_name(image: ImageFacts, facts: Facts) -> Finding:
    """Whether the topic is there, and read; else what the nearest is called."""
    if any(publisher.kind == image.kind for publisher in image.publishers):
        names = ', '.join(sorted({publisher.node for publisher in image.publishers}))
        text = f'{image.topic} ({image.kind}) is published by {names}'
        if image.reader or not any(i.reader for i in facts.images):
            return Finding('image topic', OK, text)
        hint = _start(image, image.topic, image.kind, facts)
        return Finding('image topic', WARN, f'{text}, but no frame handler takes it', hint)
    if image.publishers:
        kinds = sorted({publisher.kind for publisher in image.publishers})
        text = f'{image.topic} carries {kinds}, expected {image.kind}'
    else:
        text = f'nothing publishes on {image.topic}'
    if not image.nearest:
        hint = f'start the camera driver, with ROS_DOMAIN_ID={facts.machine.domain_id}'
        return Finding('image topic', ERROR, f'{text}; no topic has images', hint)
    (name, kind), *others = image.nearest
    rest = f' (others: {", ".join(other for other, _ in others)})' if others else ''
    text = f'{text}; the nearest topic with images is {name}{rest}'
    hint = _start(image, name, kind, facts)
    return Finding('image topic', ERROR, text, hint)


def _start(image: ImageFacts, topic: str, kind: str, facts: Facts) -> str:
    """Command that lets the reader of an image topic take another one."""
    namespace = image.reader.rpartition('/')[0] if image.reader else facts.namespace
    models = [str(node.parameters.get('model', '')) for node in facts.nodes]
    return start_command(topic, kind, namespace, next(filter(None, models), ''))


def _check_mixing(image: ImageFacts, publishers: list[PublisherFacts]) -> Iterator[Finding]:
    """Whether all images of a topic are of one camera: one memory would mix up several."""
    nodes = [publisher.node for publisher in publishers if not publisher.mismatches]
    for text in (
        say_publishers(image.topic, nodes),
        say_frame_ids(image.topic, image.frame_ids),
    ):
        if text:
            yield Finding('image topic', WARN, text, APART)


def _check_quality(image: ImageFacts, publishers: list[PublisherFacts]) -> Iterator[Finding]:
    """Whether each publisher offers what the frame handler asks for."""
    faults = False
    for publisher in publishers:
        for reader, why in publisher.mismatches.items():
            faults = True
            text = f'{reader} hears nothing of {publisher.node} on {image.topic}: {why}'
            hint = (
                f'start {reader} with -p image_reliability:=auto, or set that in params_file; or '
                f'let the camera publish reliable images'
            )
            yield Finding('image QoS', ERROR, text, hint)
    if not faults:
        offers = ', '.join(
            f'{p.node} {"reliable" if p.is_reliable else "best effort"}' for p in publishers
        )
        yield Finding('image QoS', OK, f'offered: {offers}')


def _check_arrival(image: ImageFacts, publishers: list[PublisherFacts], facts: Facts) -> Finding:
    """Whether images come, and as fast as they are to be memorised."""
    came = f'{image.received} images of {image.topic} came in {facts.seconds:.0f} s'
    is_reliable = all(publisher.is_reliable for publisher in publishers)
    if image.lost > max(3, image.received):
        text = f'{came}, {image.lost} were lost on their way'
        return Finding('image rate', ERROR, text, how_to_keep_images())
    if not image.received:
        hint = 'is the camera running? '
        hint += 'Look at its output' if is_reliable else f'If it is: {how_to_keep_images()}'
        return Finding('image rate', ERROR, came, hint)
    text = f'{image.topic}: {image.rate_hz:.1f} Hz, {_size(image)}'
    if image.lost:
        hint = 'the machine or the network is too slow for them: lower the rate or the size'
        return Finding('image rate', WARN, f'{text}; {image.lost} were lost', hint)
    node = facts.node(image.reader)
    wanted_hz = float(node.parameters.get('sample_rate', 0.0)) if node else 0.0
    if image.rate_hz and image.rate_hz < 0.9 * wanted_hz:
        hint = f'raise the rate of the camera, or lower sample_rate ({wanted_hz:g} Hz)'
        return Finding('image rate', WARN, f'{text}; fewer than memorised', hint)
    return Finding('image rate', OK, text)


def _size(image: ImageFacts) -> str:
    """Size of an image, for a person."""
    sides = f'{image.width} x {image.height} ' if image.width else ''
    return f'{sides}{image.encoding}, {image.size_bytes / 1e6:.2f} MB each'


def _check_shared_memory(image: ImageFacts, publisher: PublisherFacts) -> Finding:
    """Whether an image fits the shared memory of the process that publishes it."""
    check, process = 'camera memory', publisher.process
    if process is None or process.segment_bytes is None:
        text = f'{publisher.node} runs elsewhere or may not be looked at'
        return Finding(check, SKIP, text, "run doctor on the camera's machine, as its user")
    size = f'{image.size_bytes / 1e6:.2f} MB' if image.received else 'unknown size'
    text = f'{publisher.node} (process {process.pid}) sends images of {size} through '
    text += f'{process.segment_bytes / 1e6:.2f} MB of shared memory'
    if process.segment_bytes > (image.size_bytes or SMALL_SEGMENT):
        return Finding(check, OK, text)
    if publisher.is_reliable:
        return Finding(check, WARN, f'{text}: slowly', _profile_hint(publisher))
    return Finding(check, ERROR, f'{text}: best effort, they get lost', _profile_hint(publisher))


def _profile_hint(publisher: PublisherFacts) -> str:
    """Say how to give a process a larger shared memory; and that it names a profile in vain."""
    environment = publisher.process.environment or {}
    named = [f'{name}={environment[name]}' for name in PROFILE_VARIABLES if environment.get(name)]
    vain = f'{", ".join(named)} was set in vain (another release, file or profile); ' * bool(named)
    return vain + how_to_keep_images()


def _check_picture(image: ImageFacts) -> Finding:
    """Whether the frame handler can read the images."""
    if not image.fault:
        return Finding('image encoding', OK, f'{image.encoding} is a picture')
    hint = 'let the camera publish bgr8, rgb8 or jpeg, or choose its colour image'
    return Finding('image encoding', ERROR, f'{image.topic}: {image.fault}', hint)


def _check_stamps(image: ImageFacts) -> Iterator[Finding]:
    """Whether header stamps tell when an image was taken: the memory goes by them alone."""
    check, stamps = 'image stamps', image.stamps_ns
    hint = 'let the camera driver set header.stamp to the time of the picture'
    invalid = sum(stamp <= 0 for stamp in stamps)
    if invalid:
        text = f'{invalid} of {len(stamps)} images of {image.topic} have no stamp (zero or below)'
        yield Finding(check, ERROR, f'{text}; they are dropped', hint)
        return
    repeated = len(stamps) - len(set(stamps))
    if repeated:
        level = ERROR if 2 * repeated >= len(stamps) else WARN
        text = f'{repeated} of {len(stamps)} images of {image.topic} repeat a stamp'
        yield Finding(check, level, f'{text}; they are dropped', hint)
    back = sum(later < earlier for earlier, later in pairwise(stamps))
    if back:
        text = f'stamps of {image.topic} go back {back} times in {len(stamps)} images'
        two = 'one camera a topic; or a recording that is played in a loop'
        yield Finding(check, WARN, text, two)
    yield _check_offset(image)


def _check_offset(image: ImageFacts) -> Finding:
    """Whether stamps and clock agree: who asks with min_stamp of now would wait for ever."""
    check, offset_s = 'image stamps', image.offset_s
    if offset_s is None:
        return Finding(check, SKIP, 'no clock to compare them with')
    if abs(offset_s) <= OFFSET_S:
        return Finding(check, OK, f'{offset_s:+.2f} s from now')
    text = f'stamps of {image.topic} are {offset_s:+.1f} s from now'
    hours = round(offset_s / HOUR_S)
    if abs(offset_s) > DAY_S:
        hint = 'a recording? Play it with a clock (ros2 bag play --clock) and use_sim_time:=true'
    elif hours and abs(offset_s - HOUR_S * hours) < OFFSET_S:
        hint = 'whole hours: the driver takes local time for UTC; stamp with the ROS clock'
    else:
        hint = 'set the clocks of both machines (chronyc tracking), or stamp with the ROS clock'
    return Finding(check, WARN, text, hint)
