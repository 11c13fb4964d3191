"""The broker and the database restarted, killed, emptied, silent, full and locked under the service."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from models.wire import KEY_PREFIX
from tests.chaos.invariants import check
from tests.chaos.stage import DONE, LEASE_SECONDS, RUNNING, Stage, on_stage, pause
from tests.chaos.stores import own_postgres, own_redis
from tests.chaos.wire import wire_to

pytestmark = pytest.mark.timeout(900)

COUNT = 120


def under_way(stage: Stage, done: int) -> None:
    stage.wait_for(lambda: stage.scalar(DONE) >= done, f"{done} answers")


@contextlib.contextmanager
def away(stage: Stage, server_url: str) -> Iterator[None]:
    """Everybody is thrown out of the stage's database and nobody is let in until the block ends."""
    name = stage.database_name
    with psycopg.connect(server_url.replace("+psycopg", ""), autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')  # type: ignore[call-overload]
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        yield
        server.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')  # type: ignore[call-overload]
    stage.forget_connections()


def test_the_broker_killed_with_and_without_its_data(tmp_path: Path, postgres_url: str) -> None:
    """With its append-only file the bells are still there; without it they are rung again."""
    with own_redis(tmp_path / "redis") as broker, on_stage(tmp_path, postgres_url, broker.url) as stage:
        stage.submit(COUNT)
        stage.scheduler()
        stage.worker()
        under_way(stage, 5)
        broker.kill()
        broker.start()
        before = stage.scalar(DONE)
        under_way(stage, min(before + 20, COUNT))
        broker.kill(with_its_data=True)
        broker.start()
        stage.wait_done()
        check(stage, queries=COUNT)
        assert stage.scalar("SELECT MAX(suspect) + MAX(retries) FROM query") == 0, "it was nobody's fault"


def test_one_bell_delivered_ten_times_at_once(stage: Stage, empty_redis_url: str) -> None:
    """Each message is copied nine times while nobody listens; then two workers hear all of them."""
    stage.submit(6, generator="steady")
    scheduler = stage.scheduler()
    first = stage.worker("steady")
    stage.ready(first)
    first.send_signal(signal.SIGSTOP)
    with redis.Redis.from_url(empty_redis_url) as client:
        stage.wait_for(lambda: client.keys(f"{KEY_PREFIX}tts.solve.*"), "bells to wait")
        copied = 0
        for key in client.keys(f"{KEY_PREFIX}tts.solve.*"):
            for message in client.lrange(key, 0, -1):
                client.lpush(key, *[message] * 9)
                copied += 1
        assert copied > 0
        first.send_signal(signal.SIGCONT)
        stage.worker("steady")
        stage.wait_done()
        waiting = f"{KEY_PREFIX}tts.solve.*"
        stage.wait_for(lambda: not client.keys(waiting), "every bell to be heard")
    assert scheduler.poll() is None
    check(stage, queries=6)
    assert stage.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'done'") == 6


def test_the_database_away_for_longer_than_a_lease(stage: Stage, postgres_server_url: str) -> None:
    """Everybody is thrown out and nobody let in: what was generated meanwhile is committed or refused, never doubled."""
    stage.submit(COUNT)
    stage.scheduler()
    stage.worker()
    under_way(stage, 5)
    with away(stage, postgres_server_url):
        pause(LEASE_SECONDS + 1)
    stage.wait_done()
    check(stage, queries=COUNT)
    assert all(process.poll() is None for process in stage.processes), "nobody left because of it"


# --- minutes rather than seconds --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [8.0, 120.0])
def test_the_broker_falls_silent(tmp_path: Path, postgres_url: str, seconds: float) -> None:
    """Packets are dropped and no connection is closed; those made before stay dead when the wire speaks again.

    Nobody is told that a connection is dead: after `health_check_interval` and `socket_timeout` it is given up. In the
    longer silence those that take its place are given up as well, again and again.
    """
    with (
        own_redis(tmp_path / "redis") as broker,
        wire_to(broker.port) as wire,
        on_stage(tmp_path, postgres_url, f"redis://127.0.0.1:{wire.port}/0") as stage,
    ):
        stage.submit(COUNT)
        stage.scheduler()
        worker = stage.worker()
        under_way(stage, 5)
        wire.silence()
        pause(seconds)
        # What had been delivered is answered and committed without the broker.
        stage.wait_for(lambda: stage.scalar(RUNNING) == 0, "what was in flight to be committed")
        wire.speak()
        stage.wait_done(seconds=180)
        assert worker.poll() is None
        check(stage, queries=COUNT)


@pytest.mark.slow
def test_postgres_restarted_killed_and_out_of_connections(tmp_path: Path, empty_redis_url: str) -> None:
    with (
        own_postgres(connections=30) as server,
        on_stage(tmp_path, server.url, empty_redis_url) as stage,
    ):
        stage.submit(4 * COUNT)
        stage.scheduler()
        workers = [stage.worker(), stage.worker()]
        under_way(stage, 10)
        server.stop()
        server.start()
        stage.forget_connections()
        under_way(stage, min(stage.scalar(DONE) + 20, 4 * COUNT))
        server.kill()
        server.start()
        stage.forget_connections()
        under_way(stage, min(stage.scalar(DONE) + 20, 4 * COUNT))
        # Every client is thrown out at once, and strangers take all places.
        server.stop()
        server.start()
        stage.forget_connections()
        taken = server.take_all_connections()
        pause(LEASE_SECONDS + 1)
        for connection in taken:
            connection.close()
        stage.wait_done()
        check(stage, queries=4 * COUNT)
        assert all(worker.poll() is None for worker in workers)


@pytest.mark.slow
def test_a_full_disk_and_then_room_again(tmp_path: Path, empty_redis_url: str) -> None:
    """A limit on the size of files, set from outside on processes that run, stands for a disk that fills up."""
    path = tmp_path / "tts.db"
    with on_stage(tmp_path, f"sqlite:///{path}", empty_redis_url) as stage:
        stage.submit(COUNT)
        processes = [stage.scheduler(), stage.worker()]
        under_way(stage, 5)
        for process in processes:
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (8192, hard))
        full = ("disk is full", "the database does not answer")
        stage.wait_for(
            lambda: all(any(sign in stage.log_of(process) for sign in full) for process in processes),
            "both to notice",
        )
        before = stage.scalar(DONE)
        pause(LEASE_SECONDS + 1)
        assert stage.scalar(DONE) == before
        for process in processes:
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        stage.wait_done()
        check(stage, queries=COUNT)
        assert all(process.poll() is None for process in processes)
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


