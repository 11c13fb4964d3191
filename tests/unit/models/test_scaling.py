"""Scaling laws: a known one is found again, and what carries none is refused."""

from __future__ import annotations

import numpy as np
import pytest

from models.decisions import law_decision
from models.efficiency import Curve
from models.scaling import Law, Refusal, fit_law

COSTS = 2.0 ** np.arange(7)


def law(cost: np.ndarray, a: float, b: float, alpha: float) -> np.ndarray:
    found: np.ndarray = a - b * cost**-alpha
    return found


def simulated(accuracy: np.ndarray, problems: int, seed: int, cost: np.ndarray = COSTS) -> Curve:
    """Problems that are harder or easier for all settings alike, half of the time."""
    rng = np.random.default_rng(seed)
    shape = (problems, len(accuracy))
    hardness = np.where(rng.random(shape) < 0.5, rng.random((problems, 1)), rng.random(shape))
    return Curve((hardness < accuracy).astype(float), np.tile(cost, (problems, 1)) * 3e8)


def fitted(curve: Curve) -> Law:
    found = fit_law(curve)
    assert isinstance(found, Law), found
    return found


def refused(curve: Curve) -> Refusal:
    found = fit_law(curve)
    assert isinstance(found, Refusal), found
    return found


def test_means_on_a_law_give_that_law() -> None:
    accuracy = np.tile(law(COSTS, 0.8, 0.4, 0.5), (4, 1))
    found = fitted(Curve(accuracy, np.tile(COSTS * 1e9, (4, 1))))
    assert (found.a.value, found.b.value, found.alpha.value) == pytest.approx((0.8, 0.4, 0.5), abs=1e-3)
    assert (found.cheapest, found.dearest) == (1e9, 64e9)
    assert found.residual < 1e-4
    assert found.at(4e9) == pytest.approx(0.6, abs=1e-3)
    for outside in (0.9e9, 65e9):
        with pytest.raises(ValueError, match="outside of what was measured"):
            found.at(outside)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("a", "b", "alpha"), [(0.7, 0.3, 0.6), (0.9, 0.5, 0.35)])
def test_a_known_law_lies_within_the_intervals(seed: int, a: float, b: float, alpha: float) -> None:
    found = fitted(simulated(law(COSTS, a, b, alpha), 3000, seed))
    for one, true in ((found.a, a), (found.b, b), (found.alpha, alpha)):
        assert one.low is not None
        assert one.high is not None
        assert one.low <= true <= one.high
        assert one.low < one.value < one.high


def test_the_order_of_the_settings_does_not_matter() -> None:
    curve = simulated(law(COSTS, 0.7, 0.3, 0.6), 500, 0)
    turned = [3, 0, 6, 2, 5, 1, 4]
    assert fit_law(Curve(curve.accuracy[:, turned], curve.cost[:, turned])) == fit_law(curve)


def test_a_falling_curve_is_named() -> None:
    found = refused(simulated(np.array([0.4, 0.55, 0.6, 0.6, 0.55, 0.48, 0.4]), 1000, 0))
    assert found.kind == "over-optimisation"
    assert found.fall is not None
    assert (found.fall.cheaper, found.fall.dearer) in ((2, 6), (3, 6))
    assert found.fall.change.value == pytest.approx(-0.2, abs=0.05)
    assert found.fall.change.is_negative
    answer = law_decision("best_of_n on tiny", found, "flops", [f"N = {2**n}" for n in range(7)]).answer
    assert answer.startswith("No law: over-optimisation: accuracy falls by ")
    assert "to N = 64, 95 %: -" in answer


def test_a_dip_that_chance_explains_is_no_fall() -> None:
    accuracy = law(COSTS, 0.7, 0.3, 0.6)
    accuracy[5] -= 0.004
    assert isinstance(fit_law(simulated(accuracy, 2000, 0)), Law)


@pytest.mark.parametrize(
    ("accuracy", "problems", "kind"),
    [
        ([0.5] * 7, 300, "flat"),
        # A straight line in log C tends to nothing.
        (list(np.linspace(0.2, 0.5, 7)), 100, "unbounded"),
        # One step, and all is won.
        ([0.3, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6], 300, "unbounded"),
    ],
)
def test_what_does_not_carry_a_law(accuracy: list[float], problems: int, kind: str) -> None:
    assert refused(simulated(np.array(accuracy), problems, 0)).kind == kind


@pytest.mark.parametrize("cost", [[1.0, 2, 4], [1.0, 2, 2, 2, 4], [0.0, 1, 2, 4]])
def test_too_few_costs_are_too_few_points(cost: list[float]) -> None:
    found = refused(simulated(np.linspace(0.3, 0.6, len(cost)), 50, 0, np.array(cost)))
    assert found.kind == "too few points"
