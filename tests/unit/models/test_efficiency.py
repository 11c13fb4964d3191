"""Efficiency factors worked by hand, and what holds for any curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.efficiency import Curve, efficiency_factor, least_cost


def flat(*points: tuple[float, float], problems: int = 3) -> Curve:
    """All problems alike: (accuracy, cost) of each setting."""
    rows = np.array([points] * problems)
    return Curve(rows[:, :, 0], rows[:, :, 1])


def cost_at(target: float, *points: tuple[float, float]) -> float:
    accuracy, cost = np.array([points])[:, :, 0], np.array([points])[:, :, 1]
    return float(least_cost(accuracy, cost, np.array([target]))[0])


@pytest.mark.parametrize(
    ("target", "points", "cost"),
    [
        (0.5, [(0.4, 1), (0.5, 2), (0.6, 4)], 2.0),
        (0.55, [(0.4, 1), (0.5, 2), (0.6, 4)], 3.0),  # half of the problems each
        (0.5, [(0.4, 1), (0.42, 2), (0.6, 3)], 2.0),  # the middle setting lies below the envelope
        (0.3, [(0.4, 1), (0.6, 3)], 1.0),  # nothing is cheaper than the cheapest
        (0.6, [(0.4, 1), (0.6, 3)], 3.0),
        (0.61, [(0.4, 1), (0.6, 3)], np.inf),
        (0.5, [(0.4, 5), (0.6, 3)], 3.0),  # what is dearer and worse is no help
        (0.5, [(0.6, 4), (0.2, 1), (0.5, 8)], 3.25),  # in any order; a falling curve
    ],
)
def test_the_least_cost_of_an_accuracy(target: float, points: list[tuple[float, float]], cost: float) -> None:
    assert cost_at(target, *points) == pytest.approx(cost)


@given(
    some.lists(some.tuples(some.integers(0, 100), some.integers(1, 1000)), min_size=1, max_size=9),
    some.integers(0, 100),
)
def test_no_mixture_of_three_is_cheaper(points: list[tuple[int, int]], target: int) -> None:
    """The least cost is a linear programme's: against every mixture of three settings on a grid."""
    found = cost_at(float(target), *((float(accuracy), float(cost)) for accuracy, cost in points))
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(len(points), 0.3), size=300)
    accuracy, cost = (shares @ np.array(column, dtype=float) for column in zip(*points, strict=True))
    assert (cost[accuracy >= target] >= found - 1e-9).all()
    assert np.isfinite(found) == (max(accuracy for accuracy, _ in points) >= target)


def test_the_factor_by_hand() -> None:
    base = flat((0.4, 1), (0.5, 2), (0.6, 4))
    ours = flat((0.4, 1), (0.6, 2))
    half = efficiency_factor(base, ours, 0.5)
    assert (half.accuracy, half.base, half.ours) == pytest.approx((0.5, 2.0, 1.5))
    assert half.factor == pytest.approx(4 / 3)
    assert (half.low, half.high) == pytest.approx((4 / 3, 4 / 3))  # the problems are all alike
    most = efficiency_factor(base, ours, 0.9)  # .58: 2 + .08 / .05 against 1 + .18 / .2
    assert most.factor == pytest.approx(3.6 / 1.9)
    assert str(most) == "1.89 (1.89 to 1.89)"


def test_powers_of_two_alone_would_flatter() -> None:
    """A baseline at every N is cheaper in between."""
    every = flat((0.4, 1), (0.5, 2), (0.58, 3), (0.6, 4))
    powers = flat((0.4, 1), (0.5, 2), (0.6, 4))
    assert efficiency_factor(powers, every, 0.9).factor == pytest.approx(3.6 / 3)


def test_nothing_is_extrapolated() -> None:
    base, ours = flat((0.4, 1), (0.6, 4)), flat((0.4, 1), (0.49, 2))
    found = efficiency_factor(base, ours, 0.5)
    assert (found.ours, found.factor, found.low, found.high) == (None, None, None, None)
    assert found.base == pytest.approx(2.5)
    assert str(found) == "not reached"


def test_a_baseline_that_never_gets_there_is_a_bound() -> None:
    reference, base, ours = flat((0.4, 1), (0.6, 9)), flat((0.4, 1), (0.45, 6)), flat((0.4, 1), (0.6, 3))
    found = efficiency_factor(base, ours, 0.5, reference=reference)
    assert (found.base, found.ours, found.at_least) == (None, pytest.approx(2.0), True)
    assert found.factor == pytest.approx(3.0)
    assert str(found).startswith("at least 3.00")


def noisy(seed: int, gains: list[float], costs: list[float], problems: int = 200) -> Curve:
    skill = np.random.default_rng(0).beta(0.8, 0.8, size=(problems, 1))
    gained = np.array(gains) * np.random.default_rng(seed).normal(4, 2, size=(problems, 1)) * skill * (1 - skill)
    accuracy = np.clip(skill + gained, 0, 1)
    return Curve(accuracy, np.array(costs) * (1.5 - skill))


def test_a_curve_is_as_efficient_as_itself_in_every_resample() -> None:
    curve = noisy(0, [0.0, 0.1, 0.2, 0.22], [1, 2, 4, 8])
    found = efficiency_factor(curve, curve, 0.8, draws=250)
    assert (found.factor, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))


def test_the_interval_resamples_target_and_both_curves() -> None:
    base = noisy(0, [0.0, 0.1, 0.2, 0.25], [1, 2, 4, 8])
    ours = noisy(7, [0.02, 0.1, 0.2, 0.25], [0.9, 1.3, 2.5, 5])
    found = efficiency_factor(base, ours, 0.8, draws=500, seed=1)
    assert found.low is not None
    assert found.high is not None
    assert found.factor is not None
    assert found.low < found.factor < found.high
    assert found == efficiency_factor(base, ours, 0.8, draws=500, seed=1)
    # By hand, resample by resample, with a plain bootstrap of rows.
    rng = np.random.default_rng(3)
    factors = []
    for _ in range(500):
        rows = rng.integers(200, size=200)
        parts = [Curve(one.accuracy[rows], one.cost[rows]) for one in (base, ours)]
        factors.append(efficiency_factor(*parts, 0.8, draws=1).factor)
    assert np.quantile(factors, [0.025, 0.975]) == pytest.approx([found.low, found.high], rel=0.04)


def test_what_is_sometimes_not_reached_has_no_lower_end() -> None:
    rng = np.random.default_rng(0)
    base = flat((0.4, 1), (0.6, 4), problems=50)
    accuracy = np.stack([np.full(50, 0.4), (rng.random(50) < 0.62).astype(float)], axis=1)
    found = efficiency_factor(base, Curve(accuracy, base.cost), 0.9, draws=200)
    assert found.low is None
    assert found.factor is None or "not reached to" in str(found)


def test_curves_of_other_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="same problems"):
        efficiency_factor(flat((0.4, 1)), flat((0.4, 1), problems=2), 0.5)
    with pytest.raises(ValueError, match="every problem under every setting"):
        Curve(np.zeros((3, 2)), np.zeros((3, 1)))
