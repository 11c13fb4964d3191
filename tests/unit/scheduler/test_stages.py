"""What is decided between stages: probe on, an arm, a grant, or enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy import Connection

from models.specification import JobSpecification
from scheduler import stages
from scheduler.allocation import Grant
from scheduler.decisions import Decision, read, written
from scheduler.planning import Plan, Settled, Waiting
from scheduler.policy import Arm, Policy, seed_policy
from scheduler.stages import StagedPlanner
from strategies.evidence import Evidence
from tests.builders import specification
from tests.stages import calibrated, policy, seen

NOWHERE = cast(Connection, None)
"""Nothing is read of a database to decide on evidence."""


class Told:
    def __init__(self, failure: float) -> None:
        self.failure = failure

    def failures(self, connection: Connection, problem_ids: Sequence[int]) -> Mapping[int, float]:
        return dict.fromkeys(problem_ids, self.failure)


def job(chosen: Policy, budget: int = 8, allocation: str = "policy") -> JobSpecification:
    plan = chosen.model_dump(mode="json")
    return specification(strategy="compute_optimal", budget_amount=budget, allocation=allocation, plan=plan)


def decide(
    evidence: Evidence | None, chosen: Policy | None = None, *, stage: int = 1, before: Sequence[Decision] = (), **options: Any
) -> Plan | Settled:  # fmt: skip
    planner = StagedPlanner(job(chosen or policy(), **options), None)
    (made,) = planner.decide(NOWHERE, [Waiting(1, 1, stage, evidence, tuple(before))])
    return made


def plan_of(made: Plan | Settled) -> tuple[str, float, int, bool]:
    assert isinstance(made, Plan), made
    return made.strategy, made.budget.amount, made.sequences, made.final


# --- the probe --------------------------------------------------------------------------------------------------------


def test_a_query_is_probed_with_the_greedy_sample_first() -> None:
    made = decide(None, stage=0)
    assert plan_of(made) == ("majority_vote", 1.0, 1, False)
    assert isinstance(made, Plan)
    assert (made.parameters, made.gain, made.confidence) == ({"greedy_first": True}, 1.0, None)
    assert made.decision == Decision(0, "probe", 0, 1)


@pytest.mark.parametrize(
    ("evidence", "samples", "new"),
    [(seen(1), 2, 1), (seen(0, unread=1), 2, 1), (seen(1, 1), 4, 2), (seen(2), None, 0)],
)
def test_the_probe_goes_on_until_its_query_looks_easy(evidence: Evidence, samples: int | None, new: int) -> None:
    made = decide(evidence)
    if samples is None:
        assert isinstance(made, Settled)
        assert made.decision.reason == "settled"
    else:
        assert plan_of(made) == ("majority_vote", float(samples), new, False)


def test_a_probe_is_no_larger_than_the_budget() -> None:
    assert plan_of(decide(seen(1), budget=3))[1] == 2.0
    made = decide(seen(1, 1), budget=3)
    assert isinstance(made, Settled), "the arm of a budget of 2 adds nothing to two samples"
    assert plan_of(decide(None, policy(probe=(2, 4)), budget=1, stage=0))[1] == 2.0, "but has one rung in any case"


# --- the arms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evidence", "wanted"),
    [
        (seen(3, 1), ("majority_vote", 8.0, 4, True)),
        (seen(1, 1, drawn=4), ("weighted_vote", 8.0, 4, True)),
        (seen(0, drawn=9, unread=9), ("beam_search", 1.0, 1, True)),
        (seen(0, drawn=6, unread=6), ("beam_search", 2.0, 2, True)),
    ],
)
def test_the_bin_has_its_arm_and_the_probe_is_a_part_of_it(evidence: Evidence, wanted: tuple[Any, ...]) -> None:
    """A vote counts the samples that are there among its own; a search gets what they have left."""
    made = decide(evidence, policy(thresholds=(0.3, 0.6, 0.86)))
    assert plan_of(made) == wanted
    assert isinstance(made, Plan)
    assert made.decision is not None
    assert (made.decision.reason, made.decision.drawn) == ("chosen", evidence.drawn)
    assert made.decision.failure == pytest.approx(1 - (evidence.leading + 1) / (evidence.drawn + 2))


def test_an_arm_that_would_do_nothing_more_is_settled() -> None:
    chosen = policy(table={8: (None, 3, 3, 3)})
    assert isinstance(decide(seen(2, 2), chosen), Settled)
    scoring = policy(arms=(Arm(strategy="weighted_vote", samples=4),), table={8: (None, 0, 0, 0)})
    assert plan_of(decide(seen(2, 2), scoring)) == ("weighted_vote", 4.0, 1, True), "it has not been scored"
    assert isinstance(decide(seen(2, 2, score=0.5), scoring), Settled)


def test_the_seeds_table() -> None:
    with_verifier = seed_policy(("g", "g"), ("v", "v"), 8, steps=True)
    assert isinstance(decide(seen(4), with_verifier), Settled)
    assert plan_of(decide(seen(3, 1), with_verifier)) == ("weighted_vote", 8.0, 4, True)
    assert plan_of(decide(seen(1, 1, drawn=4), with_verifier)) == ("beam_search", 4.0, 4, True)
    assert (
        plan_of(decide(seen(1, 1, drawn=4), seed_policy(("g", "g"), ("v", "v"), 8, steps=False)))[0] == "weighted_vote"
    )
    without = seed_policy(("g", "g"), None, 8, steps=True)
    for evidence in (seen(4), seen(3, 1), seen(1, 1, drawn=4)):
        assert plan_of(decide(evidence, without)) == ("adaptive_consistency", 8.0, 4, True)


def test_a_uniform_budget_goes_to_every_query() -> None:
    chosen = policy(table={8: (None, 3, 1, 2)})
    assert plan_of(decide(seen(2), chosen, allocation="uniform")) == ("majority_vote", 8.0, 6, True)
    assert plan_of(decide(seen(3, 1), chosen, allocation="uniform")) == ("majority_vote", 8.0, 4, True)
    assert plan_of(decide(seen(1, 1, drawn=4), chosen, allocation="uniform", budget=16)) == (
        "weighted_vote",
        16.0,
        12,
        True,
    )


@pytest.mark.parametrize(
    ("failure", "wanted"),
    [
        (0.1, ("majority_vote", 1.0, 1, True)),
        (0.5, ("majority_vote", 8.0, 8, True)),
        (0.9, ("beam_search", 8.0, 8, True)),
    ],
)
def test_a_query_whose_difficulty_is_known_has_one_stage(failure: float, wanted: tuple[Any, ...]) -> None:
    (made,) = StagedPlanner(job(policy()), Told(failure)).decide(NOWHERE, [Waiting(1, 1)])
    assert plan_of(made) == wanted
    assert made.row()["difficulty"] == failure


# --- what is foretold -------------------------------------------------------------------------------------------------


def test_confidence_is_of_the_answer_that_will_stand() -> None:
    chosen = calibrated({0: 0.8, 1: 0.875}, right=0.625).model_copy(update={"thresholds": (0.3, 0.6, 0.85)})
    probing, last = decide(seen(1), chosen), decide(seen(3, 1), chosen)
    assert (probing.confidence, last.confidence) == (pytest.approx(0.625), pytest.approx(0.8))
    easy = chosen.model_copy(update={"thresholds": (0.6, 0.7, 0.8)})
    settled = decide(seen(1), easy)
    assert isinstance(settled, Settled)
    assert settled.confidence == pytest.approx(0.625)
    assert decide(seen(4)).confidence is None, "nothing was calibrated"


# --- grants -----------------------------------------------------------------------------------------------------------


def granting(monkeypatch: pytest.MonkeyPatch, *grants: Grant | None) -> None:
    """What the queries are worth, one after the other."""
    left = list(grants)
    monkeypatch.setattr(stages, "best_grant", lambda policy, evidence: left.pop(0))


def test_a_grant_is_planned_with_what_it_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    granting(monkeypatch, Grant(1, 0.25, 5.0, 0.05), Grant(2, 0.25, 5.0, 0.05), Grant(1, 0.5, 0.25, 2.0), None)
    chosen = calibrated({1: 0.75, 2: 0.75})
    votes, searches, cheap, none = (decide(seen(3, 1), chosen, allocation="adaptive") for _ in range(4))
    assert plan_of(votes) == ("weighted_vote", 8.0, 4, False), "a vote may be followed by more"
    assert isinstance(votes, Plan)
    assert votes.decision is not None
    assert (votes.gain, votes.decision.gain, votes.decision.arm, votes.decision.reason) == (0.05, 0.25, 1, "granted")
    assert plan_of(searches) == ("beam_search", 4.0, 4, True)
    assert isinstance(cheap, Plan)
    assert cheap.gain == 1.0, "nothing is worth more than a query that has not been probed"
    assert isinstance(none, Settled)


def test_what_nothing_can_be_foretold_of_is_probed_further(monkeypatch: pytest.MonkeyPatch) -> None:
    granting(monkeypatch, Grant(1, 0.25, 5.0, 0.05))
    chosen = calibrated({1: 0.75}, drawn=2)
    assert plan_of(decide(seen(1), chosen, allocation="adaptive")) == ("majority_vote", 2.0, 1, False)
    assert plan_of(decide(seen(2), chosen, allocation="adaptive"))[0] == "weighted_vote"


def test_no_arm_is_granted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much more a table promises of them: two arms of one size would take turns for ever."""
    chosen = calibrated({1: 0.75})
    had = [Decision(1, "granted", 4, 8, arm=1)]
    granting(monkeypatch, *[Grant(1, 0.25, 5.0, 0.05)] * 3)
    assert isinstance(decide(seen(3, 1), chosen, stage=2, before=had, allocation="adaptive"), Settled)
    withdrawn = [Decision(1, "budget", 4, 8, arm=1)]
    assert isinstance(decide(seen(3, 1), chosen, before=withdrawn, allocation="adaptive"), Plan), "it never had it"
    assert isinstance(decide(seen(3, 1), chosen, stage=1, before=had, allocation="adaptive"), Plan)


