"""Policies followed on recorded problems, against the scheduler's own functions, query by query."""

from __future__ import annotations

import heapq
from functools import cache

import numpy as np
import pytest

from scheduler.allocation import VOTES, best_grant, is_judged
from scheduler.calibration import fit
from scheduler.outcomes import Recorded
from scheduler.policy import Arm, Logistic, Policy, Rung
from scheduler.rehearsal import climb, ladder, rehearse, walk
from scheduler.replay import draw_orders
from scheduler.rows import Rows, rows_of
from strategies.evidence import FEATURES, Evidence, evidence_of
from tests.unit.scheduler.simulated import World
from tests.unit.scheduler.test_replay import candidates

PROBE = (1, 2, 4)
ARMS = (
    Arm(strategy="beam_search", samples=12),
    Arm(strategy="majority_vote", samples=4),
    Arm(strategy="majority_vote", samples=8),
    Arm(strategy="weighted_vote", samples=4),
    Arm(strategy="weighted_vote", samples=8),
    Arm(strategy="best_of_n", samples=8),
    Arm(strategy="adaptive_consistency", samples=8),
)
NAMES = ("tiny", "a"), ("tiny-prm", "b")
WORLD = World(samples=17, unread=0.4, search=0.3)


@cache
def policy() -> Policy:
    rows = rows_of(WORLD.problems(60, seed=1), ARMS, PROBE, orders=8, seed=0)
    return fit(rows, ARMS, *NAMES, budgets=[1, 2, 4, 8, 16, 32])


@cache
def problems() -> tuple[list[Recorded], Rows, list[np.ndarray]]:
    """New problems, each in one order."""
    recorded = WORLD.problems(40, seed=2)
    rows = rows_of(recorded, ARMS, PROBE, orders=1, seed=5)
    orders = [draw_orders(17, 1, np.random.default_rng([5, number]))[0] for number in range(40)]
    return recorded, rows, orders


def evidence(number: int, drawn: int, *, scored: bool) -> Evidence:
    recorded, _, orders = problems()
    return evidence_of(candidates(recorded[number], orders[number][:drawn], scored=scored))


def cost(number: int, drawn: int, *, scored: bool) -> float:
    recorded, _, orders = problems()
    one, inside = recorded[number], orders[number][:drawn]
    return float(one.drawing[inside].sum() + (one.scoring[inside].sum() if scored else 0.0))


@pytest.mark.parametrize("budget", [1, 2, 4, 8, 16, 32])
def test_a_query_is_probed_binned_and_answered_as_the_scheduler_does(budget: int) -> None:
    recorded, rows, _ = problems()
    plan = policy()
    found = rehearse(plan, rows, budget)
    for number, one in enumerate(recorded):
        for drawn in ladder(PROBE, budget):
            failure = plan.failure(evidence(number, drawn, scored=False))
            if plan.bin(failure) == 0:
                break
        arm = plan.arm(plan.bin(failure), budget)
        if arm is None:
            right, spent = rows.right[False][number, rows.at(drawn)], cost(number, drawn, scored=False)
        else:
            place = plan.arms.index(arm)
            right = rows.arm_right[number, place]
            taken = 8 if arm.strategy != "adaptive_consistency" else None
            if arm.strategy == "beam_search":
                spent = cost(number, drawn, scored=False) + one.searches[0].flops - one.prefill
            elif taken is None:
                spent = float(rows.arm_flops[number, place])
            else:
                spent = cost(number, arm.samples, scored=is_judged(arm))
        assert found.right[number] == right
        assert found.flops[number] == pytest.approx(one.prefill + spent)


def test_the_table_uses_what_it_was_given() -> None:
    used = {policy().arms[number].strategy for row in policy().table.values() for number in row if number is not None}
    assert {"beam_search", "weighted_vote"} <= used


def test_a_probe_never_costs_more_than_the_mean_budget() -> None:
    assert [ladder(PROBE, budget) for budget in (0.5, 1, 2, 3, 4, 99)] == [
        (1,), (1,), (1, 2), (1, 2), (1, 2, 4), (1, 2, 4)
    ]  # fmt: skip


def test_whoever_looks_easy_is_probed_no_further() -> None:
    probed = climb(policy(), problems()[1], 32)
    easy = probed.failure < policy().thresholds[0]
    assert 0 < easy.sum() < len(easy)
    assert (probed.stop[~easy] == 2).all()
    assert (probed.stop[easy] < 2).any()


