"""Rows/s and peak memory of `submit`, for ten thousand and for a million rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.service import ROOT
from benchmarks.tables import Row

SIZES = (10_000, 1_000_000)
CONFIGURATION = '[generators.fast]\nengine = "instant"\nmodel = "instant"\n'


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="tts-bench-") as directory:
        (Path(directory) / "tts-jobs.toml").write_text(CONFIGURATION)
        measured = [(size, *_submit(Path(directory), size)) for size in SIZES]
    (_, _, small), (_, _, large) = measured
    rows = [
        Row(f"submit of {size:,} rows (SQLite)", f"{rate:,.0f} rows/s, peak {peak:.0f} MB", "")
        for size, rate, peak in measured
    ]
    rows[-1] = rows[-1]._replace(ratio=f"{large / small:.2f} of the memory of {SIZES[0]:,} rows")
    return rows


def _submit(directory: Path, size: int) -> tuple[float, float]:
    """(rows per second, peak resident MB) of one submit in a process and a database of its own."""
    source = directory / f"{size}.jsonl"
    with source.open("w") as lines:
        for number in range(size):
            problem = f"A shop has {number} lamps and buys {number % 97} more. How many lamps does it have now? " * 3
            lines.write(json.dumps({"problem": problem, "answer": str(number + number % 97)}) + "\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TTS_HOME": str(directory / f"home-{size}")}
    environment.pop("TTS_DATABASE_URL", None)
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "cli.main", "submit", str(source), "-g", "fast", "--json"],
        cwd=directory, env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"submit of {size} rows failed")
    return size / (time.perf_counter() - started), usage.ru_maxrss / 1024
