# SPDX-License-Identifier: Apache-2.0
"""A model that sees the words of a yes/no question, and nothing of the stream."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np

from flash_vstream_ros.simulator.questions import PatrolQuestion, Questioner
from flash_vstream_ros.simulator.world import Patrol

RARE = 5  # features of fewer questions are left out
STEPS = 200
STEP_SIZE = 4.0
DECAY = 1.0


def closed_questions(
    seeds: Sequence[int], seconds: float, moments: int, each: int
) -> list[PatrolQuestion]:
    """All yes/no questions among those asked about some patrols."""
    found = []
    for seed in seeds:
        questioner = Questioner(Patrol(seed, seconds), 0)
        for at_s in questioner.times(moments):
            found += [q for q in questioner.ask(at_s, each) if q.answer in ('yes', 'no')]
    return found


@cache
def features_of(text: str, minute: int) -> frozenset[str]:
    """Words, words in their places, neighbours, pairs in this order, and when it is asked."""
    text = text.lower().replace('put down', 'put_down')
    words = re.findall(r'\w+', text.replace('picked up', 'picked_up'))
    features = {f'{one}..{other}' for i, one in enumerate(words) for other in words[i + 1 :]}
    features |= {f'{one} {other}' for one, other in pairwise(words)}
    features |= {f'{place}:{word}' for place, word in enumerate(words)} | set(words)
    return frozenset(features | {f'minute {minute}'})


def _features_of(question: PatrolQuestion) -> frozenset[str]:
    return features_of(question.question, int(question.at_s // 60))


class QuestionOnlyModel:
    """Logistic regression on bags of words and pairs of words, with weight decay."""

    def __init__(self, questions: Sequence[PatrolQuestion]) -> None:
        counts = Counter(f for question in questions for f in _features_of(question))
        known = [feature for feature, count in counts.items() if count >= RARE]
        self.places = {feature: place for place, feature in enumerate(known)}
        self.weights = np.zeros(len(known) + 1)  # the last is of no feature, and stays 0
        self.bias = 0.0
        present, share = self._inputs(questions)
        wanted, speed = truths(questions), 0.0
        for _ in range(STEPS):
            likely = 1.0 / (1.0 + np.exp(-self._scores(present, share)))
            wrong = (likely - wanted) / len(questions)
            spread = np.repeat(wrong * share, present.shape[1])
            slope = np.bincount(present.ravel(), spread, len(self.weights))
            speed = 0.9 * speed + slope + DECAY / len(questions) * self.weights
            self.weights -= STEP_SIZE * speed
            self.weights[-1] = 0.0
            self.bias -= STEP_SIZE * wrong.sum()

    def accuracy(self, questions: Sequence[PatrolQuestion]) -> float:
        says_yes = self._scores(*self._inputs(questions)) > 0.0
        return float((says_yes == truths(questions)).mean())

    def _scores(self, present: np.ndarray, share: np.ndarray) -> np.ndarray:
        return self.weights[present].sum(axis=1) * share + self.bias

    def _inputs(self, questions: Sequence[PatrolQuestion]) -> tuple[np.ndarray, np.ndarray]:
        """Places of the features that each question has, and what scales them to length 1."""
        rows = [[self.places[f] for f in _features_of(q) if f in self.places] for q in questions]
        present = np.full((len(rows), max(map(len, rows))), len(self.places))
        for row, places in enumerate(rows):
            present[row, : len(places)] = places
        return present, np.array([max(len(places), 1) ** -0.5 for places in rows])


def truths(questions: Sequence[PatrolQuestion]) -> np.ndarray:
    return np.array([question.answer == 'yes' for question in questions])
