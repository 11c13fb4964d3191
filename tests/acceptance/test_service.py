"""Scheduler and workers as processes of their own, on real Redis and PostgreSQL, with things going wrong."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.commands import Shop

DONE = "SELECT COUNT(*) FROM query WHERE state = 'done'"


@pytest.fixture
def shop(tmp_path: Path, postgres_url: str, empty_redis_url: str) -> Shop:
    service = Shop(tmp_path, TTS_DATABASE_URL=postgres_url, TTS_BROKER_URL=empty_redis_url)
    service.tts("db", "upgrade")
    return service


@contextlib.contextmanager
def running(shop: Shop, *commands: tuple[str, ...]) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of the service, each with its output in a file, ended with SIGTERM and checked for their status."""
    with contextlib.ExitStack() as stack:
        children = []
        for number, command in enumerate(commands):
            log = stack.enter_context((shop.directory / f"{number}.log").open("w"))
            child = subprocess.Popen(
                shop.command(*command), cwd=shop.directory, env=shop.environment, stdout=log, stderr=log, text=True
            )
            stack.callback(child.wait)
            stack.callback(child.kill)
            children.append(child)
        yield children
        for child in reversed(children):
            child.send_signal(signal.SIGTERM)
        for child in reversed(children):
            assert child.wait(timeout=30) in (0, -signal.SIGKILL)
    logs = "".join((shop.directory / f"{number}.log").read_text() for number in range(len(commands)))
    assert "Traceback" not in logs, logs


def test_a_worker_killed_and_the_broker_emptied_lose_nothing(shop: Shop, empty_redis_url: str) -> None:
    shop.problems(200)
    shop.tts("submit", "problems.jsonl", "-g", "slower", "-s", "majority_vote", "-b", "2")
    worker = ("worker", "-g", "slower")
    with running(shop, ("scheduler",), worker, worker) as (_, first, _second):
        shop.wait_for(lambda: shop.scalar(DONE) >= 40)
        first.kill()
        with redis.Redis.from_url(empty_redis_url) as client:
            client.flushdb()
        shop.wait_for(lambda: shop.scalar("SELECT state FROM job") == "done", seconds=120)
    assert shop.query("SELECT state, COUNT(*) FROM query GROUP BY state") == [("done", 200)]
    assert (
        shop.scalar("SELECT COUNT(*) FROM (SELECT query_id FROM attempt WHERE state = 'done' GROUP BY query_id) d")
        == 200
    )
    assert shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'done'") == 200
    assert shop.scalar("SELECT COUNT(*) FROM candidate") == 400
    assert shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'lost'") >= 1
    assert shop.scalar("SELECT SUM(generated_tokens) FROM usage WHERE disposition = 'kept'") == shop.scalar(
        "SELECT SUM(generated_tokens) FROM candidate"
    )
    wasted = shop.query("SELECT COUNT(*), SUM(calls) FROM usage WHERE disposition = 'wasted' AND at_least")
    assert wasted[0][0] >= 1
    (row,) = json.loads(shop.tts("report", "--json").stdout)
    assert row["done"] == 200


def test_sigterm_drains_and_a_drain_is_nobodys_fault(shop: Shop) -> None:
    shop.problems(60)
    shop.tts("submit", "problems.jsonl", "-g", "slow", "-s", "majority_vote", "-b", "2")
    with running(shop, ("scheduler",), ("worker", "-g", "slow")) as (_, worker):
        shop.wait_for(lambda: shop.scalar(DONE) >= 10)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=15) == 0
        assert shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'running'") == 0
        with running(shop, ("worker", "-g", "slow")):
            shop.wait_for(lambda: shop.scalar("SELECT state FROM job") == "done")
    assert shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'lost'") == 0
    assert shop.scalar("SELECT MAX(suspect) + MAX(retries) FROM query") == 0
    assert shop.scalar("SELECT COUNT(*) FROM candidate") == 120


def test_cancel_stops_generation_and_a_second_scheduler_stands_by(shop: Shop) -> None:
    shop.problems(200)
    shop.tts("submit", "problems.jsonl", "-g", "slow", "-s", "majority_vote", "-b", "2")
    with running(shop, ("scheduler",), ("scheduler",), ("worker", "-g", "slow")) as (first, _, _worker):
        shop.wait_for(lambda: shop.scalar(DONE) >= 10)
        first.send_signal(signal.SIGTERM)
        first.wait(timeout=15)
        before = shop.scalar(DONE)
        shop.wait_for(lambda: shop.scalar(DONE) > before + 40, "the second scheduler to take over")
        shop.tts("cancel", "1")
        shop.wait_for(
            lambda: shop.scalar("SELECT COUNT(*) FROM query WHERE state IN ('queued', 'running')") == 0, seconds=5
        )
    ended = dict(shop.query("SELECT state, COUNT(*) FROM query GROUP BY state"))
    assert set(ended) == {"done", "cancelled"}
    assert sum(ended.values()) == 200


def test_a_more_urgent_job_overtakes(shop: Shop) -> None:
    shop.problems(400)
    shop.tts("submit", "problems.jsonl", "-g", "slow", "-s", "greedy", "-b", "1")
    with running(shop, ("scheduler",), ("worker", "-g", "slow")):
        shop.wait_for(lambda: shop.scalar(DONE) >= 10)
        shop.tts(
            "submit", "problems.jsonl", "-g", "slow", "-s", "greedy", "-b", "1", "--limit", "30", "--priority", "0"
        )
        shop.wait_for(lambda: shop.scalar("SELECT state FROM job WHERE id = 2") == "done")
        assert shop.scalar("SELECT state FROM job WHERE id = 1") == "open"
        shop.tts("cancel", "1")
