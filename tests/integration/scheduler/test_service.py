"""The scheduler's loop, on the real clock: it rings, stands by, survives trouble and says goodbye."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import select

from models import heartbeats
from models.database import Database, upgrade
from models.errors import UserError
from models.heartbeats import WORKER
from models.transitions import JOB, QUERY
from scheduler.service import Scheduler
from tests.builders import add_job, claim, force, job_of, messages, ring, states, worker
from tests.servers import free_port, wait_until


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    upgrade(made)
    yield made
    made.close()


@contextmanager
def running(url: str, redis_url: str) -> Iterator[Scheduler]:
    """A scheduler with connections of its own, on a thread."""
    database = Database(url)
    scheduler = Scheduler(database, redis_url, sweep_seconds=0.1)
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    try:
        yield scheduler
    finally:
        scheduler.stop()
        thread.join(30)
        database.close()
    assert not thread.is_alive()


def test_one_of_two_schedulers_rings_and_the_other_takes_over(database: Database, empty_redis_url: str) -> None:
    worker(database, slots=4)
    with running(database.url, empty_redis_url) as first:
        wait_until(first.try_to_lead, what="the first scheduler to lead")
        with running(database.url, empty_redis_url) as second:
            shelf = add_job(database, 2)
            wait_until(lambda: states(database, shelf) == ["queued"] * 2, what="the bells of the first job")
            assert not second.try_to_lead()
            first.stop()
            wait_until(lambda: _stopped(database, first.id), what="the goodbye of the first scheduler")
            worker(database, "w2", slots=4)
            later = add_job(database, 2)
            wait_until(lambda: states(database, later) == ["queued"] * 2, what="the bells of the second job")
    assert {query_id for query_id, _, _ in messages(empty_redis_url)} == {*shelf.queries, *later.queries}


def _stopped(database: Database, scheduler_id: str) -> bool:
    with database.reading() as connection:
        return connection.execute(select(WORKER.c.stopped_at).where(WORKER.c.id == scheduler_id)).scalar() is not None


def test_the_trouble_of_one_round_does_not_end_the_service(database: Database, empty_redis_url: str) -> None:
    """A job that cannot even be read is logged; its neighbours go on once it is out of the way."""
    worker(database)
    broken = add_job(database)
    force(database, JOB, broken.job_id, specification={"nonsense": True})
    with running(database.url, empty_redis_url):
        sound = add_job(database)
        force(database, JOB, broken.job_id, state="cancelled")
        wait_until(lambda: states(database, sound) == ["queued"], what="the bell of the sound job")


def test_a_broker_that_is_not_there_is_told_at_once(database: Database) -> None:
    scheduler = Scheduler(database, f"redis://127.0.0.1:{free_port()}/0", sweep_seconds=0.1)
    with pytest.raises(UserError, match="the broker cannot be reached"):
        scheduler.run()


def test_the_leases_of_dead_local_workers_are_given_up(database: Database) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    shelf = add_job(database, 3)
    for name, pid in (("dead", dead.pid), ("parent", os.getppid()), ("left", dead.pid)):
        worker(database, name)
        with database.transaction() as connection:
            connection.execute(WORKER.update().where(WORKER.c.id == name).values(pid=pid))
    ring(database, shelf)
    for name, query_id in zip(("dead", "parent", "left"), shelf.queries, strict=True):
        claim(database, [query_id], name)
    with database.transaction() as connection:
        said = heartbeats.Beat(completed=0, in_flight=0, stopped=True)
        heartbeats.beat(connection, "left", None, said, database.clock.now(connection))
    Scheduler(database, "memory://localhost/", sweep_seconds=0.1).bury_local_workers()
    with database.reading() as connection:
        found = connection.execute(select(QUERY.c.state).order_by(QUERY.c.id)).scalars().all()
    assert found == ["pending", "running", "running"]
    assert job_of(database, shelf.job_id).state == "open"
