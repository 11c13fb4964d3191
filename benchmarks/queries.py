"""Queries/s through Redis and PostgreSQL with an engine that answers instantly, beside empty Celery tasks."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.service import ROOT, service
from benchmarks.tables import Row

QUERIES = 3000
SLOTS = 64
CONFIGURATION = f"""
[generators.fast]
engine = "instant"
model = "instant"
max_sequences = {SLOTS}
"""


def measure() -> list[Row]:
    with service(CONFIGURATION) as made:
        problems = made.directory / "problems.jsonl"
        problems.write_text(
            "".join(json.dumps({"problem": f"What is {n} + 1?", "answer": "3"}) + "\n" for n in range(QUERIES))
        )
        empty = float(
            subprocess.run(
                [sys.executable, "-m", "benchmarks.empty_tasks", made.environment["TTS_BROKER_URL"], str(QUERIES), str(SLOTS)],
                cwd=ROOT, env=made.environment, capture_output=True, text=True, check=True,
            ).stdout
        )  # fmt: skip
        made.tts("submit", str(problems), "-g", "fast", "-s", "greedy", "-b", "1")
        with made.running("scheduler"), made.running("worker", "-g", "fast", "--log-level", "WARNING"):
            made.wait_for("SELECT state FROM job", "done")
        # The middle eighty per cent: neither the start of the processes nor the last stragglers.
        span = made.one(
            "SELECT EXTRACT(EPOCH FROM percentile_disc(0.9) WITHIN GROUP (ORDER BY ended_at)"
            " - percentile_disc(0.1) WITHIN GROUP (ORDER BY ended_at)) FROM query"
        )[0]
    rate = 0.8 * QUERIES / float(span)
    return [
        Row("empty Celery tasks", f"{empty:.0f} /s", ""),
        Row("queries, one worker, instant engine", f"{rate:.0f} /s", f"{rate / empty:.2f} of the empty tasks"),
    ]
