"""Chosen on one half of the problems, confirmed on the other."""

from __future__ import annotations

import numpy as np
import pytest

from models.choices import best_within, cheapest_reaching, halves
from models.decisions import reach_decision, spend_decision
from models.errors import UserError
from models.statistics import wilson
from tests.unit.models.test_frontier import aligned, shares


def test_halves_share_nothing_and_leave_nothing_out() -> None:
    first, other = halves(11, seed=0)
    assert (len(first), len(other)) == (5, 6)
    assert sorted([*first, *other]) == list(range(11))
    assert (halves(11, seed=0)[0] == first).all()
    assert any((halves(11, seed=seed)[0] != first).any() for seed in range(1, 4))


def test_the_cheapest_that_reaches_it() -> None:
    jobs = aligned(shares(40, 75, 80, 78), [1, 3, 2, 4], 500)
    choice = cheapest_reaching(jobs, 0.6)
    first, other = halves(100, seed=0)
    assert choice.place == 2
    right = jobs.right[first, 2]
    assert choice.on.accuracy == (pytest.approx(right.mean()), *wilson(int(right.sum()), 50))
    assert choice.confirmed is not None
    assert choice.confirmed.accuracy.value == pytest.approx(jobs.right[other, 2].mean())
    assert choice.confirmed.cost.value == 2
    decision = reach_decision(jobs, choice, 0.6)
    assert decision.details["verdict"] == "confirmed"
    assert decision.details["job"]["job_id"] == 3
    assert "$2.00 (95 %: 2 to 2) a query there, $1,000.00 for all 500." in decision.answer


def test_luck_on_one_half_is_found_out_on_the_other() -> None:
    """The first job is right on nothing but the half that it is chosen on."""
    right = np.ones((200, 2))
    right[halves(200, seed=0)[1], 0] = 0
    jobs = aligned(right, [1, 2])
    choice = cheapest_reaching(jobs, 0.9)
    assert (choice.place, choice.on.accuracy.value) == (0, 1.0)
    decision = reach_decision(jobs, choice, 0.9)
    assert decision.details["verdict"] == "refuted"
    assert "0.0 % (95 %: 0.0 to 3.7) on the other (refuted: its interval lies below)" in decision.answer


def test_nothing_reaches_it() -> None:
    jobs = aligned(shares(40, 75), [1, 2])
    choice = cheapest_reaching(jobs, 0.99)
    assert (choice.place, choice.nearest, choice.confirmed) == (None, 1, None)
    decision = reach_decision(jobs, choice, 0.99)
    assert decision.details["verdict"] == "not reached"
    assert decision.answer.startswith("Not reached: the most is job 2 ")


def test_the_best_for_an_amount_over_the_whole_dataset() -> None:
    jobs = aligned(shares(40, 75, 80), [0.01, 0.02, 0.04], 1000)
    for amount, place in ((45.0, 2), (39.0, 1), (20.0, 1), (10.0, 0)):
        assert best_within(jobs, amount).place == place
    decision = spend_decision(jobs, best_within(jobs, 39.0), 39.0)
    assert decision.details["verdict"] == "confirmed"
    assert "it would take $20.00 for all, which fits." in decision.answer
    too_little = best_within(jobs, 5.0)
    assert too_little.place is None
    assert (
        "the cheapest is job 1 (majority_vote 0 on tiny), which would take $10.00."
        in spend_decision(jobs, too_little, 5.0).answer
    )


def test_an_amount_that_fits_one_half_alone() -> None:
    _, other = halves(100, seed=0)
    cost = np.full((100, 1), 1.0)
    cost[other] = 3.0
    jobs = aligned(shares(50), cost)
    decision = spend_decision(jobs, best_within(jobs, 100.0), 100.0)
    assert decision.details["verdict"] == "refuted"
    assert "$300.00 for all, which is more than $100.00" in decision.answer


def test_one_problem_cannot_be_halved() -> None:
    with pytest.raises(UserError, match="cannot be halved"):
        cheapest_reaching(aligned([[1]], [1]), 0.5)
