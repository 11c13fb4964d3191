"""Escrow: whatever order things happen in, what is reserved is what is in flight, and the cap holds."""

from __future__ import annotations

import random
from typing import Any

import pytest

from models import transitions
from models.database import Database
from models.transitions import ATTEMPT, QUERY, Claim, Outcome
from tests.builders import (
    LEASE,
    ManualClock,
    Shelf,
    add_job,
    beat,
    claim,
    claimed,
    commit,
    job_of,
    lost_usage,
    ring,
    rows,
    states,
    usage,
    usage_row,
)

CAP = 80.0
STEPS = 150


class Play:
    """Random moves on one job with a cap in samples; no attempt uses more than was reserved for it."""

    def __init__(self, database: Database, clock: ManualClock, seed: int) -> None:
        self.database, self.clock, self.random = database, clock, random.Random(seed)
        self.shelf: Shelf = add_job(database, 12, cap_amount=CAP, cap_unit="samples")
        self.held: dict[int, tuple[Claim, float]] = {}

    def ring(self) -> None:
        self.worst = self.random.choice([1.0, 2.0, 4.0])
        ring(self.database, self.shelf, self.worst, self.random.sample(self.pending(), k=min(3, len(self.pending()))))

    def claim(self) -> None:
        bells = self.random.sample(self.shelf.queries, k=4)
        for got in claim(self.database, bells, self.random.choice(["w1", "w2"])):
            self.held[got.query_id] = (got, self.reserved()[got.query_id])

    def commit(self) -> None:
        """Also of attempts that have been lost meanwhile, whose usage must not count."""
        for query_id in self.random.sample(sorted(self.held), k=min(2, len(self.held))):
            got, worst = self.held.pop(query_id)
            row = usage_row(calls=self.random.randint(0, int(worst)))
            state: Any = self.random.choice(["done", "drained", "failed", "failed", "retry"])
            commit(self.database, Outcome(got, state, usage=[row]))

    def beat(self) -> None:
        for got, worst in self.held.values():
            used = lost_usage(calls=self.random.randint(0, int(worst)))
            for name in ("w1", "w2"):
                beat(self.database, name, {got.attempt_id: [used]})

    def lose(self) -> None:
        if self.random.random() < 0.3:
            self.clock.advance(LEASE + 1)
        with self.database.transaction() as connection:
            transitions.expire_leases(connection, self.clock.time, limit=self.random.randint(1, 5))

    def pause(self) -> None:
        with self.database.transaction() as connection:
            if self.random.random() < 0.3:
                transitions.pause_job(connection, self.shelf.job_id, "pause")
            else:
                transitions.resume_job(connection, self.shelf.job_id, self.clock.time)

    def retry(self) -> None:
        with self.database.transaction() as connection:
            transitions.retry_failed(connection, self.shelf.job_id, self.clock.time)

    def pending(self) -> list[int]:
        where = (QUERY.c.job_id == self.shelf.job_id, QUERY.c.state == "pending")
        return [row.id for row in rows(self.database, QUERY, *where)]

    def reserved(self) -> dict[int, float]:
        return {row.id: row.reserved for row in rows(self.database, QUERY, QUERY.c.job_id == self.shelf.job_id)}

    def check(self) -> None:
        job = job_of(self.database, self.shelf.job_id)
        queries = rows(self.database, QUERY, QUERY.c.job_id == self.shelf.job_id)
        assert job.reserved == pytest.approx(sum(row.reserved for row in queries), abs=1e-9)
        assert all(row.reserved == 0 for row in queries if row.state not in ("queued", "running"))
        booked = sum(transitions.charged(row._mapping, "samples") for row in usage(self.database, self.shelf))
        assert job.spent == pytest.approx(booked)
        assert job.spent + job.reserved <= CAP * transitions.ROUNDING
        assert job.reserved >= 0

    def settle(self) -> None:
        """Let everything in flight come to an end."""
        with self.database.transaction() as connection:
            transitions.cancel_job(connection, self.shelf.job_id, self.clock.time)
        self.clock.advance(LEASE + 1)
        with self.database.transaction() as connection:
            transitions.expire_leases(connection, self.clock.time)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_reserved_is_what_is_in_flight(database: Database, clock: ManualClock, seed: int) -> None:
    play = Play(database, clock, seed)
    often = [play.ring, play.claim, play.commit]
    moves = [*often, *often, *often, play.beat, play.lose, play.pause, play.retry]
    for _ in range(STEPS):
        play.random.choice(moves)()
        play.check()
    assert {row.state for row in rows(database, ATTEMPT)} >= {"done", "drained", "failed", "lost"}
    assert job_of(database, play.shelf.job_id).spent > 0
    play.settle()
    play.check()
    assert job_of(database, play.shelf.job_id).reserved == 0
    assert not {"queued", "running", "pending"} & set(states(database, play.shelf))


