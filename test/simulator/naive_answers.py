# SPDX-License-Identifier: Apache-2.0
"""Answers questions from their words and the true log alone, in the slowest and plainest way."""

import re
from collections.abc import Sequence
from functools import partial

from flash_vstream_ros.simulator import language

THING = r'the (?P<colour>\w+) (?P<shape>\w+)'
ACTIONS = 'put down|picked up|pushed|covered|opened|closed'
WHAT = f'(?P<action>{ACTIONS})'
# What fills a gap of a form, where it is not a whole clause.
GAPS = {'thing': r'the \w+ \w+', 'action': ACTIONS, 'room': r'\w+'}
CLAUSES = (
    rf'the door was {WHAT} in the (?P<room>\w+)',
    r'the (?P<colour>\w+) robot (?P<action>pass)(?:ed)? through the (?P<room>\w+)',
    rf'{THING} was {WHAT} in the (?P<room>\w+)',
)
ASKED = (
    rf'was the door {WHAT} in the (?P<room>\w+)',
    r'did the (?P<colour>\w+) robot (?P<action>pass) through the (?P<room>\w+)',
    rf'was {THING} {WHAT} in the (?P<room>\w+)',
)


def values_of(question: str, forms: Sequence[str]) -> dict[str, str] | None:
    """What fills the gaps of the one form that a question has; None: it has none of them."""
    for form in forms:
        gaps = partial(re.sub, r'\\\{(\w+)\\\}')
        pattern = gaps(lambda gap: f'(?P<{gap[1]}>{GAPS.get(gap[1], ".+")})', re.escape(form))
        found = re.fullmatch(pattern, question, re.IGNORECASE)
        if found:
            return found.groupdict()
    return None


def what_of(clause: str, forms: Sequence[str] = CLAUSES) -> tuple[str, str, str, str]:
    """Action, colour, shape and room of a clause; the door's colour and shape are empty."""
    for form in forms:
        found = re.fullmatch(form, clause, re.IGNORECASE)
        if found:
            got = {'colour': '', 'shape': ''} | found.groupdict()
            action = 'passed' if got['action'] == 'pass' else got['action']
            return action, got['colour'], got['shape'], got['room']
    raise AssertionError(f'no event: {clause!r}')


def what_happened(event: dict) -> tuple[str, str, str, str]:
    return event['action'], event['colour'], event['shape'], event['room']


def told(event: dict) -> str:
    return event['sentence'].removesuffix('.')


class NaiveAnswers:
    """Answers what is asked at a moment, from a log as it is written beside recordings."""

    def __init__(self, log: dict, at_s: float) -> None:
        self.events = [e for e in log['events'] if e['end'] <= at_s]
        (self.room,) = [v['room'] for v in log['visits'] if v['start'] <= at_s < v['end']]

    def answer(self, question: str) -> str:
        """The answer; '' where it takes a look at the scene."""
        for forms, answer in (
            (language.ASK_ROOM, lambda: f'The robot is in the {self.room}.'),
            (language.ASK_SCENE, lambda: ''),
            (language.ASK_LAST, lambda: self.events[-1]['sentence']),
            (language.ASK_LAST_TWO, self.last_two),
            (language.ASK_WHAT, self.what),
            (language.ASK_WHERE, self.where),
            (language.ASK_WHICH, self.which),
            (language.ASK_ORDER, self.order),
            (language.ASK_AFTER, lambda clause: self.beside(clause, 1)),
            (language.ASK_BEFORE, lambda clause: self.beside(clause, -1)),
            (language.ASK_WHETHER[1:], lambda clause: self.whether(what_of(clause))),
            (language.ASK_WHETHER[:1], lambda asked: self.whether(what_of(asked, ASKED))),
        ):
            values = values_of(question, forms)
            if values is not None:
                return answer(**values)
        raise AssertionError(f'no form has {question!r}')

    def newest(self, **wanted: str) -> dict | None:
        objects = [e for e in self.events if e['shape']]
        fit = [e for e in objects if all(e[key] == value for key, value in wanted.items())]
        return fit[-1] if fit else None

    def what(self, thing: str) -> str:
        _, colour, shape = thing.split()
        event = self.newest(colour=colour, shape=shape)
        return f'It was {event["action"]} in the {event["room"]}.' if event else language.NOT_SEEN

    def where(self, thing: str, action: str) -> str:
        _, colour, shape = thing.split()
        event = self.newest(colour=colour, shape=shape, action=action)
        return f'In the {event["room"]}.' if event else language.NOT_SEEN

    def which(self, action: str, room: str) -> str:
        event = self.newest(action=action, room=room)
        return f'The {event["colour"]} {event["shape"]}.'

    def whether(self, what: tuple[str, str, str, str]) -> str:
        return 'yes' if any(what_happened(e) == what for e in self.events) else 'no'

    def beside(self, clause: str, step: int) -> str:
        numbers = self.numbers(clause)
        if not numbers:
            return language.NOT_SEEN
        (number,) = numbers
        assert number + step >= 0, 'the first event has none before it'
        return self.events[number + step]['sentence']

    def order(self, first: str, second: str) -> str:
        (one,), (other,) = self.numbers(first), self.numbers(second)
        return 'yes' if one < other else 'no'

    def numbers(self, clause: str) -> list[int]:
        what = what_of(clause)
        return [i for i, e in enumerate(self.events) if what_happened(e) == what]

    def last_two(self) -> str:
        first, second = (told(e) for e in self.events[-2:])
        return f'{first}, then {second[0].lower()}{second[1:]}.'
