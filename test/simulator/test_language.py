# SPDX-License-Identifier: Apache-2.0
"""How events are put into words."""

import string

import pytest

from flash_vstream_ros.simulator import language
from flash_vstream_ros.simulator.events import Event
from flash_vstream_ros.simulator.language import (
    asked_of,
    clause_of,
    scene_of,
    sentence,
    thing_of,
)
from flash_vstream_ros.simulator.view import (
    DOOR_ACTIONS,
    KINDS,
    OBJECT_ACTIONS,
    ROBOT_ACTIONS,
    ROOMS,
    SeenObject,
)

FORMS = {name: value for name, value in vars(language).items() if name.startswith('ASK_')}


def event(action: str, colour: str = '', shape: str = '', room: str = 'office') -> Event:
    return Event(action, room, 1.0, 2.0, colour, shape)


@pytest.mark.parametrize(
    ('told', 'thing', 'clause', 'asked'),
    [
        (
            event('picked up', 'red', 'ball'),
            'the red ball',
            'the red ball was picked up in the office',
            'Was the red ball picked up in the office',
        ),
        (
            event('opened'),
            'the door',
            'the door was opened in the office',
            'Was the door opened in the office',
        ),
        (
            event('passed', 'green'),
            'the green robot',
            'the green robot passed through the office',
            'Did the green robot pass through the office',
        ),
    ],
)
def test_an_event_is_told_and_asked(told: Event, thing: str, clause: str, asked: str) -> None:
    assert thing_of(told) == thing
    assert clause_of(told) == clause
    assert asked_of(told) == asked
    assert sentence(clause) == f'T{clause[1:]}.'


def test_different_events_are_told_differently() -> None:
    events = [event(a, *kind, room) for a in OBJECT_ACTIONS for kind in KINDS for room in ROOMS]
    events += [event(action, room=room) for action in DOOR_ACTIONS for room in ROOMS]
    events += [event(a, colour, room=room) for a in ROBOT_ACTIONS for colour, _ in KINDS[::6]
               for room in ROOMS]  # fmt: skip
    for tell in (clause_of, asked_of):
        assert len({tell(e) for e in events}) == len({e.what for e in events}) == len(events)


@pytest.mark.parametrize(
    ('things', 'seen'),
    [
        ([], 'no objects'),
        ([(0.5, 'red', 'ball')], 'a red ball'),
        ([(0.5, 'orange', 'ball')], 'an orange ball'),
        ([(0.8, 'red', 'cup'), (0.2, 'orange', 'box')], 'an orange box and a red cup'),
        (
            [(0.9, 'blue', 'cone'), (0.1, 'red', 'cup'), (0.5, 'green', 'star')],
            'a red cup, a green star and a blue cone',
        ),
    ],
)
def test_a_scene_is_told_from_left_to_right(things: list, seen: str) -> None:
    objects = [SeenObject(colour, shape, x, 0.8, 0.2) for x, colour, shape in things]
    assert scene_of('lounge', objects) == f'The robot is in the lounge. It sees {seen}.'


def test_each_question_has_several_forms_that_ask_the_same() -> None:
    assert len(FORMS) >= 10
    for name, forms in FORMS.items():
        assert len(set(forms)) == len(forms) >= 3, name
        gaps = [
            {field for _, field, _, _ in string.Formatter().parse(form) if field} for form in forms
        ]
        # A yes/no question may be asked whole, or told as a clause.
        expected = [{'asked'}, {'clause'}] if name == 'ASK_WHETHER' else [gaps[0]]
        assert all(gap in expected for gap in gaps), name


def test_no_form_is_that_of_two_questions() -> None:
    all_forms = [form for forms in FORMS.values() for form in forms]
    assert len(set(all_forms)) == len(all_forms)