def test_ringing_stops_at_the_first_that_does_not_fit(database: Database) -> None:
    shelf = add_job(database, 4, cap_amount=10.0, cap_unit="samples")
    assert ring(database, shelf, 4.0) == shelf.queries[:2]
    assert ring(database, shelf, 4.0) == []
    assert (job_of(database, shelf.job_id).reserved, states(database, shelf)) == (8.0, ["queued"] * 2 + ["pending"] * 2)


def test_what_was_not_used_makes_room(database: Database) -> None:
    shelf = add_job(database, 4, cap_amount=10.0, cap_unit="samples")
    for got in claimed(database, shelf, worst=4.0):
        commit(database, Outcome(got, "done", usage=[usage_row()]))
    assert len(ring(database, shelf, 4.0)) == 2


def test_sums_of_fractions_fill_a_cap_exactly(database: Database) -> None:
    shelf = add_job(database, 4, cap_amount=0.3, cap_unit="usd")
    assert ring(database, shelf, 0.1) == shelf.queries[:3]
    shelf = add_job(database, 11, cap_amount=1.0, cap_unit="usd")
    for _ in range(11):
        for got in claimed(database, shelf, worst=0.1):
            commit(database, Outcome(got, "done", usage=[usage_row(dollars=0.1)]))
    assert states(database, shelf).count("done") == 10


def test_a_job_without_a_cap_reserves_nothing_and_stops_at_nothing(database: Database) -> None:
    shelf = add_job(database, 3)
    assert ring(database, shelf) == shelf.queries
    assert job_of(database, shelf.job_id).reserved == 0


@pytest.mark.parametrize(
    ("unit", "amount"), [("samples", 1.0), ("tokens", 22.0), ("flops", 90.0), ("usd", 0.25), (None, 0.0)]
)
def test_what_a_row_of_the_ledger_takes_from_a_cap(unit: str | None, amount: float) -> None:
    row = usage_row(scored_tokens=7)
    assert transitions.charged(row, unit) == amount
    assert transitions.charged({**row, "reused": True}, unit) == 0.0
    assert transitions.charged({**row, "flops_canonical": None, "dollars": None}, unit) in (0.0, amount)
    assert transitions.charged(usage_row(phase="score"), "samples") == 0.0
    assert transitions.charged({name: value for name, value in row.items() if name != "samples"}, "samples") == 0.0


def test_a_live_attempt_is_charged_in_the_unit_its_cap_has_now(database: Database) -> None:
    shelf = add_job(database, 1, cap_amount=10.0, cap_unit="samples")
    (running,) = claimed(database, shelf, worst=1.0)
    with database.transaction() as connection:
        transitions.change_job(connection, shelf.job_id, cap_amount=100.0, cap_unit="tokens")
    commit(
        database, Outcome(running, "done", usage=[usage_row(calls=1, canonical_prompt_tokens=10, generated_tokens=5)])
    )
    assert job_of(database, shelf.job_id).spent == 15.0


def test_a_batch_of_another_size_is_no_other_statement(database: Database) -> None:
    """Each statement is kept, with all that it is made of: sizes that vary would fill the memory."""
    kept = []
    for size in (1, 2, 3, 5, 8):
        shelf = add_job(database, size, cap_amount=100.0, cap_unit="samples")
        assert len(claimed(database, shelf, worst=4.0)) == size
        kept.append(len(database.engine._compiled_cache or ()))
    assert kept[1:] == [kept[1]] * 4
