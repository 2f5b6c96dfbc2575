# SPDX-License-Identifier: Apache-2.0
"""What a scene holds: the part of the picture that a model sees, whatever the picture's shape."""

from collections import Counter

import pytest

from flash_vstream_ros.simulator.aiming import Sight
from flash_vstream_ros.simulator.drawing_objects import WIDTHS
from flash_vstream_ros.simulator.questions import SCENE, Questioner
from flash_vstream_ros.simulator.view import SeenObject
from flash_vstream_ros.simulator.world import SEEN, Patrol

SIZES = [(640, 480), (128, 96), (96, 96), (1280, 720), (480, 640)]


def part(low: float, high: float, half: float) -> float:
    """Share of a stretch within ``half`` of the middle of a picture."""
    return max(min(high, 0.5 + half) - max(low, 0.5 - half), 0.0) / (high - low)


def share_in_square(thing: SeenObject, size: tuple[int, int]) -> float:
    """Share of a drawn object that lies in the square in the middle of a picture."""
    width, height = size
    short = min(size)
    half = WIDTHS[thing.shape] * thing.size * height / width / 2.0
    across = part(thing.x - half, thing.x + half, short / width / 2.0)
    return across * part(thing.y - thing.size, thing.y, short / height / 2.0)


def scenes(size: tuple[int, int], seeds: range, seconds: float, moments: int) -> list[tuple]:
    """Views with the (colour, shape) that the answers to them name, from left to right."""
    found = []
    for seed in seeds:
        patrol = Patrol(seed, seconds)
        questioner = Questioner(patrol, 0, types=(SCENE,), size=size)
        for at_s in questioner.times(moments):
            for question in questioner.ask(at_s, 4):
                place, sees, things = question.answer.partition(' It sees ')
                if not sees:
                    continue
                view = patrol.view_at(float(int(at_s)))
                assert place == f'The robot is in the {view.room}.'
                listed = things[:-1].replace(' and ', ', ').split(', ')
                names = [] if things == 'no objects.' else listed
                assert all(name.startswith('an o' if 'orange' in name else 'a ') for name in names)
                found.append((view, [tuple(name.split()[1:]) for name in names]))
    return found


@pytest.mark.parametrize('size', SIZES)
def test_scenes_name_what_is_in_the_square_that_a_model_sees_from_left_to_right(size) -> None:
    counts = Counter()
    for view, named in scenes(size, range(8), 1200.0, 30):
        shares = {(o.colour, o.shape): share_in_square(o, size) for o in view.objects}
        assert [kind for kind, share in shares.items() if 0.3 < share < 0.75] == []
        in_order = sorted(view.objects, key=lambda o: o.x)
        seen = [(o.colour, o.shape) for o in in_order if shares[o.colour, o.shape] > 0.5]
        assert named == seen
        counts[len(named)] += 1
    assert {0, 1, 2} <= set(counts)


def test_scenes_of_hours_name_what_is_wholly_in_view() -> None:
    for view, named in scenes((640, 480), range(3), 7200.0, 40):
        wholly = sorted((o for o in view.objects if 0.1 < o.x < 0.9), key=lambda o: o.x)
        assert named == [(o.colour, o.shape) for o in wholly]


@pytest.mark.parametrize('size', [(4, 3), (640, 480), (128, 96), (64, 48), (1600, 1200)])
def test_in_a_picture_of_4_to_3_the_borders_are_those_of_all_data_so_far(size) -> None:
    """To the last digit: data sets are on disk, and a model was trained with them."""
    assert Sight(size).whole == SEEN == (0.18, 0.82)
    assert Sight(size).partly == (0.08, 0.92)


def test_what_is_seen_narrows_with_the_picture() -> None:
    wide, square = Sight((1280, 720)), Sight((96, 96))
    assert wide.whole == pytest.approx((0.26, 0.74))
    assert square.partly[0] < 0.0 < square.whole[0] < 0.1
    tall = SeenObject('red', 'ball', 0.5, 0.9, 0.2)
    assert Sight((480, 640)).holds(tall)
    assert not Sight((480, 640)).holds_whole(tall)
    assert not Sight((100, 300)).holds(tall)
