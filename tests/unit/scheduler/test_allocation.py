"""Sharing a budget out: the best grant of a query, and the greedy over a job against every other way to spend it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as some

from scheduler.allocation import Grant, allocate, best_grant
from scheduler.policy import Arm, Logistic, Policy, Rung
from strategies.evidence import FEATURES, Evidence

FLAT = (0.0,) * len(FEATURES)


def constant(probability: float) -> Logistic:
    return Logistic(weights=FLAT, intercept=math.log(probability / (1 - probability)))


def policy(rungs: Sequence[Rung], scoring: float = 0.5) -> Policy:
    return Policy(
        generator="tiny",
        generator_identity="a",
        verifier="tiny-prm",
        verifier_identity="b",
        arms=(
            Arm(strategy="majority_vote", samples=2),
            Arm(strategy="majority_vote", samples=4),
            Arm(strategy="weighted_vote", samples=4),
            Arm(strategy="beam_search", samples=8),
        ),
        costs=(2.0, 4.0, 6.0, 10.0),
        scoring=scoring,
        table={4: (None, 1, 1, 1)},
        rungs=tuple(rungs),
    )


def evidence(drawn: int, *, scored: bool = False) -> Evidence:
    return Evidence(
        drawn=drawn, leading=1, second=0, unread=0, logprob=-0.1, weakest=-0.2, elsewhere=None, generated=10 * drawn,
        prompt=20, score=0.5 if scored else None, score_share=1.0 if scored else None,
    )  # fmt: skip


def rung(drawn: int, right: float, arms: dict[int, float], *, scored: bool = False) -> Rung:
    models = {number: constant(chance) for number, chance in arms.items()}
    return Rung(drawn=drawn, scored=scored, fails=constant(0.5), right=constant(right), arms=models)


def granted(found: Grant | None) -> tuple[int, float, float]:
    assert found is not None
    assert found.value == pytest.approx(found.gain / found.cost)
    return found.arm, found.gain, found.cost


def test_two_more_votes_may_gain_what_one_does_not() -> None:
    plan = policy([rung(1, 0.5, {0: 0.5, 1: 0.8, 2: 0.85})])
    # Four votes: .3 for 3 samples; weighted: .35 for 3 + 4 * .5. A sample has ten tokens.
    assert granted(best_grant(plan, evidence(1))) == pytest.approx((1, 0.3, 30))


def test_a_weighted_vote_pays_for_scoring_what_is_drawn() -> None:
    plan = policy([rung(4, 0.5, {2: 0.7}), rung(4, 0.5, {3: 0.7}, scored=True)])
    assert granted(best_grant(plan, evidence(4))) == pytest.approx((2, 0.2, 20))


def test_what_is_scored_is_not_paid_again() -> None:
    plan = policy([rung(1, 0.5, {2: 0.7}), rung(1, 0.5, {2: 0.7}, scored=True)])
    assert granted(best_grant(plan, evidence(1))) == pytest.approx((2, 0.2, (3 + 4 * 0.5) * 10))
    assert granted(best_grant(plan, evidence(1, scored=True))) == pytest.approx((2, 0.2, (3 + 3 * 0.5) * 10))


def test_a_search_is_paid_in_full() -> None:
    plan = policy([rung(4, 0.5, {3: 0.9, 2: 0.6})])
    # .1 for 2 generations' worth of scoring, .4 for 10.
    assert granted(best_grant(plan, evidence(4))) == pytest.approx((2, 0.1, 20))
    dear = policy([rung(4, 0.5, {3: 0.9, 2: 0.6})], scoring=2.0)
    assert granted(best_grant(dear, evidence(4))) == pytest.approx((3, 0.4, 100))


def test_what_ends_a_query_promises_more_than_every_vote_that_is_open() -> None:
    cheap = {"costs": (2.0, 4.0, 6.0, 1.0)}
    for most, arm in ((0.85, 2), (0.75, 3)):
        plan = policy([rung(4, 0.5, {2: most, 3: 0.8})]).model_copy(update=cheap)
        found = best_grant(plan, evidence(4))
        assert found is not None
        assert found.arm == arm, "the search gains more per cost, and is the last that happens"


def test_a_verifier_without_a_model_costs_one_token() -> None:
    plan = policy([rung(4, 0.5, {2: 0.7}), rung(4, 0.5, {2: 0.9}, scored=True)], scoring=0.0)
    assert granted(best_grant(plan, evidence(4))) == pytest.approx((2, 0.2, 1))
    assert best_grant(plan, evidence(4, scored=True)) is None  # and is asked once


def test_nothing_is_granted_where_nothing_is_gained() -> None:
    assert best_grant(policy([rung(1, 0.7, {0: 0.7, 1: 0.6})]), evidence(1)) is None
    assert best_grant(policy([]), evidence(1)) is None
    assert best_grant(policy([rung(4, 0.5, {1: 0.9})]), evidence(1)) is None  # no rung was reached


def test_an_arm_that_is_behind_is_no_option() -> None:
    """The last rung that was reached may lie before what is drawn."""
    plan = policy([rung(2, 0.5, {0: 0.9, 1: 0.6})])
    assert granted(best_grant(plan, evidence(3)))[0] == 1
    assert best_grant(plan, evidence(5)) is None


def value(curves: Sequence[Sequence[float]], chosen: Sequence[int]) -> float:
    return sum(curve[option] for curve, option in zip(curves, chosen, strict=True))


def best_of_all(curves: Sequence[Sequence[float]], costs: Sequence[Sequence[float]], budget: float) -> float:
    every = itertools.product(*(range(len(curve)) for curve in curves))
    return max(value(curves, chosen) for chosen in every if value(costs, chosen) <= budget)


def job(queries: list[list[tuple[int, int]]]) -> tuple[list[list[float]], list[list[float]]]:
    """(value, extra cost) of each further option; costs rise, values may do anything."""
    curves = [[50.0, *(float(gain) for gain, _ in options)] for options in queries]
    costs = [[float(sum(cost for _, cost in options[:end])) for end in range(len(options) + 1)] for options in queries]
    return curves, costs


QUERIES = some.lists(
    some.lists(some.tuples(some.integers(0, 100), some.integers(0, 9)), min_size=1, max_size=4), min_size=1, max_size=4
)


def hull_budgets(curves: Sequence[Sequence[float]], costs: Sequence[Sequence[float]]) -> list[float]:
    """The budgets at which the optimum lies on the job's concave envelope: no mixture of two others is above it."""
    ends = sorted({value(costs, chosen) for chosen in itertools.product(*(range(len(curve)) for curve in curves))})
    points = [(budget, best_of_all(curves, costs, budget)) for budget in ends]

    def above(budget: float, best: float) -> bool:
        return any(
            left[1] + (right[1] - left[1]) * (budget - left[0]) / (right[0] - left[0]) >= best
            for left in points
            for right in points
            if left[0] < budget < right[0]
        ) or any(other >= best for cost, other in points if cost < budget)

    return [budget for budget, best in points if not above(budget, best)]


