"""The Pareto frontier of some jobs: which are worth their cost, what one more right answer costs, what the next dollars buy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from models.aligned import Aligned
from models.resampling import Interval, interval, resampled_means
from models.statistics import wilson


@dataclass(frozen=True, slots=True)
class Domination:
    """Job `by` (a column of `Aligned`) costs no more and is right no less often.

    `gain` is how much more accurate it is, `saved` how much less it costs a query, both by paired bootstrap. It is
    `significant` where the interval of the gain lies above zero and that of what is saved not below it: equal accuracies on few
    problems would not show that the dearer job gains nothing.
    """

    by: int
    gain: Interval
    saved: Interval

    @property
    def significant(self) -> bool:
        return self.gain.is_positive and self.saved.low is not None and self.saved.low >= 0


@dataclass(frozen=True, slots=True)
class Standing:
    """A job against all others. Cost is the mean over the problems with a bootstrap's interval, accuracy has Wilson's.

    A job that nothing dominates is on the frontier; on the `envelope` it is where no mixture of two others is better
    either.
    """

    place: int
    cost: Interval
    accuracy: Interval
    envelope: bool
    dominated: Domination | None


@dataclass(frozen=True, slots=True)
class Step:
    """From a job of the frontier to the next dearer one: what each additional right answer costs. Its interval has no
    upper end where the dearer one is not surely better."""

    cheaper: int
    dearer: int
    price: Interval


@dataclass(frozen=True, slots=True)
class Purchase:
    """What so much more than job `place` takes for the whole dataset would buy: a mixture of two jobs of the envelope, of
    which the dearer answers `share` of the problems, and the right answers that this adds over the whole dataset.

    `left` is what no job of the envelope is dear enough to spend.
    """

    place: int
    cheaper: int
    dearer: int
    share: float
    more: Interval
    left: float


@dataclass(frozen=True, slots=True, eq=False)
class Frontier:
    """Standings from the cheapest job to the dearest; `steps` and `purchases` along the frontier."""

    standings: list[Standing]
    steps: list[Step]
    purchases: list[Purchase]

    @property
    def places(self) -> list[int]:
        """The columns of the jobs on it, from the cheapest."""
        return [one.place for one in self.standings if one.dominated is None]


def frontier_of(aligned: Aligned, amount: float | None = None, *, seed: int = 0) -> Frontier:
    """The frontier of jobs on the same problems; `amount`, in the unit of their cost, is what is to be spent next."""
    accuracy, cost = aligned.right.mean(axis=0), aligned.cost.mean(axis=0)
    drawn, spent = resampled_means(aligned.right, aligned.cost, seed=seed)
    order = sorted(range(len(cost)), key=lambda place: (cost[place], -accuracy[place], place))
    undominated = [place for place in order if _dominator(place, accuracy, cost) is None]
    hull = envelope(accuracy, cost)
    standings = []
    for place in order:
        right = round(float(aligned.right[:, place].sum()))
        by = _dominator(place, accuracy, cost)
        domination = None
        if by is not None:
            domination = Domination(
                by,
                interval(accuracy[by] - accuracy[place], drawn[:, by] - drawn[:, place]),
                interval(cost[place] - cost[by], spent[:, place] - spent[:, by]),
            )
        own = Interval(float(accuracy[place]), *wilson(right, aligned.problems))
        standings.append(Standing(place, interval(cost[place], spent[:, place]), own, place in hull, domination))
    steps = []
    for cheaper, dearer in pairwise(undominated):
        gains, costs = drawn[:, dearer] - drawn[:, cheaper], spent[:, dearer] - spent[:, cheaper]
        if accuracy[dearer] > accuracy[cheaper]:
            price = (cost[dearer] - cost[cheaper]) / (accuracy[dearer] - accuracy[cheaper])
            drawn_prices = np.divide(costs, gains, out=np.full(len(gains), np.inf), where=gains > 0)
            steps.append(Step(cheaper, dearer, interval(price, drawn_prices)))
    purchases = []
    if amount is not None:
        purchases = [_purchase(place, amount, aligned.size, hull, (accuracy, cost), drawn) for place in undominated]
    return Frontier(standings, steps, purchases)


def envelope(accuracy: np.ndarray, cost: np.ndarray) -> list[int]:
    """The settings on the upper concave envelope of accuracy over cost, (settings,) each, from the cheapest: no mixture of
    others is as accurate for no more. It ends with the most accurate."""
    order = sorted(range(len(cost)), key=lambda place: (cost[place], -accuracy[place], place))
    hull: list[int] = []
    for place in order:
        if hull and accuracy[place] <= accuracy[hull[-1]]:
            continue
        while len(hull) > 1 and _rise(hull[-2], hull[-1], accuracy, cost) <= _rise(hull[-1], place, accuracy, cost):
            hull.pop()
        hull.append(place)
    return hull


def _rise(start: int, end: int, accuracy: np.ndarray, cost: np.ndarray) -> float:
    return float((accuracy[end] - accuracy[start]) / (cost[end] - cost[start]))


def _dominator(place: int, accuracy: np.ndarray, cost: np.ndarray) -> int | None:
    """Of the jobs that cost no more and are right no less often, one of them strictly, the most accurate, then the
    cheapest; None where there is none."""
    no_worse = (cost <= cost[place]) & (accuracy >= accuracy[place])
    better = no_worse & ((cost < cost[place]) | (accuracy > accuracy[place]))
    found = np.flatnonzero(better)
    return None if not len(found) else int(min(found, key=lambda one: (-accuracy[one], cost[one], one)))


def _purchase(
    place: int,
    amount: float,
    size: int,
    hull: list[int],
    means: tuple[np.ndarray, np.ndarray],
    drawn: np.ndarray,
) -> Purchase:
    """The mixture is chosen once, on all problems; the interval is of what that mixture adds."""
    accuracy, cost = means
    budget = cost[place] + amount / size
    below = [one for one in hull if cost[one] <= budget]
    cheaper = below[-1]
    above = [one for one in hull if cost[one] > budget]
    dearer = above[0] if above else cheaper
    share = float((budget - cost[cheaper]) / (cost[dearer] - cost[cheaper])) if above else 0.0
    left = 0.0 if above else float(budget - cost[cheaper]) * size
    weights = np.zeros(len(cost))
    weights[cheaper] += 1 - share
    weights[dearer] += share
    weights[place] -= 1
    return Purchase(
        place, cheaper, dearer, share, interval(float(size * accuracy @ weights), size * drawn @ weights), left
    )
