"""What surrounds the work: a submission cut short, a cap in the middle, schemas and clocks that do not agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from models.database import Database, _alembic_config
from tests.chaos.invariants import check
from tests.chaos.stage import DONE, WAIT_SECONDS, Stage
from tests.commands import ROOT, Shop

pytestmark = pytest.mark.timeout(900)


def test_a_submission_killed_half_way_and_repeated(stage: Stage) -> None:
    """Once among the problems, once among the queries: the same command finds what is there and loads the rest."""
    count = 12_000
    stage.problems(count)
    arguments = ("submit", "problems.jsonl", "-g", "brisk")
    first = stage.start_process(*arguments)
    stage.wait_for(lambda: stage.scalar("SELECT SUM(loaded) FROM dataset"), "the first problems")
    stage.kill(first)
    assert stage.query("SELECT state FROM dataset") == [("loading",)]
    assert stage.scalar("SELECT COUNT(*) FROM query") == 0
    with stage.holding("LOCK TABLE query IN EXCLUSIVE MODE"):
        second = stage.start_process(*arguments)
        stage.wait_blocked("INSERT INTO query")
        stage.kill(second)
    stage.tts(*arguments)
    assert stage.query("SELECT state, query_count FROM job") == [("open", count)]
    rows = "SELECT COUNT(*), COUNT(DISTINCT problem_id), (SELECT COUNT(*) FROM problem) FROM query"
    assert stage.query(rows) == [(count, count, count)]


@pytest.mark.slow
def test_a_cap_reached_in_the_middle_of_trouble(stage: Stage) -> None:
    """What a killed worker wasted is spent like everything else, and the cap holds all the same."""
    stage.submit(20, "--job-budget", "24", generator="steady")
    stage.scheduler()
    worker = stage.worker("steady")
    heard = "SELECT COUNT(*) FROM attempt WHERE state = 'running' AND running_usage IS NOT NULL"
    stage.wait_for(lambda: stage.scalar(heard) >= 2, "a heartbeat")
    stage.kill(worker)
    stage.worker("steady")
    stage.wait_done(state="budget_exhausted")
    spent, reserved = stage.query("SELECT spent, reserved FROM job")[0]
    assert (reserved, spent <= 24) == (0, True)
    assert spent == stage.scalar("SELECT SUM(samples) FROM usage WHERE NOT reused")
    assert stage.scalar("SELECT SUM(samples) FROM usage WHERE disposition = 'wasted'") > 0
    assert stage.scalar(DONE) == stage.scalar("SELECT COUNT(*) FROM query WHERE state <> 'pending'") < 20
    stage.tts("resume", "1", "--job-budget", "100")
    stage.wait_done()
    check(stage, queries=20)


@pytest.mark.parametrize(("version", "names"), [("0003", "tts-jobs db upgrade"), ("9999", "made by a newer tts-jobs")])
def test_processes_and_schemas_of_other_versions(
    tmp_path: Path, postgres_url: str, empty_redis_url: str, version: str, names: str
) -> None:
    """An old worker refuses the new schema and a new one the old, in one sentence, before it takes any work."""
    shop = Shop(tmp_path, TTS_DATABASE_URL=postgres_url, TTS_BROKER_URL=empty_redis_url)
    database = Database(postgres_url)
    config = _alembic_config()
    with database.transaction() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
    database.close()
    for arguments in (("worker", "-g", "fast"), ("scheduler",)):
        done = shop.tts(*arguments, check=False, timeout=WAIT_SECONDS)
        assert done.returncode == 2
        assert names in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert shop.scalar("SELECT COUNT(*) FROM worker") == 0
    if version == "0003":
        shop.tts("db", "upgrade", timeout=WAIT_SECONDS)
        with shop.start("scheduler"):
            shop.wait_for(lambda: shop.scalar("SELECT COUNT(*) FROM worker") == 1, seconds=WAIT_SECONDS)


@pytest.mark.slow
def test_workers_whose_clocks_are_ten_minutes_off(stage: Stage) -> None:
    """One ahead and one behind; leases and stamps are in the database's time, so that nothing is lost or doubled."""
    site = stage.directory / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SHIFTED)
    stage.environment["PYTHONPATH"] = f"{site}:{ROOT}"
    stage.environment["TTS_LEASE_SECONDS"] = "20"  # a busy machine must not look like a dead one here
    began = stage.now()
    stage.submit(40)
    stage.scheduler()
    workers = [stage.worker(CHAOS_CLOCK="600"), stage.worker(CHAOS_CLOCK="-600")]
    stage.ready(*workers)
    stage.wait_done()
    check(stage, queries=40)
    assert stage.scalar("SELECT COUNT(*) FROM attempt WHERE state <> 'done'") == 0
    assert stage.scalar("SELECT COUNT(DISTINCT worker_id) FROM attempt") == 2
    ended = stage.now()
    stamps = [moment for row in stage.query("SELECT started_at, ended_at FROM attempt") for moment in row]
    stamps += [moment for row in stage.query("SELECT started_at, seen_at, progress_at FROM worker") for moment in row]
    assert all(began <= moment <= ended for moment in stamps)


SHIFTED = """
import os, time
real, offset = time.time, float(os.environ.get("CHAOS_CLOCK", "0"))
time.time = lambda: real() + offset
"""