@pytest.mark.slow
def test_sqlite_locked_for_longer_than_a_writer_waits(tmp_path: Path, empty_redis_url: str) -> None:
    """Some program holds the write lock past the busy timeout (30 s) and every lease."""
    path = tmp_path / "tts.db"
    with on_stage(tmp_path, f"sqlite:///{path}", empty_redis_url) as stage:
        stage.submit(COUNT)
        processes = [stage.scheduler(), stage.worker()]
        under_way(stage, 5)
        holder = sqlite3.connect(path, isolation_level=None, timeout=30)
        holder.execute("BEGIN IMMEDIATE")
        stage.wait_for(
            lambda: any("keeps it locked" in stage.log_of(process) for process in processes), "a writer to give up"
        )
        holder.rollback()
        holder.close()
        stage.wait_done()
        check(stage, queries=COUNT)
        assert all(process.poll() is None for process in processes)


@pytest.mark.slow
def test_a_worker_asked_to_leave_while_the_database_is_away(stage: Stage, postgres_server_url: str) -> None:
    """It cannot hand back what it holds; it leaves all the same, in its time, and its leases run out."""
    stage.environment["TTS_DRAIN_SECONDS"] = "3"
    stage.expected |= {os.EX_TEMPFAIL}
    stage.scheduler()
    worker = stage.worker("steady")
    stage.ready(worker)
    stage.submit(8, generator="steady")
    stage.wait_running()
    with away(stage, postgres_server_url):
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=120) == os.EX_TEMPFAIL
    assert "Traceback" not in stage.log_of(worker)
    stage.worker("steady")
    stage.wait_done()
    check(stage, queries=8)
