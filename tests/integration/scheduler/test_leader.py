"""One active scheduler at a time; the next takes over when it leaves, is cut off or is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from models.database import Database
from scheduler.leader import Leadership, leadership
from tests.servers import fresh_database, wait_until

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from models.database import Database
from scheduler.leader import leadership
held = leadership(Database(sys.argv[1]))
print(held.hold(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def pair(url: str) -> Iterator[tuple[Leadership, Leadership]]:
    """Two schedulers, each with connections of its own."""
    databases = [Database(url), Database(url)]
    first, second = (leadership(database) for database in databases)
    yield first, second
    for held in (first, second):
        held.release()
    for database in databases:
        database.close()


def take_over(held: Leadership) -> None:
    wait_until(held.hold, seconds=10, what="the other scheduler to take over")


def test_the_second_stands_by(pair: tuple[Leadership, Leadership]) -> None:
    first, second = pair
    assert [first.hold(), second.hold()] * 3 == [True, False] * 3


def test_the_second_takes_over_when_the_first_leaves(pair: tuple[Leadership, Leadership]) -> None:
    first, second = pair
    assert first.hold()
    first.release()
    assert second.hold()
    assert not first.hold()
    second.release()
    assert first.hold()


def test_leaving_twice_or_without_having_led_is_harmless(pair: tuple[Leadership, Leadership]) -> None:
    first, second = pair
    second.release()
    assert first.hold()
    second.release()
    assert not second.hold()
    first.release()
    first.release()
    assert second.hold()


def test_the_second_takes_over_when_the_first_is_killed(url: str) -> None:
    database = Database(url)
    second = leadership(database)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not second.hold()
        holder.send_signal(signal.SIGKILL)
        take_over(second)
    finally:
        holder.kill()
        holder.communicate()
        second.release()
        database.close()


def test_a_leader_whose_connection_is_cut_stands_back(postgres_url: str) -> None:
    databases = [Database(postgres_url), Database(postgres_url)]
    first, second = (leadership(database) for database in databases)
    assert first.hold()
    with databases[1].reading() as connection:
        cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        assert connection.execute(text(cut)).scalars().all() == [True]
    take_over(second)
    assert [first.hold(), second.hold()] * 2 == [False, True] * 2
    second.release()
    take_over(first)
    for held, database in zip((first, second), databases, strict=True):
        held.release()
        database.close()


def test_two_databases_have_a_leader_each(postgres_server_url: str, tmp_path: Path) -> None:
    with fresh_database(postgres_server_url) as one, fresh_database(postgres_server_url) as two:
        urls = [one, two, f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}"]
        databases = [Database(url) for url in urls]
        held = [leadership(database) for database in databases]
        assert [leader.hold() for leader in held] == [True] * 4
        for leader, database in zip(held, databases, strict=True):
            leader.release()
            database.close()
