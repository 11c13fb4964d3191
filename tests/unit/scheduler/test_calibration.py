"""Calibration of a simulated world: it pays where there is something to be told, and gains nothing where there is not."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from models.efficiency import Curve, Efficiency, efficiency_factor
from scheduler.calibration import calibrate, calibration_cost, fit
from scheduler.outcomes import Recorded
from scheduler.policy import Arm, Policy
from scheduler.replay import curve_of
from scheduler.rows import Rows, rows_of
from scheduler.validation import Followed, cross_validate, follow, ratio_interval
from tests.unit.scheduler.simulated import World

PROBE = (1, 2, 4)
NAMES = ("tiny", "a"), ("tiny-prm", "b")
BUDGETS = [1, 2, 3, 4, 6, 8, 12, 16, 32]
ARMS = [
    Arm(strategy="beam_search", samples=12),
    *(Arm(strategy=name, samples=n) for name in ("majority_vote", "weighted_vote") for n in (2, 4, 8, 16)),
]
HALF = 16


@cache
def calibrated() -> tuple[Policy, dict[str, Any]]:
    return calibrate(World().problems(200, seed=1), ARMS, *NAMES, BUDGETS, orders=16)


@cache
def held_out() -> list[Recorded]:
    return World().problems(300, seed=2)


@cache
def uniform(strategy: str, greedy_first: bool) -> Curve:
    found = curve_of(held_out(), strategy, HALF, greedy_first=greedy_first, orders=50)
    return Curve(found["accuracy"], found["flops"])


@cache
def followed() -> Followed:
    return follow(calibrated()[0], rows_of(held_out(), ARMS, PROBE, orders=30, seed=3))


def against(base: Curve, ours: Curve, q: float = 0.8) -> Efficiency:
    return efficiency_factor(base, ours, q, reference=uniform("weighted_vote", False), draws=300)


def test_evidence_decides_where_compute_goes_on_new_problems() -> None:
    """Forty per cent of the problems are easy and thirty hopeless: whoever sees that saves most of the compute."""
    shared = against(uniform("weighted_vote", False), followed().adaptive)
    assert shared.low is not None
    assert shared.low > 1.4
    single = against(uniform("weighted_vote", True), followed().policy)
    assert single.factor is not None
    assert single.factor > 1.1


def test_cross_validation_promises_what_new_problems_bring() -> None:
    policy, evidence = calibrated()
    assert sorted(evidence["budgets"]) == sorted(str(budget) for budget in policy.table)
    for place, budget in enumerate(policy.table):
        promised = evidence["budgets"][str(budget)]
        brought = followed().policy.accuracy[:, place].mean()
        # Of 200 problems against 300: two standard errors of a difference are about .09.
        assert promised["accuracy"] == pytest.approx(brought, abs=0.09)
        assert promised["low"] < promised["accuracy"] < promised["high"]
        assert promised["flops"] == pytest.approx(followed().policy.cost[:, place].mean(), rel=0.15)


def test_shuffled_evidence_gains_nothing() -> None:
    """The features of another problem at each, in calibration and after it: no better than one vote for all."""
    rows = rows_of(World().problems(200, seed=1), ARMS[1:], PROBE, orders=16, seed=0).shuffled(1)
    policy = fit(rows, ARMS[1:], *NAMES, budgets=BUDGETS)
    found = follow(policy, rows_of(held_out(), ARMS[1:], PROBE, orders=30, seed=3).shuffled(2))
    for ours in (found.policy, found.adaptive):
        factor = against(uniform("weighted_vote", True), ours, 0.5)
        assert factor.low is None or factor.low < 1
        assert factor.factor is None or factor.factor < 1.05


def test_the_evidence_is_json_and_says_what_it_rests_on() -> None:
    policy, evidence = calibrated()
    json.dumps(evidence, allow_nan=False)
    assert (evidence["problems"], evidence["samples"], evidence["folds"]) == (200, 33, 5)
    assert evidence["cost"] == pytest.approx(calibration_cost(World().problems(200, seed=1)))
    saved = evidence["efficiency"]["adaptive"]["0.8"]
    paid_back = evidence["cost"]["flops"] / (saved["base"] - saved["ours"])
    assert evidence["break_even"]["adaptive"] == pytest.approx(paid_back)
    for budget, row in policy.table.items():
        bins = evidence["budgets"][str(budget)]["bins"]
        assert [one["arm"] for one in bins] == list(row)
        assert sum(one["share"] for one in bins) == pytest.approx(1)
    assert evidence["uniform"]["strategy"] == "weighted_vote"
    assert len(evidence["uniform"]["curve"]) == HALF


def test_what_is_foretold_comes_true() -> None:
    for name in ("fails", "right"):
        for rung in ("1", "2", "4"):
            assert calibrated()[1]["reliability"][name][rung]["ece"] < 0.06
    # Four samples tell more than one.
    brier = {rung: calibrated()[1]["reliability"]["fails"][rung]["brier"] for rung in ("1", "4")}
    assert brier["4"] < brier["1"]


def test_calibrating_again_gives_the_same() -> None:
    small = World(samples=17).problems(40)
    arms = [Arm(strategy="majority_vote", samples=8)]
    first, second = (calibrate(small, arms, *NAMES, [4, 8], orders=4) for _ in range(2))
    assert first == second
    assert Policy(**json.loads(first[0].model_dump_json())) == first[0]


def test_without_a_verifier_nothing_is_scored() -> None:
    unjudged = [
        replace(one, score=np.full(17, np.nan), scoring=np.zeros(17), scoring_seconds=np.zeros(17), searches={})
        for one in World(samples=17).problems(60)
    ]
    arms = [Arm(strategy="majority_vote", samples=n) for n in (2, 4, 8)]
    arms.append(Arm(strategy="adaptive_consistency", samples=8))
    policy, evidence = calibrate(unjudged, arms, ("tiny", "a"), None, [1, 2, 4, 8], orders=8)
    assert policy.verifier is None
    assert not any(rung.scored for rung in policy.rungs)
    assert all(weight == 0 for rung in policy.rungs for weight in rung.fails.weights[8:])
    assert evidence["uniform"]["strategy"] == "majority_vote"
    with pytest.raises(ValueError, match="there is no verifier"):
        calibrate(unjudged, ARMS, ("tiny", "a"), None, [1, 2], orders=2)


def test_problems_of_the_same_text_share_a_fold_and_no_fold_sees_its_own() -> None:
    recorded = [replace(one, text=f"twin {number // 2}") for number, one in enumerate(World(samples=9).problems(30))]
    arms = [Arm(strategy="majority_vote", samples=4)]
    rows, seen = rows_of(recorded, arms, PROBE, orders=2, seed=0), []

    def fitted(some: Rows) -> Policy:
        seen.append(set(some.unit.tolist()))
        return fit(some, arms, *NAMES, budgets=[2, 4])

    validated = cross_validate(recorded, rows, fitted, 5, seed=0)
    left_out = [problems.tolist() for _, problems in validated.folds]
    assert sorted(number for problems in left_out for number in problems) == list(range(30))
    for problems, units in zip(left_out, seen, strict=True):
        assert {number // 2 for number in problems}.isdisjoint(
            {number // 2 for number in set(range(30)) - set(problems)}
        )
        assert units == {rows.unit[number] for number in set(range(30)) - set(problems)}
    # The outcomes are in the order of the problems: one prefill is the least that each costs.
    greedy = [one.prefill + one.drawing[0] for one in recorded]
    assert (validated.followed.adaptive.cost[:, 0] >= np.array(greedy) - 1).all()
    assert validated.followed.policy.cost.shape == (30, 2)


def test_an_interval_of_a_ratio() -> None:
    rng = np.random.default_rng(0)
    hits = (rng.random(400) < 0.3).astype(float)
    accuracy, low, high = ratio_interval(hits, np.ones(400))
    assert accuracy == hits.mean()
    assert high - low == pytest.approx(2 * 1.96 * (0.3 * 0.7 / 400) ** 0.5, rel=0.15)
    assert ratio_interval(np.zeros(3), np.zeros(3)) == (0.0, 0.0, 0.0)
