"""`pause`, `resume`, `cancel` and `retry`: what each does to a job in each state."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from cli import control
from models import transitions
from models.database import Database, upgrade
from models.errors import UserError
from models.transitions import JOB, QUERY
from tests.builders import add_job, ring
from tests.unit.cli.conftest import Desk


def job(desk: Desk) -> Any:
    with desk.database.reading() as connection:
        return connection.execute(JOB.select()).one()


def states(desk: Desk) -> list[str]:
    with desk.database.reading() as connection:
        return list(connection.execute(QUERY.select().with_only_columns(QUERY.c.state).order_by(QUERY.c.id)).scalars())


def test_pause_and_resume(desk: Desk) -> None:
    job_id = desk.submit(3)
    desk.claim(job_id, 1)
    assert "1 queries in flight will still end" in desk.tts("pause", "last").stdout
    assert (job(desk).state, job(desk).reason) == ("paused", "paused by the user")
    again = desk.tts("pause", "last")
    assert (again.code, again.stdout) == (0, "job 1 is paused already (paused by the user)\n")
    assert desk.tts("resume", "last", "--priority", "0").stdout == "job 1 is open again; new priority\n"
    assert (job(desk).state, job(desk).priority) == ("open", 0)
    assert desk.tts("resume", "last", "--json").json == {"job_id": 1, "state": "open", "changed": False}


def test_cancel_keeps_what_is_done(desk: Desk) -> None:
    job_id = desk.submit(3)
    desk.commit(desk.claim(job_id, 1))
    assert desk.tts("cancel", "1", "--json").json == {"job_id": 1, "state": "cancelled", "changed": True}
    assert states(desk) == ["done", "cancelled", "cancelled"]
    again = desk.tts("cancel", "1")
    assert (again.code, again.stdout) == (0, "job 1 is cancelled already\n")


def test_retry_opens_an_ended_job(desk: Desk) -> None:
    job_id = desk.submit(2)
    first, second = desk.claim(job_id, 2)
    desk.commit([first])
    desk.commit([second], state="failed", reason="no route to host", answer=None, correct=None)
    desk.finish(job_id)
    assert desk.tts("retry", "last", "--json").json == {"job_id": 1, "state": "open", "changed": True, "retried": 1}
    assert job(desk).state == "open"
    assert states(desk) == ["done", "pending"]
    nothing = desk.tts("retry", "last")
    assert (nothing.code, nothing.stderr) == (
        2,
        "Error: job 1 is open and has no failed query, so there is nothing to retry\n",
    )


@pytest.mark.parametrize("command", ["pause", "resume", "cancel"])
def test_a_done_job_is_left_alone(desk: Desk, command: str) -> None:
    job_id = desk.submit(1)
    desk.commit(desk.claim(job_id, 1))
    desk.finish(job_id)
    said = desk.tts(command, "last")
    assert said.code == 2
    assert "job 1 is done" in said.stderr
    assert "tts-jobs results 1" in said.stderr
    assert job(desk).state == "done"


@pytest.mark.parametrize("command", ["pause", "resume", "retry"])
def test_a_cancelled_job_stays_cancelled(desk: Desk, command: str) -> None:
    job_id = desk.submit(2)
    desk.commit(desk.claim(job_id, 1), state="failed", reason="x", answer=None, correct=None)
    desk.tts("cancel", "last")
    said = desk.tts(command, "last")
    assert said.code == 2
    assert "--new" in said.stderr
    assert states(desk) == ["failed", "cancelled"]


def test_an_exhausted_job_needs_more(desk: Desk) -> None:
    job_id = desk.submit(3, "--job-budget", "2")
    desk.commit(desk.claim(job_id, 1, reserving=2.0))
    desk.exhaust(job_id, "what is left of its budget does not cover another query")
    refused = desk.tts("resume", "last")
    assert refused.code == 2
    assert "--job-budget" in refused.stderr
    assert "has spent 2 samples already" in desk.tts("resume", "last", "--job-budget", "2").stderr
    assert job(desk).state == "budget_exhausted"
    assert desk.tts("resume", "last", "--job-budget", "6").stdout == "job 1 is open again; new cap\n"
    assert (job(desk).state, job(desk).cap_amount, job(desk).spent) == ("open", 6.0, 2.0)


@pytest.mark.parametrize(
    ("cap", "spent"), [("50", 4.0), ("1000tokens", 26.0), ("1e12flops", 6e6), ("1usd", 0.002), ("none", 0.0)]
)
def test_a_cap_in_another_unit_counts_what_was_spent(desk: Desk, cap: str, spent: float) -> None:
    job_id = desk.submit(3, "--job-budget", "7e9flops", generator="small")
    desk.commit(desk.claim(job_id, 2, reserving=3e6))
    desk.tts("pause", "last")
    assert desk.tts("resume", "last", "--job-budget", cap).code == 0
    assert job(desk).spent == pytest.approx(spent)
    assert job(desk).reserved == 0


def test_the_unit_does_not_change_under_queries_in_flight(desk: Desk) -> None:
    job_id = desk.submit(3, "--job-budget", "50")
    desk.claim(job_id, 2, reserving=4.0)
    refused = desk.tts("resume", "last", "--job-budget", "1000tokens")
    assert refused.code == 2
    assert "2 queries in flight" in refused.stderr
    assert "tts-jobs pause 1" in refused.stderr
    assert desk.tts("resume", "last", "--job-budget", "60").code == 0, "the same unit may"
    assert (job(desk).cap_amount, job(desk).cap_unit, job(desk).reserved) == (60.0, "samples", 8.0)


def test_a_unit_that_cannot_be_computed_is_refused(desk: Desk) -> None:
    desk.submit(3)
    said = desk.tts("resume", "last", "--job-budget", "1e12flops")
    assert said.code == 2
    assert "architecture" in said.stderr
    assert job(desk).cap_unit is None


def test_a_deadline_must_lie_ahead(desk: Desk) -> None:
    job_id = desk.submit(3, "--deadline", "2199-01-01")
    with desk.database.transaction() as connection:
        transitions.change_job(connection, job_id, deadline=datetime(2020, 1, 1, tzinfo=UTC))
    assert "give a later one" in desk.tts("resume", "last", "--deadline", "2021-01-01").stderr
    assert "give a later one with --deadline" in desk.tts("resume", "last").stderr
    assert desk.tts("resume", "last", "--deadline", "2199-01-01").stdout == "job 1 is open; new deadline\n"


def test_a_worker_can_claim_while_a_person_changes_the_job(postgres_url: str) -> None:
    """The lock must let rows refer to the job, or a cancel and a claim wait for each other."""
    database = Database(postgres_url)
    upgrade(database)
    shelf = add_job(database, 2)
    rung = ring(database, shelf, 1.0)
    with database.transaction() as person, database.transaction() as worker:
        control._find(person, str(shelf.job_id))
        worker.execute(text("SET LOCAL lock_timeout = '2s'"))
        claims = transitions.claim(worker, "w1", [(query_id, 0, False) for query_id in rung], datetime.now(UTC), 60.0)
    assert len(claims) == 2
    database.close()


def deadlock_then(times: int) -> Any:
    """A command whose transaction PostgreSQL ends `times` times: two that wait for each other cannot be had on demand."""
    tried = []

    @control._again_after_a_deadlock
    def command(job: str) -> None:
        tried.append(job)
        if len(tried) <= times:
            raise OperationalError("UPDATE job", {}, Exception("deadlock detected"))

    return command, tried


def test_a_deadlock_is_tried_again() -> None:
    command, tried = deadlock_then(3)
    command("last")
    assert tried == ["last"] * 4


def test_a_deadlock_that_never_ends_is_told() -> None:
    command, tried = deadlock_then(99)
    with pytest.raises(UserError, match="too busy to change the job now; run the same command again"):
        command("last")
    assert len(tried) == control.MOST_DEADLOCKS


def test_another_error_of_the_database_is_not_tried_again() -> None:
    @control._again_after_a_deadlock
    def command() -> None:
        tried.append(1)
        raise OperationalError("UPDATE job", {}, Exception("disk full"))

    tried: list[int] = []
    with pytest.raises(OperationalError):
        command()
    assert tried == [1]
