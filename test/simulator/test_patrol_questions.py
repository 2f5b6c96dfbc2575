# SPDX-License-Identifier: Apache-2.0
"""Questions about patrols: true, balanced, varied, answerable with what was seen until then."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
from naive_answers import NaiveAnswers, values_of, what_of

from flash_vstream_ros.simulator import language
from flash_vstream_ros.simulator.questions import (
    ACTION,
    NARRATIVE,
    OCCURRENCE,
    SCENE,
    SEQUENCE,
    TYPES,
    PatrolQuestion,
    Questioner,
)
from flash_vstream_ros.simulator.view import DOOR_ACTIONS
from flash_vstream_ros.simulator.world import Patrol
from flash_vstream_ros.simulator.writing import log_of

TEN_MINUTES, TWO_HOURS = 600.0, 7200.0
YES_NO = (OCCURRENCE, SEQUENCE)


@dataclass
class Asked:
    """A patrol, and questions asked at several moments."""

    patrol: Patrol
    questions: list[PatrolQuestion]

    def of(self, *types: str) -> list[PatrolQuestion]:
        return [question for question in self.questions if question.answer_type in types]


def asked_about(seed: int, seconds: float, moments: int, each: int) -> Asked:
    patrol = Patrol(seed, seconds)
    questioner = Questioner(patrol, 0)
    times = questioner.times(moments)
    return Asked(patrol, [q for at_s in times for q in questioner.ask(at_s, each)])


@pytest.fixture(scope='module')
def short() -> list[Asked]:
    return [asked_about(seed, TEN_MINUTES, 12, 10) for seed in range(30)]


@pytest.fixture(scope='module')
def long() -> list[Asked]:
    return [asked_about(seed, TWO_HOURS, 40, 10) for seed in range(8)]


@pytest.fixture(scope='module', params=['short', 'long'])
def both(request: pytest.FixtureRequest) -> list[Asked]:
    return request.getfixturevalue(request.param)


def first_sights(patrol: Patrol) -> dict[tuple[str, str], float]:
    """When each kind of object was in view for the first time, looking once a second."""
    first: dict[tuple[str, str], float] = {}
    for at_s in np.arange(0.0, patrol.seconds, 1.0):
        view = patrol.view_at(at_s)
        things = [*view.objects, view.action.thing if view.action else None]
        for thing in things:
            if thing is not None and -0.1 < thing.x < 1.1:
                first.setdefault((thing.colour, thing.shape), at_s)
    return first


def test_every_answer_is_that_of_the_log(both: list[Asked]) -> None:
    for asked in both:
        log = json.loads(json.dumps(log_of(asked.patrol)))
        for question in asked.questions:
            answer = NaiveAnswers(log, question.at_s).answer(question.question)
            assert answer in (question.answer, ''), question
            assert bool(answer) or question.answer_type == SCENE


def test_nothing_that_comes_later_is_needed(short: list[Asked]) -> None:
    """Where the stream ends there and then, the same is asked and answered."""
    for asked in short[:12]:
        for at_s in sorted({question.at_s for question in asked.questions})[::3]:
            ended = Patrol(asked.patrol.seed, at_s)
            now = Questioner(asked.patrol, 7).ask(at_s, 10)
            assert Questioner(ended, 7).ask(at_s, 10) == now
            naive = NaiveAnswers(log_of(Patrol(asked.patrol.seed, at_s + 5.0)), at_s)
            for question in now:
                assert naive.answer(question.question) in (question.answer, '')
                assert all(event.end_s < at_s for event in question.events)


def test_what_cannot_be_answered_was_never_in_view(short: list[Asked], long: list[Asked]) -> None:
    checked = 0
    for asked in [*short, *long[:2]]:
        first = first_sights(asked.patrol)
        for question in asked.questions:
            if question.answerable:
                assert question.answer != language.NOT_SEEN
                continue
            assert question.answer == language.NOT_SEEN
            assert question.answer_type in (ACTION, NARRATIVE)
            assert question.events == ()
            words = question.question.lower().replace('?', '').replace(',', '').replace('.', '')
            kinds = [
                (colour, shape)
                for colour, shape in zip(words.split(), words.split()[1:], strict=False)
                if colour in ('red', 'green', 'blue', 'yellow', 'purple', 'orange')
            ]
            assert len(kinds) == 1
            assert first.get(kinds[0], np.inf) > question.at_s, question
            checked += 1
    assert checked > 100


def test_some_of_all_questions_cannot_be_answered(both: list[Asked]) -> None:
    share = np.mean([not question.answerable for a in both for question in a.questions])
    assert 0.04 < share < 0.2


def test_yes_and_no_are_as_likely(both: list[Asked]) -> None:
    for kind in YES_NO:
        says_yes = [q.answer == 'yes' for a in both for q in a.of(kind)]
        assert {q.answer for a in both for q in a.of(kind)} == {'yes', 'no'}
        # Four standard deviations of a fair coin.
        assert abs(np.mean(says_yes) - 0.5) < 4 * 0.5 / len(says_yes) ** 0.5
        assert len(says_yes) > 400


def test_yes_and_no_are_as_likely_early_and_late(both: list[Asked]) -> None:
    closed = [q for a in both for q in a.of(*YES_NO)]
    middle = np.median([q.at_s for q in closed])
    for part in ([q for q in closed if q.at_s < middle], [q for q in closed if q.at_s >= middle]):
        share = np.mean([q.answer == 'yes' for q in part])
        assert abs(share - 0.5) < 4 * 0.5 / len(part) ** 0.5


def test_all_five_types_are_asked_about_as_often(both: list[Asked]) -> None:
    assert len(TYPES) == 5
    counts = Counter(q.answer_type for a in both for q in a.questions)
    assert set(counts) == set(TYPES)
    assert min(counts.values()) > 0.12 * sum(counts.values())


def test_a_moment_is_asked_different_questions(both: list[Asked]) -> None:
    for asked in both:
        by_moment = defaultdict(list)
        for question in asked.questions:
            by_moment[question.at_s].append(question.question)
        assert all(len(texts) == len(set(texts)) == 10 for texts in by_moment.values())


def test_wording_varies(short: list[Asked]) -> None:
    """Every form of every question is used, and none nearly always."""
    texts = [q.question for a in short for q in a.questions]
    for name, forms in vars(language).items():
        if name.startswith('ASK_') and forms != language.ASK_WHETHER:
            uses = [sum(values_of(text, [form]) is not None for text in texts) for form in forms]
            assert min(uses) > 0.5 * sum(uses) / len(forms), name
    starts = Counter(' '.join(text.split()[:2]) for text in texts)
    assert len(starts) > 20
    assert max(starts.values()) < 0.2 * len(texts)


def test_most_questions_of_many_streams_differ(short: list[Asked]) -> None:
    texts = [q.question for a in short for q in a.of(ACTION, OCCURRENCE, NARRATIVE, SEQUENCE)]
    assert len(set(texts)) > 0.6 * len(texts)


def test_ages_are_spread(short: list[Asked], long: list[Asked]) -> None:
    """What happened just now is asked about, and what happened long ago."""
    ages = np.array([q.at_s - q.events[0].end_s for a in short for q in a.questions if q.events])
    for low, high in ((0.0, 30.0), (30.0, 120.0), (120.0, 600.0)):
        assert ((ages >= low) & (ages < high)).mean() > 0.1, (low, high)
    ages = np.array([q.at_s - q.events[0].end_s for a in long for q in a.questions if q.events])
    for low, high in ((0.0, 60.0), (60.0, 600.0), (600.0, 1800.0), (1800.0, 7200.0)):
        assert ((ages >= low) & (ages < high)).mean() > 0.05, (low, high)


def test_an_occurrence_is_as_old_as_its_newest_time(both: list[Asked]) -> None:
    """Else an answer to what has just happened again would count as memory of long ago."""
    for asked in both:
        for question in asked.of(OCCURRENCE):
            for event in question.events:
                same = [
                    e for e in asked.patrol.events_until(question.at_s) if e.what == event.what
                ]
                assert event == same[-1]


def test_moments_are_quiet_and_spread(both: list[Asked]) -> None:
    for asked in both:
        times = sorted({question.at_s for question in asked.questions})
        assert len(times) in (12, 40)
        assert times[-1] < asked.patrol.seconds
        assert np.ptp(times) > 0.4 * asked.patrol.seconds
        for at_s in times:
            assert at_s % 1 == 0.5
            near = [e for e in asked.patrol.events if e.start_s <= at_s < e.end_s + 1.5]
            assert near == []


def test_equal_seeds_ask_equal_questions() -> None:
    one, again = (asked_about(3, TEN_MINUTES, 5, 8) for _ in range(2))
    assert one.questions == again.questions
    other = Questioner(one.patrol, 1)
    assert [q for at_s in other.times(5) for q in other.ask(at_s, 8)] != one.questions


def test_the_two_of_an_order_do_not_tell_it(both: list[Asked]) -> None:
    """What is picked up stood there before, and a door that is closed was open."""
    for asked in both:
        for question in asked.of(SEQUENCE):
            one, other = question.events
            assert one.end_s != other.end_s
            if one.shape:
                assert (one.colour, one.shape) != (other.colour, other.shape)
            elif {one.action, other.action} <= set(DOOR_ACTIONS):
                assert one.room != other.room


def test_a_wrong_occurrence_differs_from_a_true_one_in_one_word(short: list[Asked]) -> None:
    """Else 'no' could be told without knowing the stream well."""
    for asked in short[:10]:
        for question in asked.of(OCCURRENCE):
            if question.answer == 'no':
                what = _asked_what(question.question)
                past = asked.patrol.events_until(question.at_s)
                assert (
                    min(sum(a != b for a, b in zip(what, e.what, strict=True)) for e in past) == 1
                )


def test_clear_cut_questions_are_as_true_and_differ_in_several_respects() -> None:
    respects, answers = [], Counter()
    for seed in range(10):
        patrol = Patrol(seed, TEN_MINUTES)
        questioner = Questioner(patrol, 0, clear_cut=True)
        for at_s in questioner.times(12):
            naive = NaiveAnswers(log_of(patrol), at_s)
            for question in questioner.ask(at_s, 10):
                if question.answer_type != OCCURRENCE:
                    continue
                assert naive.answer(question.question) == question.answer
                answers[question.answer] += 1
                what, (event,) = _asked_what(question.question), question.events
                if question.answer == 'no':
                    assert (what[0] in DOOR_ACTIONS) == (event.action in DOOR_ACTIONS)
                    respects.append(sum(a != b for a, b in zip(what, event.what, strict=True)))
    assert np.mean(respects) > 2.0
    assert abs(answers['yes'] - answers['no']) < 4 * answers.total() ** 0.5


def _asked_what(question: str) -> tuple[str, str, str, str]:
    for prefix in ('Is it true that ', 'Did it happen that ', 'Have you seen that '):
        if question.startswith(prefix):
            return what_of(question.removeprefix(prefix).removesuffix('?'))
    words = question.removesuffix('?').lower()
    told = words.replace('did ', '').replace(' pass ', ' passed ')
    if words.startswith('was '):
        thing = words.split()[1:3] if 'the door' in words else words.split()[1:4]
        told = f'{" ".join(thing)} was {words.split(" ".join(thing))[1].strip()}'
    return what_of(told)


def test_an_entry_has_the_fields_of_vstream_qa(short: list[Asked]) -> None:
    for question in short[0].questions:
        entry = json.loads(json.dumps(question.as_entry(7, 'patrol_5', TEN_MINUTES)))
        assert entry['id'] == 'patrol_5_0007'
        assert entry['video_id'] == entry['video_name'] == 'patrol_5'
        assert (entry['question'], entry['answer']) == (question.question, question.answer)
        assert entry['answer_type'] == question.answer_type
        assert entry['start_time'] == 0.0
        assert entry['end_time'] == entry['gt_duration'] == question.at_s
        assert entry['duration'] == TEN_MINUTES
        assert entry['answerable'] is question.answerable
        assert ('choices' in entry) == (question.answer in ('yes', 'no'))
        assert all(0.0 <= a < b <= entry['end_time'] for a, b in entry['event_times'])


@pytest.mark.parametrize('seconds', [30.0, 31.0, 33.0])
def test_a_short_patrol_is_asked_what_it_can_be(seconds: float) -> None:
    assert all(30.0 <= t < seconds for t in Questioner(Patrol(0, seconds), 0).times(5))
    early = Questioner(Patrol(0, TEN_MINUTES), 0).times(5, latest_s=seconds)
    assert all(30.0 <= t < seconds for t in early)
