"""What is rung, how much of it at a time, in which order and within which cap; the bells go to a real Redis."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from models import transitions
from models.database import Database
from models.heartbeats import ALIVE_SECONDS
from models.specification import template_to_dict
from models.templates import load_template
from models.transitions import JOB, QUERY, Outcome
from scheduler.dispatch import MOST_AT_ONCE, Dispatcher
from scheduler.doorbell import Doorbell
from strategies.protocols import Sampling
from tests.builders import (
    ManualClock,
    Shelf,
    add_job,
    claim,
    commit,
    force,
    job_of,
    messages,
    query_of,
    rows,
    states,
    usage_row,
    worker,
)


@pytest.fixture
def dispatcher(database: Database, doorbell: Doorbell) -> Dispatcher:
    return Dispatcher(database, doorbell)


def finish(database: Database, queries: list[int], **outcome: Any) -> None:
    for got in claim(database, queries):
        commit(database, Outcome(got, **{"state": "done", **outcome}))


def queued(database: Database, shelf: Shelf) -> list[int]:
    return [row.id for row in rows(database, QUERY, QUERY.c.job_id == shelf.job_id) if row.state == "queued"]


def test_nothing_is_rung_where_nobody_listens(
    database: Database, dispatcher: Dispatcher, clock: ManualClock, empty_redis_url: str
) -> None:  # fmt: skip
    shelf = add_job(database, 5)
    assert dispatcher.dispatch() == 0
    worker(database, "elsewhere", generator="slow")
    worker(database, "dead")
    clock.advance(ALIVE_SECONDS + 1)
    assert dispatcher.dispatch() == 0
    assert states(database, shelf) == ["pending"] * 5
    assert messages(empty_redis_url) == []


def test_four_batches_are_rung_and_no_more(
    database: Database, dispatcher: Dispatcher, empty_redis_url: str
) -> None:  # fmt: skip
    """Four slots and four sequences to a query: four queries, whatever the size of the job."""
    shelf = add_job(database, 50)
    worker(database, slots=4)
    assert [dispatcher.dispatch() for _ in range(3)] == [4, 0, 0]
    assert messages(empty_redis_url) == [(query_id, 0, False) for query_id in shelf.queries[:4]]
    got = claim(database, shelf.queries[:4])
    assert dispatcher.dispatch() == 0  # what runs counts like what waits
    commit(database, *[Outcome(one, "done") for one in got[:3]])
    assert dispatcher.dispatch() == 3
    assert states(database, shelf).count("pending") == 43


def test_the_window_is_counted_in_sequences(database: Database, dispatcher: Dispatcher) -> None:
    worker(database, slots=4)
    greedy = add_job(database, 50, strategy="greedy", budget_amount=1)
    force_sequences(database, greedy, 1)
    assert dispatcher.dispatch() == 16
    finish(database, greedy.queries)
    force(database, JOB, greedy.job_id, state="done")
    wide = add_job(database, 3, budget_amount=1000)
    force_sequences(database, wide, 1000)
    assert [dispatcher.dispatch() for _ in range(2)] == [1, 0]


def force_sequences(database: Database, shelf: Shelf, sequences: int) -> None:
    for query_id in shelf.queries:
        force(database, QUERY, query_id, sequences=sequences)


def test_more_workers_open_the_window_and_each_model_has_its_own(
    database: Database, dispatcher: Dispatcher, empty_redis_url: str
) -> None:  # fmt: skip
    fast, slow = add_job(database, 50), add_job(database, 50)
    force(database, JOB, slow.job_id, generator="slow", lane="slow")
    for name, generator in (("a", "fast"), ("b", "fast"), ("c", "slow")):
        worker(database, name, generator=generator, slots=4)
    assert dispatcher.dispatch() == 12
    assert (len(queued(database, fast)), len(queued(database, slow))) == (8, 4)
    assert {query_id for query_id, _, _ in messages(empty_redis_url, "slow")} == set(slow.queries[:4])


def test_a_round_rings_a_bounded_number(database: Database, dispatcher: Dispatcher) -> None:
    shelf = add_job(database, MOST_AT_ONCE + 10)
    worker(database, slots=10**6)
    assert [dispatcher.dispatch() for _ in range(3)] == [MOST_AT_ONCE, 10, 0]
    assert len(queued(database, shelf)) == MOST_AT_ONCE + 10


def test_an_urgent_job_does_not_wait_behind_others(
    database: Database, dispatcher: Dispatcher, empty_redis_url: str
) -> None:  # fmt: skip
    worker(database, slots=4)
    first = add_job(database, 50, priority=5)
    assert dispatcher.dispatch() == 4
    urgent, patient = add_job(database, 50, priority=1), add_job(database, 50, priority=9)
    assert dispatcher.dispatch() == 4
    assert [len(queued(database, shelf)) for shelf in (first, urgent, patient)] == [4, 4, 0]
    assert [query_id for query_id, _, _ in messages(empty_redis_url)] == [*urgent.queries[:4], *first.queries[:4]]
    finish(database, first.queries[:4])
    assert dispatcher.dispatch() == 0  # the room that the first job leaves is the urgent one's


def test_a_changed_priority_counts_from_the_next_round(database: Database, dispatcher: Dispatcher) -> None:
    worker(database, slots=2)
    first, second = add_job(database, 50), add_job(database, 50)
    assert dispatcher.dispatch() == 2
    with database.transaction() as connection:
        transitions.change_job(connection, second.job_id, priority=0)
    assert dispatcher.dispatch() == 2
    assert (len(queued(database, first)), len(queued(database, second))) == (2, 2)


def test_a_cap_stops_the_ringing_and_a_refund_goes_on(database: Database, dispatcher: Dispatcher) -> None:
    worker(database, slots=100)
    shelf = add_job(database, 10, cap_amount=10.0, cap_unit="samples")
    assert [dispatcher.dispatch() for _ in range(2)] == [2, 0]
    assert job_of(database, shelf.job_id).state == "open"  # what is in flight may come back cheaper
    finish(database, shelf.queries[:2], usage=[usage_row()])
    assert [dispatcher.dispatch() for _ in range(2)] == [2, 0]
    finish(database, shelf.queries[2:4], usage=[usage_row(calls=4)])
    assert dispatcher.dispatch() == 0
    job = job_of(database, shelf.job_id)
    assert (job.state, job.reason) == ("budget_exhausted", "what is left of its budget does not cover another query")
    assert (job.spent, job.reserved) == (10.0, 0.0)


def test_a_cap_in_another_unit_reserves_the_worst_case_of_the_prompt(
    database: Database, dispatcher: Dispatcher
) -> None:  # fmt: skip
    worker(database, slots=100)
    sampling = asdict(Sampling(max_tokens=100))
    shelf = add_job(database, 10, cap_amount=3000.0, cap_unit="tokens", sampling=sampling)
    rung = dispatcher.dispatch()
    worst = load_template("plain").worst_prompt_bytes("1 + 1?") + 4 * 100
    assert query_of(database, shelf.queries[0]).reserved == worst
    assert rung == 3000 // worst


def test_a_cap_holds_what_revisions_read(database: Database, dispatcher: Dispatcher) -> None:
    worker(database, slots=100)
    sampling = asdict(Sampling(max_tokens=100))
    shelf = add_job(database, 2, cap_amount=1e6, cap_unit="tokens", sampling=sampling)
    parameters = {"chains": 1, "length": 3}
    force(database, QUERY, shelf.queries[1], strategy="sequential_revision", parameters=parameters)
    assert dispatcher.dispatch() == 2
    alone, revising = (query_of(database, query_id).reserved for query_id in shelf.queries)
    # Each of four calls may read two attempts of 100 tokens and what stands around them.
    assert revising - alone == 4 * load_template("plain").worst_revision_bytes(2, 100) > 4 * 200


def test_a_cap_holds_what_feedback_repeats(database: Database, dispatcher: Dispatcher) -> None:
    worker(database, slots=100)
    sampling = asdict(Sampling(max_tokens=100))
    shelf = add_job(database, 2, cap_amount=1e6, cap_unit="tokens", sampling=sampling)
    for query_id, feedback in zip(shelf.queries, (False, True), strict=True):
        force(database, QUERY, query_id, strategy="sequential_revision", parameters={"length": 3, "feedback": feedback})
    dispatcher.dispatch()
    silent, told = (query_of(database, query_id).reserved for query_id in shelf.queries)
    assert told - silent > 4 * 2 * 100


def test_suspects_run_one_to_a_worker_and_alone(
    database: Database, dispatcher: Dispatcher, empty_redis_url: str
) -> None:  # fmt: skip
    for name in ("a", "b"):
        worker(database, name, slots=4)
    shelf = add_job(database, 20)
    for query_id in shelf.queries[:3]:
        force(database, QUERY, query_id, suspect=1)
    assert dispatcher.dispatch() == 2
    assert messages(empty_redis_url) == [(query_id, 0, True) for query_id in shelf.queries[:2]]
    assert dispatcher.dispatch() == 6  # the others need not wait for them
    assert {alone for _, _, alone in messages(empty_redis_url)[2:]} == {False}
    assert query_of(database, shelf.queries[2]).state == "pending"
    finish(database, shelf.queries[:1])
    assert dispatcher.dispatch() == 1
    assert messages(empty_redis_url)[-1] == (shelf.queries[2], 0, True)


def test_suspects_of_all_jobs_share_the_workers(database: Database, dispatcher: Dispatcher) -> None:
    worker(database, slots=4)
    shelves = [add_job(database, 2) for _ in range(3)]
    for shelf in shelves:
        for query_id in shelf.queries:
            force(database, QUERY, query_id, suspect=1)
    assert [dispatcher.dispatch() for _ in range(2)] == [1, 0]


def test_a_deadline_stops_what_has_not_begun(
    database: Database, dispatcher: Dispatcher, clock: ManualClock
) -> None:  # fmt: skip
    worker(database, slots=4)
    shelf = add_job(database, 10, deadline=clock.time + timedelta(seconds=10))
    assert dispatcher.dispatch() == 4
    [running] = claim(database, shelf.queries[:1])
    clock.advance(10)
    assert dispatcher.dispatch() == 0
    assert states(database, shelf) == ["running"] + ["pending"] * 9
    assert job_of(database, shelf.job_id).state == "open"
    commit(database, Outcome(running, "done"))
    assert dispatcher.dispatch() == 0
    assert (job_of(database, shelf.job_id).state, job_of(database, shelf.job_id).reason) == (
        "budget_exhausted",
        "its deadline has passed",
    )


def test_a_deadline_passes_without_a_worker(database: Database, dispatcher: Dispatcher, clock: ManualClock) -> None:
    shelf = add_job(database, deadline=clock.time)
    dispatcher.dispatch()
    assert job_of(database, shelf.job_id).reason == "its deadline has passed"


def test_a_retry_waits_for_its_time(database: Database, dispatcher: Dispatcher, clock: ManualClock) -> None:
    worker(database, slots=4)
    shelf = add_job(database)
    dispatcher.dispatch()
    finish(database, shelf.queries, state="retry", reason="busy", retry_after=5.0)
    assert dispatcher.dispatch() == 0
    clock.advance(5)
    assert dispatcher.dispatch() == 1


@pytest.mark.parametrize("state", ["loading", "paused", "done", "cancelled", "budget_exhausted"])
def test_only_open_jobs_are_rung(database: Database, dispatcher: Dispatcher, state: str) -> None:
    worker(database)
    force(database, JOB, add_job(database).job_id, state=state)
    assert dispatcher.dispatch() == 0


def test_a_query_is_planned_when_it_is_rung(database: Database, dispatcher: Dispatcher) -> None:
    worker(database, slots=4)
    shelf = add_job(database, 9, budget_amount=2, strategy="best_of_n", verifier="mean_logprob")
    empty = {"strategy": None, "parameters": None, "budget_amount": None, "budget_unit": None, "sequences": 1}
    for query_id in shelf.queries:
        force(database, QUERY, query_id, planned=False, **empty)
    assert dispatcher.dispatch() == 8
    row = query_of(database, shelf.queries[0])
    assert (row.planned, row.strategy, row.budget_amount, row.budget_unit, row.sequences) == (
        True, "best_of_n", 2.0, "samples", 2,
    )  # fmt: skip
    assert query_of(database, shelf.queries[8]).planned is False


def test_a_prompt_that_cannot_be_written_does_not_stop_the_others(
    database: Database, dispatcher: Dispatcher
) -> None:  # fmt: skip
    """Its worker will fail it with the reason; a job behind it must not wait for that."""
    worker(database, slots=100)
    template = {**template_to_dict(load_template("plain")), "user": "{{ subject.upper() }}: {{ problem }}"}
    broken = add_job(database, 2, template=template, cap_amount=1e6, cap_unit="tokens")
    sound = add_job(database, 2)
    assert dispatcher.dispatch() == 4
    assert len(queued(database, broken)) == len(queued(database, sound)) == 2
