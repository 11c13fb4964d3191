"""Seconds and peak memory of `report` over 1,000 queries of 64 samples, with --large over 100,000 of 16."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert, text

from benchmarks.service import ROOT
from benchmarks.tables import Row
from models import tables
from models.database import Database, upgrade
from models.transitions import JOB, table
from tests.servers import fresh_database, postgres_server

SMALL, LARGE = (1_000, 64), (100_000, 16)
LETTERS = 500
"""Length of a sample's text: what a report does not read, but a database has to step over."""

# Everything is made inside the database. Numbers modulo primes stand in for chance.
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)"
_PROBLEMS = """
INSERT INTO problem (dataset_id, position, key, prompt, answer, subject, level)
{numbers} SELECT 1, i, 'k' || i, 'What is ' || i || ' + 1?', '1', 'subject ' || (i % 7), CAST(i % 5 + 1 AS TEXT) FROM n
"""
_QUERIES = """
INSERT INTO query (job_id, problem_id, state, planned, stage, final, gain, attempt, retries, suspect, strategy, sequences,
                   reserved, answer, correct, votes, voters, sequential_tokens, started_at, ended_at)
SELECT :job, p.id, 'done', true, 0, true, 1.0, 1, 0, 0, 'majority_vote', :samples, 0, '1', p.id * 7919 % 101 < :right, 1, :samples, 100, :moment, :moment
FROM problem p ORDER BY p.id
"""
_CANDIDATES = """
INSERT INTO candidate (job_id, query_id, attempt, path, text, answer, answer_class, correct, finish_reason, prompt_tokens,
                       cached_tokens, generated_tokens, gpu_seconds, disposition)
{numbers} SELECT q.job_id, q.id, 1, CAST(i AS TEXT), :text, '1', 0, (q.id * 7919 + i * 104729) % 101 < q.id % 100, 'stop', 50, 0, 200, 0.1, 'kept'
FROM query q CROSS JOIN n WHERE q.job_id = :job ORDER BY q.id
"""
_ATTEMPTS = """
INSERT INTO attempt (job_id, query_id, number, stage, state, alone, worker_id, started_at)
SELECT job_id, id, 1, 0, 'done', false, 'worker', started_at FROM query WHERE job_id = :job ORDER BY id
"""
_USAGE = """
INSERT INTO usage (job_id, query_id, attempt_id, phase, model, disposition, reused, at_least, calls, samples, prompt_tokens,
                   canonical_prompt_tokens, cached_tokens, generated_tokens, scored_tokens, flops, flops_canonical, flops_2nd, gpu_seconds, dollars)
SELECT job_id, query_id, id, phase, phase, 'kept', false, false, 64, 64, 3200, 50, 3000, 12000, 250, 1e12, 1e12, 1e12, 6.4, 0.01
FROM attempt CROSS JOIN (SELECT 'generate' AS phase UNION ALL SELECT 'score') phases WHERE job_id = :job ORDER BY id
"""


def measure(*, large: bool = False) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as directory, postgres_server() as server:
        rows: list[Row] = []
        for queries, samples in (SMALL, LARGE) if large else (SMALL,):
            for url in (_sqlite(Path(directory)), fresh_database(server)):
                with url as name:
                    rows += _reported(name, queries, samples)
        return rows


@contextmanager
def _sqlite(directory: Path) -> Iterator[str]:
    file = directory / "bench.db"
    yield f"sqlite:///{file}"
    for part in directory.glob("bench.db*"):
        part.unlink()


def _reported(url: str, queries: int, samples: int) -> Iterator[Row]:
    """A job's account, its levels, and its comparison with a greedy job, each in a process of its own."""
    _fill(url, queries, samples)
    kind = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    for arguments in (("1",), ("1", "2", "--by", "level")):
        # The start of the command, on the same machine at the same time, tells what of it is not the report's.
        start, _, _ = _run(url, "--help")
        seconds, processor, peak = _run(url, *arguments)
        figure = f"{seconds:.1f} s, of them {processor:.1f} s the command's processor, peak {peak:.0f} MB"
        what = f"report {' '.join(arguments)}: {queries:,} queries x {samples} ({kind})"
        yield Row(what, figure, f"{seconds / start:.1f} times its --help")


def _fill(url: str, queries: int, samples: int) -> None:
    database = Database(url)
    upgrade(database)
    moment = datetime.now(UTC)
    with database.transaction() as connection:
        connection.execute(
            insert(table(tables.Dataset)).values(
                id=1, name="bench", source="bench", content_hash="bench", state="ready", created_at=moment
            )
        )
        connection.execute(text(_PROBLEMS.format(numbers=_NUMBERS)), {"count": queries})
        for job, (drawn, right) in enumerate(((samples, 60), (1, 45)), start=1):
            connection.execute(
                insert(JOB).values(
                    id=job, name=f"bench {job}", dataset_id=1, fingerprint=str(job), state="done", generator="g", lane="g",
                    strategy="majority_vote", budget=str(drawn), sampling_key="s", specification={}, query_count=queries,
                    created_at=moment,
                )
            )  # fmt: skip
            values = {"job": job, "samples": drawn, "right": right, "moment": moment.isoformat(" ")}
            connection.execute(text(_QUERIES), values)
            connection.execute(
                text(_CANDIDATES.format(numbers=_NUMBERS)), {"job": job, "count": drawn, "text": "x" * LETTERS}
            )
            connection.execute(text(_ATTEMPTS), {"job": job})
            connection.execute(text(_USAGE), {"job": job})
    if not database.is_sqlite:
        with database.transaction() as connection:
            connection.execute(text("ANALYZE"))  # as PostgreSQL does by itself a minute later
    database.close()


def _run(url: str, *arguments: str) -> tuple[float, float, float]:
    """(seconds, processor seconds, peak resident MB) of one report."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TTS_DATABASE_URL": url}
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "cli.main", "report", *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"report {' '.join(arguments)} failed")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
