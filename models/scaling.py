"""An inference scaling law fitted to one way of spending at several budgets: accuracy = a - b * C^-alpha."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.efficiency import Curve
from models.resampling import Interval, interval, resampled_means

FEWEST = 4
"""Settings of different cost: three numbers are fitted."""

LEAST, MOST = 0.01, 10.0
"""The exponents that are tried. At the least the curve is a straight line in log C, at the most a single step."""

COARSE, FINE, ROUNDS = 61, 11, 3
"""Exponents of the first grid, evenly spaced in their logarithm, of each finer one about the best, and how many of these."""

EDGE = 1.02
"""An exponent within this factor of the least or the most is not bounded by the data."""


FLAT = 1e-6
"""A rise of accuracy that is none."""


@dataclass(frozen=True, slots=True)
class Law:
    """accuracy(C) = a - b * (C / cheapest)^-alpha, C a query's mean cost between `cheapest` and `dearest`.

    `a` is the accuracy that it tends to, at most 1; `b` what is gained beyond the cheapest setting's; with C itself in the
    place of C / cheapest, b is b * cheapest^alpha. Intervals are 95 %, of a bootstrap over problems. `residual` is the root
    mean square of what the law leaves over.
    """

    a: Interval
    b: Interval
    alpha: Interval
    cheapest: float
    dearest: float
    residual: float

    def at(self, cost: float) -> float:
        """The law's accuracy at a mean cost.

        Raises:
            ValueError: it lies outside of what was measured; nothing is extrapolated.
        """
        if not self.cheapest <= cost <= self.dearest:
            raise ValueError("outside of what was measured")
        return self.a.value - self.b.value * float((cost / self.cheapest) ** -self.alpha.value)


@dataclass(frozen=True, slots=True)
class Fall:
    """Over-optimisation: more compute brought fewer right answers. `change` is negative with all of its interval, which
    holds for all pairs of settings at once. `cheaper` and `dearer` are settings."""

    cheaper: int
    dearer: int
    change: Interval


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no law: `over-optimisation`, `too few points`, `flat` or `unbounded`, and the sentence that says so."""

    kind: str
    sentence: str
    fall: Fall | None = None


def fit_law(curve: Curve, *, seed: int = 0) -> Law | Refusal:
    """The law of the settings of one curve, or why it is refused: the curve falls, or the data do not carry it.

    Least squares over the settings' means, equally weighted; for each exponent of a grid a and b are the linear solution
    with a <= 1 and b >= 0, the exponent is the one that leaves least over. The form is that of power laws of loss in
    compute, as Hoffmann et al. fit them (2203.15556, section 3.3), here of accuracy in test-time compute.
    """
    cost = curve.cost.mean(axis=0)
    order = np.argsort(cost, kind="stable")
    accuracy, cost = curve.accuracy.mean(axis=0)[order], cost[order]
    different = 1 + int((np.diff(cost) > 1e-9 * cost[:-1]).sum()) if cost[0] > 0 else 0
    if different < FEWEST:
        return Refusal("too few points", f"{different} settings of different cost are too few for a law of three numbers; {FEWEST} are needed")  # fmt: skip
    drawn, spent = resampled_means(curve.accuracy[:, order], curve.cost[:, order], seed=seed)
    fall = _fall(accuracy, drawn)
    if fall is not None:
        points = -100 * fall.change.value
        return Refusal(
            "over-optimisation",
            f"over-optimisation: accuracy falls by {points:.1f} points as the cost rises, so no law is fitted",
            Fall(int(order[fall.cheaper]), int(order[fall.dearer]), fall.change),
        )
    a, b, alpha, left = _least_squares(accuracy[None], cost[None])
    drawn_a, drawn_b, drawn_alpha, _ = _least_squares(drawn, spent)
    # In units of the cheapest setting of all problems, not of each resample's own.
    drawn_b = drawn_b * (spent[:, 0] / cost[0]) ** drawn_alpha
    rise = drawn_b * (1 - (spent[:, -1] / cost[0]) ** -drawn_alpha)
    if np.quantile(rise, 0.025) <= FLAT:
        return Refusal("flat", f"on {len(curve.accuracy)} problems accuracy does not rise with the cost beyond chance")
    # Without the limit of 100 %, which bounds the exponent where the data do not.
    free = interval(alpha[0], _least_squares(drawn, spent, most=np.inf)[2])
    assert free.low is not None
    assert free.high is not None
    if free.low <= LEAST * EDGE or free.high >= MOST / EDGE:
        return Refusal(
            "unbounded",
            f"{len(curve.accuracy)} problems do not bound the exponent of a law: its 95 % interval runs from "
            f"{_end(free.low)} to {_end(free.high)}",
        )
    residual = float(np.sqrt(left[0] / len(cost)))
    return Law(
        interval(a[0], drawn_a),
        interval(b[0], drawn_b),
        interval(alpha[0], drawn_alpha),
        float(cost[0]),
        float(cost[-1]),
        residual,
    )


