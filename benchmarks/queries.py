"""Queries/s through Redis and PostgreSQL with an engine that answers instantly, beside empty Celery tasks."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.service import ROOT, service
from benchmarks.tables import Row, interval

QUERIES = 3000
SLOTS = 64
REPEATS = 3
CONFIGURATION = f"""
[generators.fast]
engine = "instant"
model = "instant"
max_sequences = {SLOTS}
"""


def measure() -> list[Row]:
    """Both sides in turn, so that the machine's drift falls on both alike."""
    empty, queries = zip(*(_pair() for _ in range(REPEATS)), strict=True)
    ratios = [ours / bare for ours, bare in zip(queries, empty, strict=True)]
    return [
        Row("empty Celery tasks", f"{interval(empty)} /s", ""),
        Row(
            "queries, one worker, instant engine",
            f"{interval(queries)} /s",
            f"{interval(ratios, '.2f')} of the empty tasks",
        ),
    ]


def _pair() -> tuple[float, float]:
    """Empty tasks per second, and queries per second."""
    with service(CONFIGURATION) as made:
        problems = made.directory / "problems.jsonl"
        problems.write_text(
            "".join(json.dumps({"problem": f"What is {n} + 1?", "answer": "3"}) + "\n" for n in range(QUERIES))
        )
        empty = subprocess.run(
            [sys.executable, "-m", "benchmarks.empty_tasks", made.environment["TTS_BROKER_URL"], str(QUERIES), str(SLOTS)],
            cwd=ROOT, env=made.environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        made.tts("submit", str(problems), "-g", "fast", "-s", "greedy", "-b", "1")
        with made.running("scheduler"), made.running("worker", "-g", "fast", "--log-level", "WARNING"):
            made.wait_for("SELECT state FROM job", "done")
        # The middle eighty per cent: neither the start of the processes nor the last stragglers.
        span = made.one(
            "SELECT EXTRACT(EPOCH FROM percentile_disc(0.9) WITHIN GROUP (ORDER BY ended_at)"
            " - percentile_disc(0.1) WITHIN GROUP (ORDER BY ended_at)) FROM query"
        )[0]
    return float(empty), 0.8 * QUERIES / float(span)
