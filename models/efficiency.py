"""How much less compute one way to spend it needs than another for the same accuracy. Needs the extra `calibrate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.resampling import resamples
from models.statistics import DRAWS


@dataclass(frozen=True, slots=True)
class Curve:
    """What some settings of one strategy brought on the same problems: two arrays (problems, settings), the accuracy of
    each in [0, 1] and its cost in any unit."""

    accuracy: np.ndarray
    cost: np.ndarray

    def __post_init__(self) -> None:
        if self.accuracy.ndim != 2 or self.accuracy.shape != self.cost.shape or not self.accuracy.size:
            raise ValueError("a curve needs an accuracy and a cost of every problem under every setting")

    def means(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean accuracy and cost (draws, settings), each problem counted as often as `shares` (draws, problems) says."""
        return shares @ self.accuracy, shares @ self.cost


@dataclass(frozen=True, slots=True)
class Efficiency:
    """E_q: what the baseline costs at `accuracy`, divided by what ours costs there, with its 95 % interval. `q` is None
    where the accuracy itself was asked for.

    A cost is None where that accuracy is not reached, and so is `factor` where it is ours; `low` is where ours did not
    reach it in one of forty resamples. Where the baseline does not reach it, `at_least` is set: it was given its
    dearest setting, and the true factor is larger.
    """

    q: float | None
    accuracy: float
    base: float | None
    ours: float | None
    factor: float | None
    low: float | None
    high: float | None
    at_least: bool = False

    def __str__(self) -> str:
        if self.factor is None:
            return "not reached"
        low = "not reached" if self.low is None else f"{self.low:.2f}"
        return f"{'at least ' * self.at_least}{self.factor:.2f} ({low} to {self.high:.2f})"


def efficiency_factor(
    base: Curve, ours: Curve, q: float, *, reference: Curve | None = None, draws: int = DRAWS, seed: int = 0
) -> Efficiency:
    """E_q = C_base(a_q) / C_ours(a_q), a_q = A(1) + q * (max A - A(1)).

    C is the least mean cost of an accuracy on the upper concave envelope of a curve's means, linear in cost: mixing two
    settings achieves it. Nothing is extrapolated. A is the curve `reference`, the baseline's own unless given, whose
    first setting is a single sample. The interval is of a bootstrap over problems, each resampled with all of its
    values, a_q and both costs computed anew.

    Raises:
        ValueError: the curves are not of the same problems.
    """
    reference = reference or base
    if len(base.accuracy) != len(reference.accuracy):
        raise ValueError("curves can be compared on the same problems only")

    def target(shares: np.ndarray) -> np.ndarray:
        known, _ = reference.means(shares)
        asked: np.ndarray = known[:, 0] + q * (known.max(axis=1) - known[:, 0])
        return asked

    return _efficiency(base, ours, q, target, draws, seed)


def efficiency_at(base: Curve, ours: Curve, accuracy: float, *, draws: int = DRAWS, seed: int = 0) -> Efficiency:
    """C_base(accuracy) / C_ours(accuracy): as `efficiency_factor`, for an accuracy in [0, 1] that is the same in every
    resample.

    Raises:
        ValueError: the curves are not of the same problems.
    """
    return _efficiency(base, ours, None, lambda shares: np.full(len(shares), accuracy), draws, seed)


def _efficiency(
    base: Curve, ours: Curve, q: float | None, target: Callable[[np.ndarray], np.ndarray], draws: int, seed: int
) -> Efficiency:
    problems = len(base.accuracy)
    if problems != len(ours.accuracy):
        raise ValueError("curves can be compared on the same problems only")
    whole = np.full((1, problems), 1 / problems)
    asked = target(whole)
    base_cost, our_cost, bound = _costs(base, ours, asked, whole)
    factors = [_factor(*_costs(base, ours, target(shares), shares)) for shares in resamples(problems, draws, seed)]
    low, high = np.quantile(np.concatenate(factors), [0.025, 0.975])
    reached = bool(np.isfinite(our_cost[0]))
    return Efficiency(
        q=q,
        accuracy=float(asked[0]),
        base=float(base_cost[0]) if np.isfinite(base_cost[0]) else None,
        ours=float(our_cost[0]) if reached else None,
        factor=float(_factor(base_cost, our_cost, bound)[0]) if reached else None,
        low=float(low) if reached and low > 0 else None,
        high=float(high) if reached else None,
        at_least=reached and not np.isfinite(base_cost[0]),
    )


def least_cost(accuracy: np.ndarray, cost: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least cost at which one setting, or a mixture of two, reaches the target: (draws,), infinite where none does.

    `accuracy` and `cost` are (draws, settings), `target` (draws,). It is the inverse of the upper concave envelope.
    """
    target = target[:, None]
    reaches = accuracy >= target
    alone = np.where(reaches, cost, np.inf).min(axis=1)
    # Every setting below the target, mixed with every one that reaches it.
    below, above = accuracy[:, :, None], accuracy[:, None, :]
    pairs = ~reaches[:, :, None] & reaches[:, None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (target[:, :, None] - below) / (above - below)
        mixed = (1 - share) * cost[:, :, None] + share * cost[:, None, :]
    least: np.ndarray = np.minimum(alone, np.where(pairs, mixed, np.inf).min(axis=(1, 2)))
    return least


def most_accuracy(accuracy: np.ndarray, cost: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """The most accuracy that one setting, or a mixture of two, brings for no more than the budget: (draws,), -infinity
    where the budget affords none. Above the dearest setting's cost it stays what the best setting brings.

    `accuracy` and `cost` are (draws, settings), `budget` (draws,). It is the upper concave envelope.
    """
    budget = budget[:, None]
    fits = cost <= budget
    alone = np.where(fits, accuracy, -np.inf).max(axis=1)
    # Every setting that is affordable, mixed with every one that is not.
    cheap, dear = cost[:, :, None], cost[:, None, :]
    pairs = fits[:, :, None] & ~fits[:, None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (budget[:, :, None] - cheap) / (dear - cheap)
        mixed = (1 - share) * accuracy[:, :, None] + share * accuracy[:, None, :]
    most: np.ndarray = np.maximum(alone, np.where(pairs, mixed, -np.inf).max(axis=(1, 2)))
    return most


def _costs(
    base: Curve, ours: Curve, target: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the accuracies `target` (draws,) cost the baseline and ours, and the baseline's dearest setting: (draws,) each."""
    base_accuracy, base_cost = base.means(shares)
    least = least_cost(base_accuracy, base_cost, target)
    return least, least_cost(*ours.means(shares), target), base_cost.max(axis=1)


def _factor(base: np.ndarray, ours: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """0 where ours does not reach the target; where the baseline alone does not, its dearest setting is the bound."""
    factor: np.ndarray = np.where(np.isfinite(base), base, bound) / ours
    return factor