class Served:
    """A query of a job whose budget is shared out, moved on by real evidence and real grants."""

    def __init__(self, number: int) -> None:
        self.number, self.drawn, self.scored, self.searched, self.last = number, 1, False, False, -1
        self.right = bool(problems()[1].right[False][number, 0])
        self.spent = cost(number, 1, scored=False)

    def grant(self) -> tuple[int, float] | None:
        if self.searched:
            return None
        found = best_grant(policy(), evidence(self.number, self.drawn, scored=self.scored))
        return None if found is None or found.arm == self.last else (found.arm, found.value)

    def serve(self, number: int) -> None:
        recorded, rows, _ = problems()
        arm = policy().arms[number]
        self.right, self.last = bool(rows.arm_right[self.number, number]), number
        if arm.strategy in VOTES:
            self.drawn, self.scored = arm.samples, is_judged(arm)
            self.spent = cost(self.number, self.drawn, scored=self.scored)
        else:
            self.searched = True
            self.spent += recorded[self.number].searches[number].flops - recorded[self.number].prefill


@pytest.mark.parametrize("grants", [0, 1, 5, 20, 60, 10_000])
def test_a_job_is_served_as_the_dispatcher_does(grants: int) -> None:
    """The grant with the most value of all queries first, one after the other, as many as there are; then the outcome of
    each query is that of the walk down to the last value that was served."""
    recorded, rows, _ = problems()
    queries = [Served(number) for number in range(40)]
    waiting = [(-found[1], number, found[0]) for number, query in enumerate(queries) if (found := query.grant())]
    heapq.heapify(waiting)
    served, lowest, strategies = 0, np.inf, set()
    while waiting and (served < grants or -waiting[0][0] >= lowest):
        value, number, arm = heapq.heappop(waiting)
        lowest, served = min(lowest, -value), served + 1
        strategies.add(policy().arms[arm].strategy)
        queries[number].serve(arm)
        found = queries[number].grant()
        if found is not None:
            heapq.heappush(waiting, (-found[1], number, found[0]))
    if grants == 10_000:
        assert strategies == {"majority_vote", "weighted_vote", "beam_search"}
    # A hair lower, since the real code adds up in another order.
    outcome = walk(policy(), rows).until(np.array([lowest * (1 - 1e-9)]))
    assert outcome.right[:, 0].tolist() == [query.right for query in queries]
    spent = [one.prefill + query.spent for one, query in zip(recorded, queries, strict=True)]
    assert outcome.flops[:, 0] == pytest.approx(spent)


def test_what_cannot_be_read_is_not_scored_for_ever() -> None:
    """Nothing counts as scored where no answer could be read, so the arm looks as good as before."""
    mute = World(easy=0.0, hard=1.0, unread=1.0, samples=17).problems(3)
    arms = [Arm(strategy="weighted_vote", samples=4), Arm(strategy="weighted_vote", samples=8)]
    low, high = (Logistic(weights=(0.0,) * len(FEATURES), intercept=value) for value in (-1.0, 1.0))
    rungs = [Rung(drawn=drawn, scored=False, fails=low, right=low, arms={0: high}) for drawn in (1, 4)]
    plan = policy().model_copy(update={"arms": tuple(arms), "rungs": tuple(rungs)})
    found = walk(plan, rows_of(mute, arms, PROBE, orders=1, seed=0))
    assert np.isfinite(found.value[:, 1]).all()
    assert found.outcome.flops[:, 1] == pytest.approx([one.prefill + 4 * one.drawing.mean() for one in mute], rel=0.3)
    assert not np.isfinite(found.value[:, 2:]).any()


def test_rows_of_some_problems_are_theirs() -> None:
    _, rows, _ = problems()
    part = rows.of(np.array([7, 3]))
    assert part.problems == 2
    assert part.unit.tolist() == rows.unit[[7, 3]].tolist()
    assert part.features[True][1].tolist() == rows.features[True][3].tolist()
    many = rows_of(WORLD.problems(4), ARMS, PROBE, orders=3, seed=0)
    assert many.of(np.array([2])).arm_flops.tolist() == many.arm_flops[6:9].tolist()
    assert many.by_problem(many.length)[2].tolist() == pytest.approx(many.length[6:9].mean(axis=0).tolist())


def test_features_may_be_withheld_or_mixed_up() -> None:
    rows = rows_of(WORLD.problems(9), ARMS, PROBE, orders=3, seed=0)
    alone = rows.telling({"prompt"}).features[False]
    assert (alone[..., 7] == rows.features[False][..., 7]).all()
    assert not np.delete(alone, 7, axis=-1).any()
    mixed = rows.shuffled(0)
    moved = [row for row in range(9) if (mixed.features[False][3 * row] != rows.features[False][3 * row]).any()]
    assert len(moved) > 5
    assert (mixed.arm_right == rows.arm_right).all()
    assert np.sort(mixed.features[True].ravel()).tolist() == np.sort(rows.features[True].ravel()).tolist()


def test_an_arm_without_outcomes_is_refused() -> None:
    with pytest.raises(ValueError, match="an arm needs more"):
        rows_of(WORLD.problems(2), [Arm(strategy="majority_vote", samples=18)], PROBE, orders=2, seed=0)
    with pytest.raises(ValueError, match="cannot be replayed, and was not run"):
        rows_of(WORLD.problems(2), [*ARMS, Arm(strategy="dvts", samples=8)], PROBE, orders=2, seed=0)
