"""Workers that die, stop, leave and come back: nothing is lost, nothing counts twice, nothing is drawn again in vain."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest
import redis
from sqlalchemy.engine import make_url

from models.wire import KEY_PREFIX
from tests.chaos.engine import entry, recorded_engine
from tests.chaos.invariants import check, recovered
from tests.chaos.stage import DONE, Stage, pause, stopped
from tests.chaos.wire import wire_to
from tests.servers import free_port

LOST = "SELECT COUNT(*) FROM attempt WHERE state = 'lost'"


def test_killed_in_the_middle_of_generation(stage: Stage) -> None:
    """What the last heartbeat said is booked as wasted, and no more is drawn again than was in flight."""
    stage.scheduler()
    first, second = stage.worker("steady"), stage.worker("steady")
    stage.ready(first, second)
    stage.submit(10, generator="steady")
    heard = (
        "SELECT COUNT(*) FROM attempt a JOIN worker w ON w.id = a.worker_id "
        f"WHERE a.state = 'running' AND a.running_usage IS NOT NULL AND w.pid = {first.pid}"
    )
    stage.wait_for(lambda: stage.scalar(heard) > 0, "a heartbeat to tell of what is in flight")
    died = stage.kill(first)
    stage.wait_done()
    check(stage, queries=10)
    recovered(stage, died)
    assert stage.scalar("SELECT COUNT(*) FROM usage WHERE disposition = 'wasted' AND at_least") > 0


def test_killed_right_after_the_claim(stage: Stage) -> None:
    stage.submit(4, generator="steady")
    stage.scheduler()
    worker = stage.worker("steady")
    stage.wait_running()
    died = stage.kill(worker)
    assert stage.scalar("SELECT COUNT(*) FROM candidate") == 0
    stage.worker("steady")
    stage.wait_done()
    check(stage, queries=4)
    recovered(stage, died)


def test_killed_after_generation_before_the_commit(stage: Stage) -> None:
    """The commit waits for a lock of ours when its process dies: none of it may be seen, all of it is done again."""
    stage.submit(3)
    stage.scheduler()
    worker = stage.worker()
    with stage.holding("LOCK TABLE candidate IN EXCLUSIVE MODE"):
        stage.wait_blocked("INSERT INTO candidate")
        died = stage.kill(worker)
    stage.worker()
    stage.wait_done()
    check(stage, queries=3)
    recovered(stage, died)


def test_killed_after_the_commit_before_the_acknowledgement(stage: Stage, empty_redis_url: str) -> None:
    """The bell is delivered again, finds its query answered, and nothing is drawn."""
    stage.submit(1, generator="steady")
    scheduler = stage.scheduler()
    with wire_to(make_url(empty_redis_url).port or 6379) as wire:
        worker = stage.worker("steady", TTS_BROKER_URL=f"redis://127.0.0.1:{wire.port}/0")
        stage.wait_running()
        stage.kill(scheduler)  # or it would end the job, and with it every claim
        wire.silence()
        stage.wait_for(lambda: stage.scalar(DONE) == 1)
        stage.kill(worker)
    with redis.Redis.from_url(empty_redis_url) as client:
        (tag,) = client.hkeys(f"{KEY_PREFIX}unacked")
        # As if the visibility timeout, a quarter of an hour, had passed.
        client.zadd(f"{KEY_PREFIX}unacked_index", {tag: 0})
        stage.worker("steady")
        stage.wait_for(lambda: client.hlen(f"{KEY_PREFIX}unacked") == 0, "the bell to be answered")
        assert not client.exists(f"{KEY_PREFIX}unacked_index")
    stage.scheduler()
    stage.wait_done()
    check(stage, queries=1)
    assert stage.query("SELECT number, state FROM attempt") == [(1, "done")]
    assert stage.scalar("SELECT SUM(calls) FROM usage WHERE phase = 'generate'") == 2


def test_stopped_past_its_lease_its_commit_is_refused(stage: Stage) -> None:
    """A machine that sleeps, a debugger, a long page-in: who comes back from the dead changes nothing."""
    stage.submit(2)
    stage.scheduler()
    sleeper = stage.worker()
    with contextlib.ExitStack() as asleep:
        with stage.holding("LOCK TABLE candidate IN EXCLUSIVE MODE"):
            stage.wait_blocked("INSERT INTO candidate")
            # Its results are there and its transaction is open when it falls asleep, and the server gives up on it.
            asleep.enter_context(stopped(sleeper))
            stage.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        slept = stage.now()
        everything = "SELECT COUNT(*) FROM attempt"
        stage.wait_for(lambda: stage.scalar(LOST) == stage.scalar(everything), "its leases to run out")
        recovered(stage, slept)
        other = stage.worker()
        stage.wait_done()
        before = stage.query("SELECT * FROM candidate ORDER BY id")
    stage.wait_for(lambda: "the lease had been lost" in stage.log_of(sleeper), "the refusal")
    check(stage, queries=2)
    assert stage.query("SELECT * FROM candidate ORDER BY id") == before
    workers = "SELECT DISTINCT w.pid FROM attempt a JOIN worker w ON w.id = a.worker_id WHERE a.state = 'done'"
    assert stage.query(workers) == [(other.pid,)]


def test_a_rolling_restart_under_load(stage: Stage) -> None:
    """Every worker is replaced in turn while the job runs: nobody's fault, nothing lost, nothing drawn twice."""
    stage.environment["TTS_LEASE_SECONDS"] = "20"  # a busy machine must not look like a dead one here
    stage.scheduler()
    old = [stage.worker("steady"), stage.worker("steady")]
    stage.ready(*old)
    for round_, worker in enumerate(old):
        new = stage.worker("steady")
        stage.ready(new)
        job = stage.submit(30, "--seed", str(round_), generator="steady")
        under_way = "SELECT COUNT(*) FROM query WHERE state IN ('running', 'done')"
        stage.wait_for(lambda: stage.scalar(under_way) > 30 * round_, "the job to be under way")  # noqa: B023
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=120) == 0
        stage.wait_done(job)
        check(stage, job=job, queries=30)
    assert stage.scalar(LOST) == 0
    assert stage.scalar("SELECT MAX(suspect) + MAX(retries) FROM query") == 0


def test_cancel_stops_the_engine_within_five_seconds(stage: Stage, tmp_path: Path) -> None:
    """By the engine's own record: nothing begins and nothing runs on."""
    with recorded_engine(tmp_path, free_port(), latency=30.0) as engine:
        stage.add_generator("served", **entry(engine))
        stage.submit(40, generator="served")
        stage.scheduler()
        stage.wait_for(engine.accepts, "the engine")
        stage.worker("served")
        stage.wait_for(lambda: engine.in_flight() >= 4, "generation to be under way")
        stage.tts("cancel", "1")
        cancelled_at = stage.now().timestamp()
        stage.wait_for(lambda: engine.in_flight() == 0, "generation to end")
        pause(1.0)
        late = [one for one in engine.events() if one.at > cancelled_at + 5.0 + SLOWNESS_SECONDS]
    assert late == []
    ended = dict(stage.query("SELECT state, COUNT(*) FROM query GROUP BY state"))
    assert ended == {"cancelled": 40}
    assert stage.scalar("SELECT state FROM job") == "cancelled"


SLOWNESS_SECONDS = 5.0
"""On top of the five: the machine may be busy with something else."""

pytestmark = pytest.mark.timeout(900)
