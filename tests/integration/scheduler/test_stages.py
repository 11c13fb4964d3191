"""Jobs that are answered in stages: what is rung when, what a stage reserves, and how such a job ends."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from models import transitions
from models.database import Database
from models.templates import load_template
from models.transitions import JOB, QUERY, UNDECIDED, Outcome
from scheduler import stages
from scheduler.allocation import Grant
from scheduler.dispatch import Dispatcher
from scheduler.doorbell import Doorbell
from scheduler.policy import Policy
from scheduler.reconcile import Reconciler
from strategies.evidence import Evidence
from strategies.protocols import Sampling
from tests.builders import (
    ManualClock,
    add_job,
    claim,
    commit,
    force,
    job_of,
    messages,
    query_of,
    states,
    usage_row,
    worker,
)
from tests.stages import add_staged_job, calibrated, come_back, policy, seen


@pytest.fixture
def dispatcher(database: Database, doorbell: Doorbell) -> Dispatcher:
    worker(database, slots=100)
    return Dispatcher(database, doorbell)


def answer(database: Database, queries: list[int], evidence: Evidence, *, stage: int = 0, **values: Any) -> None:
    """Claim and commit one stage of these queries."""
    claims = claim(database, queries, stage=stage)
    assert len(claims) == len(queries)
    come_back(database, claims, evidence, **values)


def finish(database: Database, queries: list[int], *, stage: int, **values: Any) -> None:
    for got in claim(database, queries, stage=stage):
        commit(database, Outcome(got, "done", **{"answer": "8", "stopped": "complete", **values}))


# --- the course of a query --------------------------------------------------------------------------------------------


def test_a_query_goes_from_probe_to_probe_to_its_arm(
    database: Database, dispatcher: Dispatcher, empty_redis_url: str
) -> None:  # fmt: skip
    shelf = add_staged_job(database, 1, policy())
    (query_id,) = shelf.queries
    for stage, evidence in enumerate((seen(1), seen(1, 1), seen(3, 1))):
        assert dispatcher.dispatch() == 1
        row = query_of(database, query_id)
        assert (row.strategy, row.budget_amount, row.sequences) == ("majority_vote", (1, 2, 4)[stage], (1, 1, 2)[stage])
        assert messages(empty_redis_url, probes=True)[-1] == (query_id, stage, False)
        answer(database, [query_id], evidence, stage=stage)
    assert dispatcher.dispatch() == 1
    row = query_of(database, query_id)
    assert (row.state, row.strategy, row.budget_amount, row.sequences, row.final) == (
        "queued",
        "majority_vote",
        8,
        4,
        True,
    )
    assert messages(empty_redis_url) == [(query_id, 3, False)]
    finish(database, [query_id], stage=3)
    told = [
        (one["stage"], one["reason"], one["drawn"], one["samples"]) for one in query_of(database, query_id).decisions
    ]
    assert told == [(0, "probe", 0, 1), (1, "probe", 1, 2), (2, "probe", 2, 4), (3, "chosen", 4, 8)]


def test_an_easy_query_is_settled_without_a_worker(
    database: Database, dispatcher: Dispatcher, doorbell: Doorbell, clock: ManualClock
) -> None:  # fmt: skip
    shelf = add_staged_job(database, 2, policy())
    dispatcher.dispatch()
    answer(database, shelf.queries, seen(4))
    clock.advance(10_000)  # nobody serves it any more
    assert dispatcher.dispatch() == 0
    row = query_of(database, shelf.queries[0])
    assert (row.state, row.stopped, row.answer, row.bin, row.final) == ("done", "settled", "7", 0, False)
    assert row.difficulty == pytest.approx(1 / 6)
    Reconciler(database, doorbell, sweep_seconds=1.0).sweep()
    assert job_of(database, shelf.job_id).state == "done"


def test_a_new_scheduler_goes_on_where_the_last_one_was(
    database: Database, dispatcher: Dispatcher, doorbell: Doorbell
) -> None:  # fmt: skip
    """All that counts is in the rows: nothing is planned anew that was planned, nothing is decided twice."""
    shelf = add_staged_job(database, 3, policy())
    dispatcher.dispatch()
    answer(database, shelf.queries[:1], seen(1))
    answer(database, shelf.queries[1:2], seen(4))
    before = [query_of(database, query_id) for query_id in shelf.queries]
    assert Dispatcher(database, doorbell).dispatch() == 1
    after = [query_of(database, query_id) for query_id in shelf.queries]
    assert [(row.state, row.stage) for row in after] == [("queued", 1), ("done", 1), ("queued", 0)]
    assert after[2] == before[2]
    assert Dispatcher(database, doorbell).dispatch() == 0


def test_a_stage_that_was_drained_keeps_its_plan(database: Database, dispatcher: Dispatcher) -> None:
    shelf = add_staged_job(database, 1, policy())
    dispatcher.dispatch()
    answer(database, shelf.queries, seen(1))
    dispatcher.dispatch()
    [got] = claim(database, shelf.queries, stage=1)
    commit(database, Outcome(got, "drained"))
    assert dispatcher.dispatch() == 1
    row = query_of(database, shelf.queries[0])
    assert (row.state, row.stage, row.budget_amount, len(row.decisions)) == ("queued", 1, 2.0, 2)


def test_the_window_is_filled_with_as_many_as_it_holds(database: Database, doorbell: Doorbell) -> None:
    """Probes take one sequence each and an arm four: four slots hold sixteen of the one or four of the other."""
    worker(database, slots=4)
    dispatcher = Dispatcher(database, doorbell)
    shelf = add_staged_job(database, 40, policy())
    assert [dispatcher.dispatch() for _ in range(2)] == [16, 0]
    answer(database, shelf.queries[:16], seen(3, 1))
    assert [dispatcher.dispatch() for _ in range(2)] == [4, 0]
    assert [query_of(database, query_id).sequences for query_id in shelf.queries[:5]] == [4] * 5


@pytest.mark.parametrize(
    ("difficulty", "wanted"),
    [
        ("none", [("majority_vote", 8.0, 0.5)] * 2),
        ("given", [("majority_vote", 1.0, 0.25), ("weighted_vote", 8.0, 0.75)]),
    ],
)
def test_what_is_known_beforehand_is_answered_in_one_stage(
    database: Database, dispatcher: Dispatcher, difficulty: str, wanted: list[Any], empty_redis_url: str
) -> None:  # fmt: skip
    shelf = add_staged_job(database, 2, policy(), difficulty=difficulty)
    with database.transaction() as connection:
        for level, query_id in zip(("easy", "hard"), shelf.queries, strict=True):
            problem = connection.execute(transitions.QUERY.select().where(QUERY.c.id == query_id)).one().problem_id
            connection.exec_driver_sql(f"UPDATE problem SET level = '{level}' WHERE id = {problem}")
    assert dispatcher.dispatch() == 2
    rows = [query_of(database, query_id) for query_id in shelf.queries]
    assert [(row.strategy, row.budget_amount, row.difficulty) for row in rows] == wanted
    assert all(row.final for row in rows)
    assert len(messages(empty_redis_url)) == 2


# --- what a stage reserves --------------------------------------------------------------------------------------------


def test_a_later_stage_reserves_only_what_is_still_to_be_drawn(database: Database, dispatcher: Dispatcher) -> None:
    shelf = add_staged_job(database, 1, policy(), cap_amount=100.0, cap_unit="samples")
    reserved = []
    for stage, evidence in enumerate((seen(1), seen(1, 1), seen(3, 1))):
        dispatcher.dispatch()
        reserved.append(query_of(database, shelf.queries[0]).reserved)
        answer(database, shelf.queries, evidence, stage=stage)
    dispatcher.dispatch()
    reserved.append(query_of(database, shelf.queries[0]).reserved)
    assert reserved == [1, 1, 2, 4]
    assert job_of(database, shelf.job_id).reserved == 4


def test_in_tokens_the_prompt_is_reserved_once(database: Database, dispatcher: Dispatcher) -> None:
    sampling = asdict(Sampling(max_tokens=100))
    shelf = add_staged_job(database, 2, policy(), cap_amount=1e6, cap_unit="tokens", sampling=sampling)
    prompt = load_template("plain").worst_prompt_bytes("1 + 1?")
    dispatcher.dispatch()
    assert query_of(database, shelf.queries[0]).reserved == prompt + 100
    for query_id, evidence in zip(shelf.queries, (seen(3, 1), seen(0, unread=4)), strict=True):
        answer(database, [query_id], evidence)
    dispatcher.dispatch()
    votes, weighted = (query_of(database, query_id) for query_id in shelf.queries)
    assert (votes.strategy, weighted.strategy) == ("majority_vote", "weighted_vote")
    assert votes.reserved == weighted.reserved == 4 * 100, "a verifier that is no model reads for nothing"


# --- the job's budget -------------------------------------------------------------------------------------------------


def test_what_the_pool_does_not_cover_is_settled_with_what_it_has(
    database: Database, dispatcher: Dispatcher, doorbell: Doorbell
) -> None:  # fmt: skip
    """Two queries probed with one sample each: the pool of 6 covers one arm of 4 more, and not the other."""
    shelf = add_staged_job(database, 2, policy(probe=(1,)), cap_amount=6.0, cap_unit="samples")
    dispatcher.dispatch()
    answer(database, shelf.queries, seen(0, unread=1), usage=[usage_row()])
    chosen = policy(probe=(1,))
    assert chosen.bin(chosen.failure(seen(0, unread=1))) == 2
    assert dispatcher.dispatch() == 0, "the arm wants seven more"
    rows = [query_of(database, query_id) for query_id in shelf.queries]
    assert [(row.state, row.stopped, row.answer) for row in rows] == [("done", "budget", "7")] * 2
    assert [(one["reason"], one["arm"], one["samples"]) for one in rows[0].decisions][-1] == ("budget", 1, 8)
    Reconciler(database, doorbell, sweep_seconds=1.0).sweep()
    assert job_of(database, shelf.job_id).state == "done", "every query has an answer"


def test_what_still_fits_is_served_behind_what_does_not(database: Database, dispatcher: Dispatcher) -> None:
    arms = (policy().arms[0].model_copy(update={"samples": 6}), policy().arms[0].model_copy(update={"samples": 3}))
    chosen = policy(probe=(1,), arms=arms, table={8: (None, 1, 0, 0)})
    shelf = add_staged_job(database, 2, chosen, cap_amount=4.0, cap_unit="samples")
    dispatcher.dispatch()
    answer(database, shelf.queries[:1], seen(0, unread=1))
    answer(database, shelf.queries[1:], seen(1))
    assert [dispatcher.dispatch() for _ in range(2)] == [0, 1]
    assert states(database, shelf) == ["done", "queued"]
    assert query_of(database, shelf.queries[1]).reserved == 2


def test_a_pool_that_does_not_reach_all_probes_is_exhausted_and_more_goes_on_with_all(
    database: Database, dispatcher: Dispatcher, doorbell: Doorbell, clock: ManualClock
) -> None:  # fmt: skip
    shelf = add_staged_job(database, 4, policy(), cap_amount=3.0, cap_unit="samples")
    assert dispatcher.dispatch() == 3
    answer(database, shelf.queries[:2], seen(1))
    answer(database, shelf.queries[2:3], seen(4), usage=[usage_row()])
    for _ in range(3):
        dispatcher.dispatch()
    assert states(database, shelf) == ["done", "done", "done", "pending"]
    stopped = [query_of(database, query_id).stopped for query_id in shelf.queries]
    assert stopped == ["budget", "budget", "settled", None]
    job = job_of(database, shelf.job_id)
    assert (job.state, job.reason) == ("budget_exhausted", "what is left of its budget does not cover another query")
    with database.transaction() as connection:
        transitions.change_job(connection, shelf.job_id, cap_amount=100.0)
        assert transitions.reopen_settled(connection, shelf.job_id, clock.time) == 2
        assert transitions.resume_job(connection, shelf.job_id, clock.time)
    assert dispatcher.dispatch() == 3
    rows = [query_of(database, query_id) for query_id in shelf.queries]
    assert [(row.state, row.stage, row.budget_amount) for row in rows[:2]] == [("queued", 1, 2.0)] * 2
    assert [one["reason"] for one in rows[0].decisions] == ["probe", "probe"], "what came to nothing is forgotten"
    Reconciler(database, doorbell, sweep_seconds=1.0).sweep()
    assert job_of(database, shelf.job_id).state == "open"


def test_nothing_is_given_up_while_a_refund_may_come(database: Database, dispatcher: Dispatcher) -> None:
    shelf = add_staged_job(database, 2, policy(), cap_amount=3.0, cap_unit="samples")
    dispatcher.dispatch()
    answer(database, shelf.queries[:1], seen(1, 1), usage=[usage_row()])
    assert dispatcher.dispatch() == 0
    assert states(database, shelf) == ["pending", "queued"]
    answer(database, shelf.queries[1:], seen(4), usage=[usage_row(reused=True)])
    assert dispatcher.dispatch() == 1, "the second one's sample was there already"


def test_a_deadline_leaves_the_answers_that_are_there(
    database: Database, dispatcher: Dispatcher, clock: ManualClock
) -> None:  # fmt: skip
    shelf = add_staged_job(database, 2, policy(), deadline=clock.time + timedelta(seconds=10))
    dispatcher.dispatch()
    answer(database, shelf.queries[:1], seen(1))
    clock.advance(10)
    dispatcher.dispatch()
    first, second = (query_of(database, query_id) for query_id in shelf.queries)
    assert (first.state, first.stopped, first.decisions[-1]["reason"]) == ("done", "budget", "deadline")
    assert (first.bin, first.decisions[-1]["failure"]) == (1, pytest.approx(1 / 3))
    assert second.state == "pending"
    assert job_of(database, shelf.job_id).state == "budget_exhausted"


# --- the most gain first ----------------------------------------------------------------------------------------------


@pytest.fixture
def worth(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """What a grant is worth by the number of unreadable samples, which tells the queries apart; without: nothing."""
    values: dict[int, float] = {}

    def best(chosen: Policy, evidence: Evidence) -> Grant | None:
        value = values.get(evidence.unread)
        return None if value is None else Grant(0, 5 * value, 5.0, value)

    monkeypatch.setattr(stages, "best_grant", best)
    return values


def test_what_gains_most_is_served_first_and_the_unprobed_before_all(
    database: Database, doorbell: Doorbell, worth: dict[int, float]
) -> None:  # fmt: skip
    worth.update({1: 0.01, 2: 0.05, 3: 0.03})
    worker(database, slots=2)
    dispatcher = Dispatcher(database, doorbell)
    shelf = add_staged_job(database, 10, calibrated({0: 0.75}), allocation="adaptive")
    assert dispatcher.dispatch() == 8
    for query_id, unread in zip(shelf.queries, (0, 1, 2, 3, 0, 0, 0), strict=False):
        answer(database, [query_id], seen(1, unread=unread))
    assert dispatcher.dispatch() == 3, "two probes and five samples fill the window"
    ended = ["done", "pending", "queued", "pending", "done", "done", "done", "queued", "queued", "queued"]
    assert states(database, shelf) == ended
    rows = [query_of(database, query_id) for query_id in shelf.queries]
    assert [row.gain for row in rows[:4]] == [0.0, 0.01, 0.05, 0.03]
    assert (rows[0].stopped, rows[0].confidence) == ("settled", pytest.approx(0.5))
    assert rows[2].confidence == pytest.approx(0.75)
    answer(database, shelf.queries[7:], seen(1))
    assert dispatcher.dispatch() == 1
    assert states(database, shelf) == [*ended[:3], "queued", *["done"] * 6]


def test_a_pool_is_spent_on_what_gains_most(
    database: Database, dispatcher: Dispatcher, worth: dict[int, float]
) -> None:  # fmt: skip
    worth.update({1: 0.01, 2: 0.05, 3: 0.03})
    shelf = add_staged_job(
        database, 3, calibrated({0: 0.75}), allocation="adaptive", cap_amount=16.0, cap_unit="samples"
    )
    dispatcher.dispatch()
    for query_id, unread in zip(shelf.queries, (1, 2, 3), strict=True):
        answer(database, [query_id], seen(0, unread=unread))
    assert dispatcher.dispatch() == 1  # 6 samples are spent; the best wants 6 more, the next 5
    assert states(database, shelf) == ["pending", "queued", "pending"]
    finish(database, shelf.queries[1:2], stage=1, usage=[usage_row(calls=6)])
    for _ in range(2):
        dispatcher.dispatch()
    rows = [query_of(database, query_id) for query_id in shelf.queries]
    assert [(row.state, row.stopped) for row in rows] == [("done", "budget"), ("done", "complete"), ("done", "budget")]
    assert job_of(database, shelf.job_id).spent == 12


def test_jobs_of_one_stage_are_rung_beside(database: Database, dispatcher: Dispatcher, empty_redis_url: str) -> None:
    plain, shelf = add_job(database, 2), add_staged_job(database, 2, policy())
    assert dispatcher.dispatch() == 4
    assert [query_id for query_id, _, _ in messages(empty_redis_url)] == plain.queries
    assert [query_id for query_id, _, _ in messages(empty_redis_url, probes=True)] == shelf.queries


def test_a_paused_job_is_not_decided_on(database: Database, dispatcher: Dispatcher) -> None:
    shelf = add_staged_job(database, 1, policy())
    dispatcher.dispatch()
    got = claim(database, shelf.queries)
    force(database, JOB, shelf.job_id, state="paused")
    come_back(database, got, seen(4))
    assert dispatcher.dispatch() == 0
    assert query_of(database, shelf.queries[0]).gain == UNDECIDED
