"""Queries/s of 1, 2 and 4 workers through Redis and PostgreSQL with an engine that answers instantly, beside empty Celery
tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack

from benchmarks.service import ROOT, service
from benchmarks.tables import Row, interval

QUERIES = 3000
SLOTS = 64
REPEATS = 3
WORKERS = (1, 2, 4)
CONFIGURATION = f"""
[generators.fast]
engine = "instant"
model = "instant"
max_sequences = {SLOTS}
"""


def measure() -> list[Row]:
    """All in turn, so that the machine's drift falls on all alike."""
    rounds = [(_empty_tasks(), *(_queries(workers) for workers in WORKERS)) for _ in range(REPEATS)]
    empty, *queries = zip(*rounds, strict=True)
    rows = [Row("empty Celery tasks, one worker", f"{interval(empty)} /s", "")]
    for workers, found in zip(WORKERS, queries, strict=True):
        ratios = [ours / bare for ours, bare in zip(found, empty, strict=True)]
        name = "one worker" if workers == 1 else f"{workers} workers"
        rows.append(
            Row(
                f"queries, {name}, instant engine",
                f"{interval(found)} /s",
                f"{interval(ratios, '.2f')} of the empty tasks",
            )
        )
    return rows


def _empty_tasks() -> float:
    """Tasks per second."""
    with service(CONFIGURATION) as made:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.empty_tasks", made.environment["TTS_BROKER_URL"], str(QUERIES), str(SLOTS)],
            cwd=ROOT, env=made.environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return float(done.stdout)


def _queries(workers: int) -> float:
    """Queries per second."""
    with service(CONFIGURATION) as made:
        problems = made.directory / "problems.jsonl"
        problems.write_text(
            "".join(json.dumps({"problem": f"What is {n} + 1?", "answer": "3"}) + "\n" for n in range(QUERIES))
        )
        made.tts("submit", str(problems), "-g", "fast", "-s", "greedy", "-b", "1")
        with ExitStack() as running:
            running.enter_context(made.running("scheduler"))
            for _ in range(workers):
                running.enter_context(made.running("worker", "-g", "fast", "--log-level", "WARNING"))
            made.wait_for("SELECT state FROM job", "done")
        # The middle eighty per cent: neither the start of the processes nor the last stragglers.
        span = made.one(
            "SELECT EXTRACT(EPOCH FROM percentile_disc(0.9) WITHIN GROUP (ORDER BY ended_at)"
            " - percentile_disc(0.1) WITHIN GROUP (ORDER BY ended_at)) FROM query"
        )[0]
    return 0.8 * QUERIES / float(span)
