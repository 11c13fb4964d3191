"""Choosing a job for an accuracy or for an amount: on one half of the problems, confirmed on the other.

A choice made and judged on the same problems flatters the chosen: of many jobs, the luckiest looks best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.aligned import Aligned
from models.errors import UserError
from models.resampling import Interval, interval, resampled_means
from models.statistics import wilson

ROUNDING = 1 + 1e-9
"""What exactly fits an amount fits it however its parts were added up."""


@dataclass(frozen=True, slots=True)
class Half:
    """A job on one half: its accuracy with Wilson's interval, and its mean cost a query with a bootstrap's."""

    problems: int
    accuracy: Interval
    cost: Interval


@dataclass(frozen=True, slots=True)
class Choice:
    """`place` is the chosen column of `Aligned`, None where no job will do; then `nearest` is the one that comes nearest to
    it on the first half. `on` is that job there, `confirmed` the chosen one on the other half."""

    place: int | None
    nearest: int
    on: Half
    confirmed: Half | None


def halves(problems: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint random halves of the problems' places, the first the smaller where they are odd in number."""
    order = np.random.default_rng(seed).permutation(problems)
    return np.sort(order[: problems // 2]), np.sort(order[problems // 2 :])


def cheapest_reaching(aligned: Aligned, target: float, *, seed: int = 0) -> Choice:
    """The cheapest job that is right in at least `target` (in [0, 1]) of the first half.

    Raises:
        UserError: there are fewer than two problems.
    """
    first, other = _halves(aligned, seed)
    accuracy, cost = aligned.right[first].mean(axis=0), aligned.cost[first].mean(axis=0)
    reaching = np.flatnonzero(accuracy >= target)
    if not len(reaching):
        nearest = min(range(len(cost)), key=lambda place: (-accuracy[place], cost[place], place))
        return Choice(None, nearest, _half(aligned, nearest, first, seed), None)
    place = int(min(reaching, key=lambda one: (cost[one], -accuracy[one], one)))
    return Choice(place, place, _half(aligned, place, first, seed), _half(aligned, place, other, seed))


def best_within(aligned: Aligned, amount: float, *, seed: int = 0) -> Choice:
    """The most accurate job whose mean cost on the first half, times the problems of the dataset, is at most `amount`.

    Raises:
        UserError: there are fewer than two problems.
    """
    first, other = _halves(aligned, seed)
    accuracy, cost = aligned.right[first].mean(axis=0), aligned.cost[first].mean(axis=0)
    fitting = np.flatnonzero(cost * aligned.size <= amount * ROUNDING)
    if not len(fitting):
        nearest = min(range(len(cost)), key=lambda place: (cost[place], -accuracy[place], place))
        return Choice(None, nearest, _half(aligned, nearest, first, seed), None)
    place = int(min(fitting, key=lambda one: (-accuracy[one], cost[one], one)))
    return Choice(place, place, _half(aligned, place, first, seed), _half(aligned, place, other, seed))


def _halves(aligned: Aligned, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if aligned.problems < 2:
        raise UserError(f"{aligned.dataset}: one graded problem cannot be halved; answer more of them")
    return halves(aligned.problems, seed)


def _half(aligned: Aligned, place: int, problems: np.ndarray, seed: int) -> Half:
    right, cost = aligned.right[problems, place], aligned.cost[problems, place]
    (drawn,) = resampled_means(cost[:, None], seed=seed)
    accuracy = Interval(float(right.mean()), *wilson(round(float(right.sum())), len(right)))
    return Half(len(problems), accuracy, interval(cost.mean(), drawn[:, 0]))
