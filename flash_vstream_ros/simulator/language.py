# SPDX-License-Identifier: Apache-2.0
"""How the simulated patrol's events are put into words."""

from collections.abc import Sequence

from flash_vstream_ros.simulator.events import Event
from flash_vstream_ros.simulator.view import DOOR_ACTIONS, ROBOT_ACTIONS, SeenObject

NOT_SEEN = 'I have not seen that.'

# Forms of one question each; {..} are filled in. They differ in wording, never in what is asked.
ASK_ROOM = (
    'Which room is the robot in?',
    'Where is the robot now?',
    'What room does the camera show now?',
    'In which room is the robot at the moment?',
)
ASK_SCENE = (
    'What does the camera see now?',
    'Describe the scene.',
    'What can be seen right now?',
    'Give a summary of the scene in view.',
)
ASK_LAST = (
    'What happened last?',
    'What was the most recent event?',
    'What has just happened?',
    'Describe the latest action.',
)
ASK_WHAT = (
    'What happened to {thing} most recently?',
    'What was done to {thing} last?',
    'Describe the last action on {thing}.',
    'What was the latest thing that was done to {thing}?',
)
ASK_WHERE = (
    'Where was {thing} {action} last?',
    'In which room was {thing} last {action}?',
    'In what place was {thing} most recently {action}?',
)
ASK_WHICH = (
    'What was {action} last in the {room}?',
    'Which thing was most recently {action} in the {room}?',
    'In the {room}, what was {action} last?',
)
ASK_WHETHER = (
    '{asked}?',
    'Is it true that {clause}?',
    'Did it happen that {clause}?',
    'Have you seen that {clause}?',
)
ASK_AFTER = (
    'What happened right after {clause}?',
    'What was the next event after {clause}?',
    'After {clause}, what happened next?',
)
ASK_BEFORE = (
    'What happened right before {clause}?',
    'What was the event just before {clause}?',
    'Before {clause}, what happened?',
)
ASK_LAST_TWO = (
    'What were the last two events, in order?',
    'List the two most recent events in order.',
    'Tell in order what happened in the last two events.',
)
ASK_ORDER = (
    'Is it true that {first} before {second}?',
    'Did it happen that {first} before {second}?',
    'Is it true that {second} after {first}?',
    'Did it happen that {second} after {first}?',
)


def thing_of(event: Event) -> str:
    """Whom or what an event is about: 'the red ball', 'the door', 'the green robot'."""
    if event.action in DOOR_ACTIONS:
        return 'the door'
    return f'the {event.colour} {event.shape or "robot"}'


def clause_of(event: Event) -> str:
    """Tell an event as a clause: 'the red ball was picked up in the kitchen'."""
    verb = event.action if event.action in ROBOT_ACTIONS else f'was {event.action}'
    where = 'through' if event.action in ROBOT_ACTIONS else 'in'
    return f'{thing_of(event)} {verb} {where} the {event.room}'


def asked_of(event: Event) -> str:
    """Ask an event: 'Was the red ball picked up in the kitchen'."""
    if event.action in ROBOT_ACTIONS:
        return f'Did {thing_of(event)} pass through the {event.room}'
    return f'Was {thing_of(event)} {event.action} in the {event.room}'


def sentence(clause: str) -> str:
    """Make a clause a sentence."""
    return clause[0].upper() + clause[1:] + '.'


def scene_of(room: str, objects: Sequence[SeenObject]) -> str:
    """Describe a scene; objects from left to right."""
    things = [f'a {o.colour} {o.shape}' for o in sorted(objects, key=lambda o: o.x)]
    things = ['an' + thing[1:] if thing[2] in 'aeiou' else thing for thing in things]
    if not things:
        seen = 'no objects'
    else:
        seen = ', '.join(things[:-1]) + (' and ' if things[1:] else '') + things[-1]
    return f'The robot is in the {room}. It sees {seen}.'
