"""Heartbeats: who is alive, who makes progress, and the idle time of an engine in the ledger."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from models import heartbeats
from models.database import Database, upgrade
from models.heartbeats import ALIVE_SECONDS, WORKER, Beat
from models.transitions import USAGE
from tests.builders import ManualClock, worker


def beat(database: Database, name: str, said: Beat, generator: str | None = "fast") -> None:
    with database.transaction() as connection:
        heartbeats.beat(connection, name, generator, said, database.clock.now(connection))


def slots(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return heartbeats.live_slots(connection, database.clock.now(connection))


def row_of(database: Database, name: str) -> object:
    with database.reading() as connection:
        return connection.execute(select(WORKER).where(WORKER.c.id == name)).one()


def test_slots_are_those_of_the_living(database: Database, clock: ManualClock) -> None:
    for name, generator, size in (("a", "fast", 8), ("b", "fast", 4), ("c", "slow", 2)):
        worker(database, name, generator=generator, slots=size)
    assert slots(database) == {"fast": 12, "slow": 2}
    beat(database, "a", Beat(completed=0, in_flight=0, stopped=True))
    assert slots(database) == {"fast": 4, "slow": 2}
    clock.advance(ALIVE_SECONDS)
    beat(database, "b", Beat(completed=0, in_flight=0))
    assert slots(database) == {"fast": 4}
    with database.reading() as connection:
        assert [row.id for row in heartbeats.live_processes(connection, clock.time)] == ["b"]


def test_a_scheduler_has_no_slots(database: Database, clock: ManualClock) -> None:
    with database.transaction() as connection:
        heartbeats.register(connection, heartbeats.Identity("s", "scheduler"), clock.time)
    assert slots(database) == {}
    with database.reading() as connection:
        assert [row.kind for row in heartbeats.live_processes(connection, clock.time)] == ["scheduler"]
        assert connection.execute(select(USAGE.c.id)).all() == []


@pytest.mark.parametrize(
    ("said", "moves"),
    [
        (Beat(completed=1, in_flight=3), True),
        (Beat(completed=0, in_flight=0), True),
        (Beat(completed=0, in_flight=3), False),
    ],
)
def test_progress_is_work_completed_or_none_to_do(
    database: Database, clock: ManualClock, said: Beat, moves: bool
) -> None:  # fmt: skip
    worker(database, "a")
    before = clock.time
    clock.advance(5)
    beat(database, "a", said)
    row = row_of(database, "a")
    assert row.seen_at == clock.time  # type: ignore[attr-defined]
    assert row.progress_at == (clock.time if moves else before)  # type: ignore[attr-defined]


def test_idle_time_is_one_row_of_the_ledger_that_grows(database: Database) -> None:
    worker(database, "a")
    for idle in (1.0, 2.5):
        beat(database, "a", Beat(completed=0, in_flight=0, busy_seconds=4.0, idle_seconds=idle))
    with database.reading() as connection:
        [row] = connection.execute(select(USAGE)).all()
    assert (row.worker_id, row.phase, row.model, row.gpu_seconds) == ("a", "idle", "fast", 2.5)
    assert (row.job_id, row.query_id, row.attempt_id, row.flops, row.dollars) == (None, None, None, None, None)


def test_a_worker_that_comes_back_from_a_pause_is_alive_again(database: Database, clock: ManualClock) -> None:
    worker(database, "a")
    clock.advance(ALIVE_SECONDS + 1)
    assert slots(database) == {}
    beat(database, "a", Beat(completed=0, in_flight=1))
    assert slots(database) == {"fast": 8}


def test_moments_are_the_same_whatever_zone_the_server_is_in(postgres_url: str, clock: ManualClock) -> None:
    database = Database(f"{postgres_url}?options=-c%20timezone%3DAmerica/New_York", clock)
    upgrade(database)
    worker(database, "a")
    clock.advance(3)
    beat(database, "a", Beat(completed=1, in_flight=1))
    row = row_of(database, "a")
    assert row.progress_at == row.seen_at == clock.time  # type: ignore[attr-defined]
    database.close()
