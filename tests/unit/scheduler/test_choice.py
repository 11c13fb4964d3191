"""Which arm each bin gets: within the budget, and the cheapest of those that cannot be told apart."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from scheduler import choice
from scheduler.calibration import fit
from scheduler.outcomes import Recorded, Searched
from scheduler.policy import Arm, Policy
from scheduler.rehearsal import bins_of, climb, rehearse
from scheduler.rows import Rows, rows_of
from tests.unit.scheduler.simulated import World

PROBE = (1, 2, 4)
NAMES = ("tiny", "a"), ("tiny-prm", "b")
BUDGETS = [1, 2, 4, 6, 8, 12, 16, 24, 32, 64]
VOTES = [Arm(strategy=name, samples=n) for name in ("majority_vote", "weighted_vote") for n in (4, 8, 16)]


def plan(recorded: list[Recorded], arms: list[Arm], **options: object) -> tuple[Policy, Rows]:
    rows = rows_of(recorded, arms, PROBE, orders=8, seed=0)
    return fit(rows, arms, *NAMES, budgets=BUDGETS, **options), rows  # type: ignore[arg-type]


@cache
def world() -> tuple[Policy, Rows]:
    return plan(World(samples=17).problems(150), [Arm(strategy="beam_search", samples=12), *VOTES])


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_mean_budget_holds_the_probe_its_samples_their_scoring_and_the_searches(budget: int) -> None:
    policy, rows = world()
    spent = float((rehearse(policy, rows, budget).flops - np.repeat(rows.prefill, rows.orders)).mean())
    row = policy.table[budget]
    assert spent <= budget * rows.unit.mean() * (1 + 1e-9) or set(row) == {None}
    assert budget < 6 or set(row) != {None}


def test_more_budget_answers_no_less() -> None:
    policy, rows = world()
    accuracy = [float(rehearse(policy, rows, budget).right.mean()) for budget in BUDGETS]
    # Two budgets may share an arm; a longer probe costs what it may not bring.
    assert all(after >= before - 0.02 for before, after in pairwise(accuracy))
    assert accuracy[-1] > accuracy[0] + 0.1


def test_what_cannot_be_told_apart_is_had_for_the_least() -> None:
    """Where all samples are right, or all are wrong, no budget is large enough to buy more."""
    settled = World(easy=0.5, hard=0.5, samples=17).problems(60)
    sure = [
        replace(one, right=np.full(17, one.right.mean() > 0.5), answer_class=np.zeros(17, dtype=int)) for one in settled
    ]
    policy, _ = plan(sure, VOTES)
    assert {number for row in policy.table.values() for number in row} == {None}


def test_the_dearer_search_must_be_better_by_more_than_one_paired_standard_error() -> None:
    """Two searches on 100 hard problems; the dearer wins `more` and loses two, so it is ahead by .01 with a standard error
    of .022, or by .06 with .031."""
    for more, chosen in ((3, 0), (8, 1)):
        hard = []
        for number, one in enumerate(World(easy=0.0, hard=1.0, samples=17).problems(100)):
            cheap = Searched(number < 50, one.prefill + 4 * one.unit, 0.1)
            dear = Searched(2 <= number < 50 + more, one.prefill + 20 * one.unit, 0.1)
            wrong = np.zeros(17, dtype=bool)
            hard.append(replace(one, right=wrong, searches={0: cheap, 1: dear}))
        arms = [Arm(strategy="beam_search", samples=8), Arm(strategy="beam_search", samples=24)]
        policy, _ = plan(hard, arms, thresholds=(0.1,))
        assert policy.table[64] == (None, chosen), more


@pytest.mark.parametrize(
    ("flops", "accuracy", "kept"),
    [
        ((0, 8, 12), (0.2, 0.50, 0.52), {0, 2}),  # cheaper and as good, but that may be chance
        ((0, 8, 12), (0.2, 0.60, 0.52), {0, 1}),
        ((0, 8, 17), (0.2, 0.50, 0.52), {0, 1}),  # what costs more than twice as much need not be beaten
        ((0, 8, 6), (0.2, 0.54, 0.50), {0, 2}),
        ((0, 8, 6), (0.2, 0.60, 0.50), {0, 1, 2}),
    ],
)
def test_a_search_seen_once_has_to_beat_the_votes_of_twice_its_cost(
    flops: tuple[float, ...], accuracy: tuple[float, ...], kept: set[int]
) -> None:
    """Nothing, a search, and a vote; any two differ with an error of .05."""
    once = np.array([False, True, False])
    errors = 0.05 * (1 - np.eye(3))
    bin_ = choice._Bin(1.0, [None, 0, 1], np.array(accuracy), np.array(flops, dtype=float), errors, once)
    assert set(choice._cheapest_within_error(bin_)) == kept


def test_thresholds_are_quantiles_unless_they_are_given() -> None:
    policy, rows = world()
    assert list(policy.thresholds) == sorted(set(policy.thresholds))
    bins = bins_of(policy.thresholds, climb(policy, rows, 4).failure)
    shares = np.bincount(bins, minlength=len(policy.thresholds) + 1) / len(bins)
    assert shares.max() < 2.5 / len(shares)
    given, _ = plan(World(samples=17).problems(40), VOTES, thresholds=(0.3, 0.6))
    assert given.thresholds == (0.3, 0.6)
    assert all(len(row) == 3 for row in given.table.values())


def test_costs_are_in_generations_of_a_sample() -> None:
    policy, _ = world()
    assert policy.scoring == pytest.approx(1.0, rel=0.05)
    by_name = {str(arm): cost for arm, cost in zip(policy.arms, policy.costs, strict=True)}
    assert by_name["majority_vote 8"] == pytest.approx(8, rel=0.05)
    assert by_name["weighted_vote 8"] == pytest.approx(16, rel=0.05)
    assert by_name["beam_search 12"] == pytest.approx(12, rel=0.05)


def test_no_search_behind_a_part_of_the_probe() -> None:
    """It was recorded as it runs behind the whole of it."""
    policy, _ = world()
    assert all(0 not in policy.table[budget] for budget in (1, 2))
    assert all(row[0] != 0 for row in policy.table.values())
    assert {rung.drawn for rung in policy.rungs if 0 in rung.arms} == {4}