def _end(exponent: float) -> str:
    """As it is said of an interval that may be open."""
    if exponent <= LEAST * EDGE:
        return "the least that was tried"
    return "the most that was tried" if exponent >= MOST / EDGE else f"{exponent:.2f}"


def _fall(accuracy: np.ndarray, drawn: np.ndarray) -> Fall | None:
    """The largest fall below a cheaper setting, where chance does not explain the largest of so many: its interval is
    simultaneous over all pairs of settings (of the largest deviation from the measured change in each resample)."""
    pairs = [(cheaper, dearer) for dearer in range(len(accuracy)) for cheaper in range(dearer)]
    lowest, highest = np.full(len(drawn), np.inf), np.full(len(drawn), -np.inf)
    for cheaper, dearer in pairs:
        deviation = drawn[:, dearer] - drawn[:, cheaper] - (accuracy[dearer] - accuracy[cheaper])
        np.minimum(lowest, deviation, out=lowest)
        np.maximum(highest, deviation, out=highest)
    cheaper, dearer = min(pairs, key=lambda pair: float(accuracy[pair[1]] - accuracy[pair[0]]))
    change = float(accuracy[dearer] - accuracy[cheaper])
    ends = change - float(np.quantile(highest, 0.975)), change - float(np.quantile(lowest, 0.025))
    return Fall(cheaper, dearer, Interval(change, *ends)) if ends[1] < 0 else None


def _least_squares(
    accuracy: np.ndarray, cost: np.ndarray, *, most: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """a <= most, b, alpha and the sum of squares left over, (draws,) each, of means (draws, settings); b in units of each
    draw's first setting."""
    ratio = np.log(cost / cost[:, :1])
    logs = np.tile(np.linspace(np.log(LEAST), np.log(MOST), COARSE), (len(cost), 1))
    rows = np.arange(len(cost))
    width = logs[0, 1] - logs[0, 0]
    for _ in range(ROUNDS + 1):
        a, b, left = _linear(accuracy, np.exp(-np.exp(logs)[:, :, None] * ratio[:, None, :]), most)
        best = left.argmin(axis=1)
        found = (a[rows, best], b[rows, best], np.exp(logs[rows, best]), left[rows, best])
        finer = logs[rows, best][:, None] + width * np.linspace(-1, 1, FINE)
        logs = np.clip(finer, np.log(LEAST), np.log(MOST))
        width = 2 * width / (FINE - 1)
    return found


def _linear(accuracy: np.ndarray, basis: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best a <= most and b >= 0 of accuracy = a - b * basis, and what is left over: (draws, exponents) each, of
    accuracies (draws, settings) and bases (draws, exponents, settings)."""
    wanted = accuracy[:, None, :]
    mean_y, mean_x = wanted.mean(axis=2), basis.mean(axis=2)
    across = ((basis - mean_x[:, :, None]) * (wanted - mean_y[:, :, None])).sum(axis=2)
    spread = ((basis - mean_x[:, :, None]) ** 2).sum(axis=2)
    b = np.maximum(-across / spread, 0.0)
    a = mean_y + b * mean_x
    held = a > most
    if held.any():
        through_most = np.maximum(((most - wanted) * basis).sum(axis=2) / (basis**2).sum(axis=2), 0.0)
        a, b = np.where(held, most, a), np.where(held, through_most, b)
    left = ((wanted - a[:, :, None] + b[:, :, None] * basis) ** 2).sum(axis=2)
    return a, b, left
