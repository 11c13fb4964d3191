"""Test-time compute for model size: the formula, and both sides at equal cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.decisions import comparison_decision, match_decision
from models.efficiency import Curve, efficiency_at, least_cost, most_accuracy
from models.exchange import by_group, compare, exchange, inference_factor, match


def flat(*points: tuple[float, float], problems: int = 4) -> Curve:
    rows = np.array([points] * problems)
    return Curve(rows[:, :, 0], rows[:, :, 1])


def drawn(*points: tuple[float, float], problems: int = 400, seed: int = 0) -> Curve:
    rng = np.random.default_rng(seed)
    accuracy, cost = np.array(points).T
    return Curve((rng.random((problems, len(points))) < accuracy).astype(float), np.tile(cost, (problems, 1)))


@pytest.mark.parametrize(
    ("larger", "ratio", "factor"),
    [(14, 0.16, 14 + 3 / 0.16 * 13), (14, 0.79, 14 + 3 / 0.79 * 13), (14, 22, 14 + 3 / 22 * 13), (1, 1, 1)],
)
def test_the_formula(larger: float, ratio: float, factor: float) -> None:
    assert inference_factor(larger, ratio) == pytest.approx(factor)


@given(some.floats(1, 100), some.floats(1e-3, 1e3), some.floats(1e6, 1e12), some.floats(1e6, 1e12))
def test_both_sides_take_the_same_flops(larger: float, ratio: float, parameters: float, pretrained: float) -> None:
    inferred = ratio * pretrained
    x, y = 6 * parameters * pretrained, 2 * parameters * inferred
    assert x + inference_factor(larger, ratio) * y == pytest.approx(larger * (x + y))


def test_without_pretraining_it_is_the_size() -> None:
    assert inference_factor(14, 1e12) == pytest.approx(14)


@pytest.mark.parametrize(("larger", "ratio"), [(0.5, 1), (2, 0), (2, -1)])
def test_impossible_exchanges_are_refused(larger: float, ratio: float) -> None:
    with pytest.raises(ValueError, match="must"):
        inference_factor(larger, ratio)


@pytest.mark.parametrize(
    ("budget", "accuracy"),
    [(0.5, -np.inf), (1, 0.4), (2, 0.5), (3, 0.6), (100, 0.6)],
)
def test_the_most_accuracy_of_a_budget(budget: float, accuracy: float) -> None:
    found = most_accuracy(np.array([[0.4, 0.42, 0.6, 0.55]]), np.array([[1.0, 2, 3, 8]]), np.array([budget]))
    assert found == pytest.approx(accuracy)


@given(
    some.lists(some.tuples(some.integers(0, 100), some.integers(1, 1000)), min_size=1, max_size=8),
    some.integers(0, 1000),
)
def test_it_is_the_inverse_of_the_least_cost(points: list[tuple[int, int]], budget: int) -> None:
    accuracy, cost = (np.array([column], dtype=float) for column in zip(*points, strict=True))
    most = most_accuracy(accuracy, cost, np.array([float(budget)]))
    if np.isfinite(most[0]):
        assert least_cost(accuracy, cost, most)[0] <= budget * (1 + 1e-9)
    else:
        assert budget < cost.min()


def test_at_equal_cost_by_hand() -> None:
    small, large = flat((0.4, 1), (0.6, 5)), flat((0.55, 3))
    found = compare(small, large)
    assert (found.budget, found.beyond) == (3, False)
    assert found.small is not None
    assert found.gain is not None
    assert (found.small.value, found.gain.value) == (pytest.approx(0.5), pytest.approx(-0.05))
    assert found.verdict == "large"
    assert compare(flat((0.4, 1), (0.6, 2)), large).verdict == "small"
    assert compare(flat((0.4, 1), (0.6, 2)), large).beyond
    assert compare(flat((0.4, 1), (0.55, 2)), large).verdict == "undecided"


def test_a_budget_that_pays_for_nothing() -> None:
    found = compare(flat((0.9, 4)), flat((0.5, 3)))
    assert (found.small, found.gain, found.verdict) == (None, None, "large")
    decision = comparison_decision("tiny", "tiny-large", found, "usd")
    assert decision.answer == "tiny-large: its $3.00 a query do not pay for the cheapest setting of tiny."


def test_pretraining_moves_the_budget() -> None:
    small, large = drawn((0.4, 1), (0.6, 10), (0.75, 100)), drawn((0.6, 10), seed=1)
    rich, poor = exchange(small, large, 10, 0.16), exchange(small, large, 10, 1000)
    # M + 3 / R (M - 1) times Y = 10 / M.
    assert rich.budget == pytest.approx(10 + 3 / 0.16 * 9)
    assert poor.budget == pytest.approx(10, rel=0.01)
    assert (rich.verdict, rich.beyond) == ("small", True)
    assert poor.verdict == "undecided"
    said = comparison_decision("tiny", "tiny-large", rich, "flops", ratio=0.16, group="level 1")
    assert said.question == (
        "At equal FLOPs with pretraining, R = 0.16, what is better on level 1: tiny with more test-time compute, or tiny-large?"
    )
    assert said.answer.startswith("test-time compute with tiny: ")
    assert (said.details["verdict"], said.details["group"]) == ("small", "level 1")


def test_the_interval_of_the_difference_is_paired() -> None:
    """The same answers differ by nothing, however few there are."""
    one = drawn((0.5, 2), problems=20)
    found = compare(one, one)
    assert found.gain == (0, 0, 0)
    assert found.large.low is not None
    assert found.large.low < found.large.value


def test_what_the_larger_ones_accuracy_costs() -> None:
    found = match(flat((0.4, 1), (0.6, 3)), flat((0.5, 8)))
    assert (found.cost, found.large) == (pytest.approx(2), 8)
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(4)
    assert (
        "tiny is cheaper; the larger costs 4.00 times as much" in match_decision("tiny", "large", found, "usd").answer
    )
    beyond = match(flat((0.4, 1)), flat((0.5, 8)))
    assert (beyond.cost, beyond.ratio) == (None, None)
    assert match_decision("tiny", "large", beyond, "usd").answer.startswith("Not reached")


def test_what_is_sometimes_not_reached_has_no_lower_end() -> None:
    found = match(drawn((0.4, 1), (0.52, 2), problems=60), drawn((0.5, 8), problems=60, seed=3))
    assert found.ratio is None or found.ratio.low is None


def test_the_factor_at_an_accuracy_by_hand() -> None:
    base, ours = flat((0.4, 1), (0.6, 5)), flat((0.4, 1), (0.6, 2))
    found = efficiency_at(base, ours, 0.5)
    assert (found.q, found.accuracy, found.base, found.ours) == (None, 0.5, pytest.approx(3), pytest.approx(1.5))
    assert found.factor == pytest.approx(2)
    assert efficiency_at(base, ours, 0.61).factor is None
    bound = efficiency_at(flat((0.4, 1), (0.5, 4)), ours, 0.6)
    assert (bound.at_least, bound.base, bound.factor) == (True, None, pytest.approx(2))
    with pytest.raises(ValueError, match="same problems"):
        efficiency_at(base, flat((0.4, 1), problems=2), 0.5)


def test_groups_are_in_order() -> None:
    groups = by_group(["level 10", "level 2", "none", "level 2"])
    assert {name: places.tolist() for name, places in groups.items()} == {
        "none": [2],
        "level 2": [1, 3],
        "level 10": [0],
    }