@given(QUERIES)
def test_the_greedy_is_the_optimum_at_every_hull_point(queries: list[list[tuple[int, int]]]) -> None:
    curves, costs = job(queries)
    for budget in hull_budgets(curves, costs):
        assert value(curves, allocate(curves, costs, budget)) == best_of_all(curves, costs, budget)


@given(QUERIES, some.integers(0, 60))
def test_the_budget_is_never_exceeded_and_nothing_is_lost(queries: list[list[tuple[int, int]]], budget: int) -> None:
    curves, costs = job(queries)
    chosen = allocate(curves, costs, budget)
    assert value(costs, chosen) <= budget
    assert all(curve[option] >= curve[0] for curve, option in zip(curves, chosen, strict=True))
    # Between two hull points no more is missing than one step brings.
    steps = max((max(curve) - curve[0] for curve in curves), default=0.0)
    assert value(curves, chosen) >= best_of_all(curves, costs, budget) - steps


def test_a_curve_that_rises_late_is_granted_whole_or_not_at_all() -> None:
    """One more vote gains nothing, two gain much; a falling curve is never climbed."""
    curves, costs = [[0.5, 0.5, 0.9], [0.5, 0.6, 0.65], [0.5, 0.4, 0.3]], [[0.0, 1.0, 2.0]] * 3
    assert allocate(curves, costs, 1) == [0, 1, 0]
    assert allocate(curves, costs, 2) == [2, 0, 0]
    assert allocate(curves, costs, 3) == [2, 1, 0]
    assert allocate(curves, costs, 100) == [2, 2, 0]


def test_what_does_not_fit_leaves_the_rest_to_others() -> None:
    assert allocate([[0.5, 0.9], [0.5, 0.6]], [[0.0, 3.0], [0.0, 1.0]], 2) == [0, 1]
    assert allocate([[0.5, 0.9]], [[0.0, 3.0]], -1) == [0]


def test_options_without_a_price_are_refused() -> None:
    with pytest.raises(ValueError, match="must cost nothing"):
        allocate([[0.5, 0.6]], [[1.0, 2.0]], 3)