# --- the record of it -------------------------------------------------------------------------------------------------


def test_there_is_one_decision_for_each_stage() -> None:
    first, second = Decision(0, "probe", 0, 1), Decision(1, "chosen", 1, 8, 0.4, 1, 0)
    stored = written([first], second)
    assert read(stored) == (first, second)
    again = replace(second, reason="budget")
    assert read(written(read(stored), again)) == (first, again)
    assert read(None) == ()


def test_what_is_withdrawn_keeps_what_it_would_have_been() -> None:
    planner = StagedPlanner(job(policy()), None)
    planned = [Decision(0, "probe", 0, 1), Decision(1, "chosen", 4, 8, 0.4, 1, 0)]
    decided, undecided = planner.withdraw(
        [Waiting(1, 1, 1, seen(3, 1), tuple(planned)), Waiting(2, 2, 1, seen(3, 1), tuple(planned[:1]))], "budget"
    )
    assert decided.decision == Decision(1, "budget", 4, 8, 0.4, 1, 0)
    assert undecided.decision == Decision(1, "budget", 4, None, pytest.approx(1 / 3), 1)  # type: ignore[arg-type]
    assert [one.row()["stopped"] for one in (decided, undecided)] == ["budget", "budget"]


@given(some.data(), some.sampled_from([1, 2, 3, 8, 16]), some.sampled_from(["policy", "uniform"]))
def test_every_course_ends_and_takes_no_more_than_it_may(data: some.DataObject, budget: int, allocation: str) -> None:
    """Whatever the samples say: stages draw forward, the last is final or settles, and no more is drawn than `most`."""
    rows = some.tuples(*[some.sampled_from([None, 0, 1, 2, 3])] * 4)
    planner = StagedPlanner(job(policy(table={1: data.draw(rows), 8: data.draw(rows)}), budget, allocation), None)
    evidence: Evidence | None = None
    taken = 0
    for stage in range(6):
        (made,) = planner.decide(NOWHERE, [Waiting(1, 1, stage, evidence)])
        if isinstance(made, Settled):
            assert stage > 0
            break
        is_vote = made.strategy in ("majority_vote", "weighted_vote")
        new = int(made.budget.amount) - (taken if is_vote else 0)
        assert made.sequences == max(new, 1)
        assert new >= 0
        taken += new
        if made.final:
            break
        assert new > 0
        leading = data.draw(some.integers(0, taken))
        evidence = seen(leading, unread=taken - leading)
    else:
        pytest.fail("it goes on for ever")
    assert taken <= planner.most
