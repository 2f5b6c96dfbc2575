# SPDX-License-Identifier: Apache-2.0
"""Questions about a simulated patrol, with their true answers, of VStream-QA's five types.

A question is asked while nothing goes on, and its answer needs nothing that comes later.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from flash_vstream_ros.simulator import language
from flash_vstream_ros.simulator.aiming import Sight
from flash_vstream_ros.simulator.events import Event
from flash_vstream_ros.simulator.language import clause_of, sentence, thing_of
from flash_vstream_ros.simulator.past import Past, hang_together
from flash_vstream_ros.simulator.view import (
    KINDS,
    OBJECT_ACTIONS,
    ROOMS,
)
from flash_vstream_ros.simulator.world import ASPECT, Patrol

SCENE = 'Scene Summary'
ACTION = 'Action Description'
OCCURRENCE = 'Event Occurrence'
NARRATIVE = 'Ordered Event Narrative'
SEQUENCE = 'Sequence Validation'
TYPES = (SCENE, ACTION, OCCURRENCE, NARRATIVE, SEQUENCE)

SETTLED_S = 1.5  # after an event before something is asked
UNANSWERABLE_SHARE = 0.25  # of the questions that can be asked of what was never seen
TRIES = 60
EARLIEST_S = 30.0  # before it little has happened


@dataclass(frozen=True)
class PatrolQuestion:
    """One question and its truth.

    :param at_s: when it is asked, seconds since the first frame.
    :param answer_type: one of :data:`TYPES`.
    :param events: the events it is about; of what never happened, the event that differs from it
        in one respect, so that accuracy by age is one of yes and no alike.
    :param answerable: False: it is about what was never seen.
    """

    at_s: float
    answer_type: str
    question: str
    answer: str
    events: tuple[Event, ...] = ()
    answerable: bool = True

    def as_entry(self, number: int, name: str, duration_s: float) -> dict[str, object]:
        """Make an entry of a question file, in VStream-QA's fields and some of ours.

        :param name: of the recording; ``number`` counts its questions.
        """
        entry: dict[str, object] = {
            'id': f'{name}_{number:04d}',
            'video_id': name,
            'video_name': name,
            'question': self.question,
            'answer': self.answer,
            'answer_type': self.answer_type,
            'start_time': 0.0,
            'end_time': self.at_s,
            'gt_duration': self.at_s,
            'duration': duration_s,
            'answerable': self.answerable,
            'event_times': [[round(e.start_s, 3), round(e.end_s, 3)] for e in self.events],
        }
        if self.answer_type in (OCCURRENCE, SEQUENCE):
            entry['choices'] = ['yes', 'no']
        return entry


@dataclass
class Questioner:
    """Asks about one patrol. Equal seeds ask equal questions.

    :param clear_cut: what is asked and did not happen differs from what did in all respects that
        chance gives, not in one: easier, for a model that does not know yet how to compare.
    :param types: what is asked, some of :data:`TYPES`.
    :param size: of the frames, (width, height): how much of a scene a model sees.
    """

    patrol: Patrol
    seed: int
    clear_cut: bool = False
    types: Sequence[str] = TYPES
    size: tuple[int, int] = ASPECT
    _random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng((self.patrol.seed, self.seed))

    def times(
        self, count: int, earliest_s: float = EARLIEST_S, latest_s: float = math.inf
    ) -> list[float]:
        """Draw moments at which nothing goes on, in order, on whole seconds and a half."""
        last = int(min(self.patrol.seconds, latest_s)) - 1
        found: set[float] = set()
        for _ in range(TRIES * count):
            if len(found) == count or last <= earliest_s:
                break
            at_s = float(self._random.integers(int(earliest_s), last)) + 0.5
            if self._is_quiet(at_s) and self.patrol.events_until(at_s):
                found.add(at_s)
        return sorted(found)

    def _is_quiet(self, at_s: float) -> bool:
        event = self.patrol.event_at(at_s) or self.patrol.event_at(at_s - SETTLED_S)
        visit = self.patrol.visit_at(at_s)
        return event is None and at_s - visit.start_s > SETTLED_S

    def ask(self, at_s: float, count: int) -> list[PatrolQuestion]:
        """Ask different questions at one moment, as many of each type as can be."""
        asked: dict[str, PatrolQuestion] = {}
        kinds = [self.types[i] for i in self._random.permutation(len(self.types))]
        for number in range(TRIES * count):
            if len(asked) == count:
                break
            question = self._one(kinds[number % len(kinds)], at_s)
            if question is not None:
                asked.setdefault(question.question, question)
        return list(asked.values())

    def _one(self, kind: str, at_s: float) -> PatrolQuestion | None:
        past = Past(self.patrol.events_until(at_s))
        makers: dict[str, Sequence[Callable[[Past, float], PatrolQuestion | None]]] = {
            SCENE: (self._room, self._scene),
            ACTION: (self._last, self._what, self._where, self._which),
            OCCURRENCE: (self._whether,),
            NARRATIVE: (self._after, self._before, self._last_two),
            SEQUENCE: (self._order,),
        }
        chosen = makers[kind][int(self._random.integers(len(makers[kind])))]
        return chosen(past, at_s)

    def _say(self, forms: Sequence[str], **values: str) -> str:
        said = forms[int(self._random.integers(len(forms)))].format(**values)
        return said[0].upper() + said[1:]

    def _pick(self, events: Sequence[Event], at_s: float) -> Event | None:
        """One event, its age drawn evenly on a logarithmic scale: recent ones are asked more."""
        if not events:
            return None
        weights = np.array([1.0 / (at_s - e.end_s + 10.0) for e in events])
        return events[int(self._random.choice(len(events), p=weights / weights.sum()))]

    def _is_unanswerable(self) -> bool:
        return bool(self._random.random() < UNANSWERABLE_SHARE)

    def _unseen(self, past: Past, at_s: float) -> Event | None:
        """Something done to an object that was never seen, neither then nor at another time."""
        seen = self.patrol.kinds_seen(at_s)
        unseen = [kind for kind in KINDS if kind not in seen]
        if not unseen or not past.events:
            return None
        colour, shape = unseen[int(self._random.integers(len(unseen)))]
        action = str(self._random.choice(OBJECT_ACTIONS))
        return Event(action, str(self._random.choice(ROOMS)), 0.0, 0.0, colour, shape)

    def _not_seen(self, kind: str, at_s: float, question: str) -> PatrolQuestion:
        return PatrolQuestion(at_s, kind, question, language.NOT_SEEN, (), False)

    def _room(self, past: Past, at_s: float) -> PatrolQuestion:
        del past
        answer = f'The robot is in the {self.patrol.visit_at(at_s).room}.'
        return PatrolQuestion(at_s, SCENE, self._say(language.ASK_ROOM), answer)

    def _scene(self, past: Past, at_s: float) -> PatrolQuestion | None:
        del past
        view = self.patrol.view_at(float(int(at_s)))  # the newest frame at one a second
        sight = Sight(self.size)
        near = [o for o in view.objects if sight.holds(o)]
        cut = [o for o in near if not sight.holds_whole(o)]
        if cut or any(map(view.hides, near)):
            return None
        answer = language.scene_of(view.room, near)
        return PatrolQuestion(at_s, SCENE, self._say(language.ASK_SCENE), answer)

    def _last(self, past: Past, at_s: float) -> PatrolQuestion | None:
        if not past.events:
            return None
        event = past.events[-1]
        question = self._say(language.ASK_LAST)
        return PatrolQuestion(at_s, ACTION, question, sentence(clause_of(event)), (event,))

    def _what(self, past: Past, at_s: float) -> PatrolQuestion | None:
        if self._is_unanswerable():
            unseen = self._unseen(past, at_s)
            if unseen is None:
                return None
            question = self._say(language.ASK_WHAT, thing=thing_of(unseen))
            return self._not_seen(ACTION, at_s, question)
        event = self._pick(past.last_of(lambda e: (e.colour, e.shape), OBJECT_ACTIONS), at_s)
        if event is None:
            return None
        question = self._say(language.ASK_WHAT, thing=thing_of(event))
        answer = f'It was {event.action} in the {event.room}.'
        return PatrolQuestion(at_s, ACTION, question, answer, (event,))

    def _where(self, past: Past, at_s: float) -> PatrolQuestion | None:
        unseen = self._unseen(past, at_s) if self._is_unanswerable() else None
        by_thing = past.last_of(lambda e: (e.action, e.colour, e.shape), OBJECT_ACTIONS)
        event = unseen or self._pick(by_thing, at_s)
        if event is None:
            return None
        question = self._say(language.ASK_WHERE, thing=thing_of(event), action=event.action)
        if unseen:
            return self._not_seen(ACTION, at_s, question)
        return PatrolQuestion(at_s, ACTION, question, f'In the {event.room}.', (event,))

    def _which(self, past: Past, at_s: float) -> PatrolQuestion | None:
        by_place = past.last_of(lambda e: (e.action, e.room), OBJECT_ACTIONS)
        event = self._pick(by_place, at_s)
        if event is None:
            return None
        question = self._say(language.ASK_WHICH, action=event.action, room=event.room)
        return PatrolQuestion(at_s, ACTION, question, sentence(thing_of(event)), (event,))

    def _whether(self, past: Past, at_s: float) -> PatrolQuestion | None:
        event = self._pick(past.newest_of_each(), at_s)
        others = self._others(past, event) if event else []
        if not others:  # also then no question whose answer is yes: the two must be as likely
            return None
        is_true = bool(self._random.integers(2))
        asked = event if is_true else others[int(self._random.integers(len(others)))]
        question = self._say(
            language.ASK_WHETHER, asked=language.asked_of(asked), clause=clause_of(asked)
        )
        answer = 'yes' if is_true else 'no'
        return PatrolQuestion(at_s, OCCURRENCE, question, answer, (event,))

    def _others(self, past: Past, event: Event) -> list[Event]:
        return past.strangers(event, self._random) if self.clear_cut else past.never(event)

    def _after(self, past: Past, at_s: float) -> PatrolQuestion | None:
        return self._next_to(past, at_s, language.ASK_AFTER, 1)

    def _before(self, past: Past, at_s: float) -> PatrolQuestion | None:
        return self._next_to(past, at_s, language.ASK_BEFORE, -1)

    def _next_to(
        self, past: Past, at_s: float, forms: Sequence[str], step: int
    ) -> PatrolQuestion | None:
        unseen = self._unseen(past, at_s) if self._is_unanswerable() else None
        inner = past.events[:-1] if step > 0 else past.events[1:]
        event = unseen or self._pick(past.unique(inner), at_s)
        if event is None:
            return None
        question = self._say(forms, clause=clause_of(event))
        if unseen:
            return self._not_seen(NARRATIVE, at_s, question)
        other = past.events[past.events.index(event) + step]
        answer = sentence(clause_of(other))
        return PatrolQuestion(at_s, NARRATIVE, question, answer, (event, other))

    def _last_two(self, past: Past, at_s: float) -> PatrolQuestion | None:
        if len(past.events) < 2:
            return None
        first, second = past.events[-2:]
        answer = sentence(f'{clause_of(first)}, then {clause_of(second)}')
        question = self._say(language.ASK_LAST_TWO)
        return PatrolQuestion(at_s, NARRATIVE, question, answer, (first, second))

    def _order(self, past: Past, at_s: float) -> PatrolQuestion | None:
        """Two events that happened once each, of which neither follows from the other."""
        unique = past.unique(past.events)
        one = self._pick(unique, at_s)
        if one is None:
            return None
        other = self._pick([e for e in unique if not hang_together(one, e)], at_s)
        if other is None:
            return None
        pair = sorted((one, other), key=lambda e: e.start_s)
        is_true = bool(self._random.integers(2))
        first, second = pair if is_true else pair[::-1]
        question = self._say(language.ASK_ORDER, first=clause_of(first), second=clause_of(second))
        return PatrolQuestion(
            at_s, SEQUENCE, question, 'yes' if is_true else 'no', (first, second)
        )
