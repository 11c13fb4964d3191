"""A smaller model that searches against a larger one that does not: at equal cost, and with pretraining counted in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.efficiency import Curve, least_cost, most_accuracy
from models.resampling import Interval, interval, resamples

RATIOS = (0.16, 0.79, 22.0)
"""Of inference tokens to pretraining tokens; those that Snell et al. look at (2408.03314, section 7)."""


def inference_factor(larger: float, ratio: float) -> float:
    """How many times its own greedy inference a model may spend before a `larger` times larger one were as cheap.

    Pretraining a model of N parameters takes X = 6 N D_pre FLOPs and inference Y = 2 N D_inf; M times the parameters take
    M (X + Y). With the small model kept, what is left for its inference is M (X + Y) - X, which is
    M + 3 (D_pre / D_inf) (M - 1) times Y; R = D_inf / D_pre is `ratio` (Snell et al. 2408.03314, section 7). With R without
    bound it is M: no pretraining is counted.

    Raises:
        ValueError: M is below 1, or R is not positive.
    """
    if larger < 1 or not ratio > 0:
        raise ValueError("the larger model must have at least as many parameters, and the ratio must be positive")
    return larger + 3 / ratio * (larger - 1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The small model at `budget` a query against the larger one's accuracy, on the envelope of the small one's settings.

    `gain` is small less large, None where not even the cheapest setting is affordable. `beyond`: the budget is more than
    the dearest setting takes, so that the small model's accuracy is what was measured at most, not what it would be.
    """

    budget: float
    small: Interval | None
    large: Interval
    gain: Interval | None
    beyond: bool

    @property
    def verdict(self) -> str:
        """`small`, `large`, or `undecided` where the interval holds zero."""
        if self.gain is None:
            return "large"
        return "small" if self.gain.is_positive else "large" if self.gain.is_negative else "undecided"


@dataclass(frozen=True, slots=True)
class Match:
    """What the larger model's accuracy costs the small one: `cost` a query, and `ratio` of the larger one's cost to that,
    above 1 where the small one is cheaper. Both None where it is not reached; a low end is None where it is not in one of
    forty resamples."""

    accuracy: float
    large: float
    cost: float | None
    ratio: Interval | None


def compare(small: Curve, large: Curve, times: float = 1.0, *, seed: int = 0) -> Comparison:
    """The small model's settings with `times` the larger one's mean cost; `large` has one setting, of the same problems.

    Interval: a bootstrap over problems, the envelope and the budget computed anew in each resample.
    """
    problems = len(small.accuracy)
    whole = np.full((1, problems), 1 / problems)
    value = [part[0] for part in _at(small, large, times, whole)]
    parts = [_at(small, large, times, shares) for shares in resamples(problems, seed=seed)]
    ours, theirs = (np.concatenate([part[number] for part in parts]) for number in (0, 1))
    budget = times * float(large.cost.mean())
    affordable = bool(np.isfinite(value[0]))
    return Comparison(
        budget=budget,
        small=interval(value[0], ours) if affordable else None,
        large=interval(value[1], theirs),
        gain=interval(value[0] - value[1], ours - theirs) if affordable else None,
        beyond=budget > float(small.cost.mean(axis=0).max()),
    )


def exchange(small: Curve, large: Curve, larger: float, ratio: float, *, seed: int = 0) -> Comparison:
    """Pretraining counted in: the small model's inference may cost `inference_factor` times its greedy inference Y, where
    M * Y is what the larger model's inference was measured to cost (canonical FLOPs).

    Raises:
        ValueError: as `inference_factor`.
    """
    return compare(small, large, inference_factor(larger, ratio) / larger, seed=seed)


def match(small: Curve, large: Curve, *, seed: int = 0) -> Match:
    """The least cost at which the small model's settings, or a mixture of two, reach what the larger one has."""
    problems = len(small.accuracy)
    whole = np.full((1, problems), 1 / problems)
    cost, theirs = (float(part[0]) for part in _least(small, large, whole))
    accuracy = float(large.accuracy.mean())
    if not np.isfinite(cost):
        return Match(accuracy, theirs, None, None)
    parts = [_least(small, large, shares) for shares in resamples(problems, seed=seed)]
    costs, larges = (np.concatenate([part[number] for part in parts]) for number in (0, 1))
    ratio = interval(theirs / cost, larges / costs)
    low = ratio.low if ratio.low else None
    return Match(accuracy, theirs, cost, Interval(ratio.value, low, ratio.high))


def by_group(groups: Sequence[str]) -> dict[str, np.ndarray]:
    """The places of the problems of each level or bin, the groups in order, numbers as numbers."""
    names = sorted(set(groups), key=lambda name: (len(name), name))
    return {name: np.array([place for place, one in enumerate(groups) if one == name]) for name in names}


def _at(small: Curve, large: Curve, times: float, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    accuracy, cost = large.means(shares)
    return most_accuracy(*small.means(shares), times * cost[:, 0]), accuracy[:, 0]


def _least(small: Curve, large: Curve, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    accuracy, cost = large.means(shares)
    return least_cost(*small.means(shares), accuracy[:, 0]), cost[:, 0]
