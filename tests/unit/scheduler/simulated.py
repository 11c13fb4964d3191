"""Recorded problems of a world whose laws are known: how often a sample is right, which wrong answers are popular, how
noisy the verifier is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from scheduler.outcomes import Recorded, Searched


@dataclass(frozen=True)
class World:
    """`easy`, `hard`: shares of problems that are right nearly always, and nearly never; the others are in between.
    `noise` of the verifier's logit, which is 1 for a right solution and -1 for a wrong one. `scoring`: FLOPs per
    generated one. `telling`: how far a sample's own log-probability tells whether it is right."""

    easy: float = 0.4
    hard: float = 0.3
    noise: float = 1.5
    scoring: float = 1.0
    telling: float = 1.0
    unread: float = 0.03
    search: float = 0.15
    samples: int = 33

    def problem(self, seed: int, number: int) -> Recorded:
        rng = np.random.default_rng([seed, number])
        kind = rng.random()
        if kind < self.easy:
            skill = rng.uniform(0.92, 1.0)
        elif kind < self.easy + self.hard:
            skill = rng.uniform(0.0, 0.03)
        else:
            skill = rng.uniform(0.2, 0.75)
        n = self.samples
        right = rng.random(n) < skill
        # The greedy sample is right a little more often.
        right[0] |= rng.random() < 0.3 * skill
        # Wrong answers: a few that many fall for, the more popular the lower its number.
        wrong = np.minimum(rng.geometric(0.35, size=n), 12)
        answer_class = np.where(right, 0, wrong)
        unread = ~right & (rng.random(n) < self.unread)
        answer_class[unread] = -1
        logit = np.where(right, 1.0, -1.0) + self.noise * rng.normal(size=n)
        score = 1 / (1 + np.exp(-logit))
        score[unread] = np.nan
        logprob = -0.25 + self.telling * 0.1 * right + 0.1 * (skill - 0.5) + 0.05 * rng.normal(size=n)
        tokens = np.maximum(5, rng.poisson(30 + 20 * (1 - skill), size=n))
        drawing = 1e6 * tokens
        share = (~unread) / max(np.count_nonzero(~unread), 1)
        scoring = self.scoring * drawing.mean() * n * share
        found = rng.random() < np.clip(skill + self.search, 0, 1)
        return Recorded(
            key=f"k{number}",
            text=f"problem {number}",
            level=str(1 + int(4.99 * (1 - skill))),
            answer_class=answer_class,
            right=right,
            score=score,
            logprob=np.minimum(logprob, 0),
            weakest=np.minimum(logprob - 0.3 * rng.random(n), 0),
            tokens=tokens,
            prompt=int(20 + rng.integers(10)),
            prefill=2e7,
            drawing=drawing,
            scoring=scoring,
            drawing_seconds=drawing / 1e9,
            scoring_seconds=scoring / 2e9,
            searches={0: Searched(bool(found), 2e7 + 12 * float(drawing.mean()), 0.5)},
        )

    def problems(self, count: int, seed: int = 0) -> list[Recorded]:
        return [self.problem(seed, number) for number in range(count)]


def searched(one: Recorded, searches: Mapping[int, Searched]) -> Recorded:
    return replace(one, searches=searches)
