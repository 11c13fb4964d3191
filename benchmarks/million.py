"""`python -m benchmarks.million`: a million queries submitted, planned and drained by a real service with an engine that
answers at once. Killed, the same command goes on.

Every ten seconds it notes how much memory each process has, how many messages lie in Redis, and how long `status` and one
refresh of `watch` take; the file of notes is what the last lines sum up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from benchmarks.service import ROOT
from cli.progress import JobView
from cli.status import read_status
from models.database import Database

CONFIGURATION = '[generators.fast]\nengine = "instant"\nmodel = "instant"\nmax_sequences = 64\n'
EVERY_SECONDS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "million", help="what is kept between runs")
    given = parser.parse_args()
    folder: Path = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tts-jobs.toml").write_text(CONFIGURATION)
    notes = folder / f"notes-{given.queries}.jsonl"
    with _service(folder, given.workers) as (urls, processes):
        environment = {**os.environ, **urls, "PYTHONPATH": str(ROOT)}
        problems = str(_problems(folder, given.queries))
        command = [sys.executable, "-P", "-m", "cli.main", "submit", problems, "-g", "fast", "-s", "greedy", "-b", "1"]
        subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
        database = Database(urls["TTS_DATABASE_URL"])
        client = redis.Redis.from_url(urls["TTS_BROKER_URL"])
        view = JobView(database, 1)
        while True:
            note = _note(database, client, view, processes)
            with notes.open("a") as lines:
                lines.write(json.dumps(note) + "\n")
            print(f"{note['done']:,} done, {note['messages']} messages waiting", flush=True)
            if note["done"] >= given.queries:
                break
            time.sleep(EVERY_SECONDS)
    print("| | first tenth of the run | last tenth |\n| --- | --- | --- |")
    for cells in _summary([json.loads(line) for line in notes.read_text().splitlines()]):
        print(f"| {' | '.join(cells)} |")


def _problems(folder: Path, count: int) -> Path:
    path = folder / f"{count}.jsonl"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        with unfinished.open("w") as lines:
            for number in range(count):
                lines.write(json.dumps({"problem": f"What is {number} + 1?", "answer": str(number + 1)}) + "\n")
        unfinished.rename(path)
    return path


@contextmanager
def _service(folder: Path, workers: int) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
    """`tts-jobs up` with a PostgreSQL of its own, or TTS_DATABASE_URL's: what other shells need to know, and its processes
    by name."""
    command = [sys.executable, "-P", "-m", "cli.main", "up", "--json", "--flower-port", "0", "-g", "fast"]
    if "TTS_DATABASE_URL" not in os.environ:
        command.append("--postgres")
    with subprocess.Popen(
        [*command, "--workers", str(workers)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    ) as up:  # fmt: skip
        assert up.stdout is not None
        said = ""
        while not said.endswith("\n}\n"):
            line = up.stdout.readline()
            if not line:
                sys.exit("`tts-jobs up` ended; its last lines say why")
            said += line
        shown = json.loads(said)
        exports = Path(shown["environment_file"]).read_text().splitlines()
        urls = dict(line.removeprefix("export ").replace("'", "").split("=", 1) for line in exports)
        try:
            yield urls, {process["name"]: process["pid"] for process in shown["processes"]}
        finally:
            up.terminate()
            up.wait()


def _note(database: Database, client: redis.Redis, view: JobView, processes: dict[str, int]) -> dict[str, Any]:
    started = time.perf_counter()
    seen = view.read()
    watched = time.perf_counter() - started
    started = time.perf_counter()
    read_status(database, "1")
    asked = time.perf_counter() - started
    lists = [key for key in client.scan_iter(match="tts.*") if client.type(key) == b"list"]
    return {
        "at": time.time(),
        "done": seen["done"],
        "messages": sum(map(client.llen, lists)) + client.hlen("unacked"),
        "watch_seconds": watched,
        "status_seconds": asked,
        "megabytes": {name: _megabytes(pid) for name, pid in processes.items()},
    }


def _megabytes(pid: int) -> float:
    """Resident, of a process and its children."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return own + sum(_megabytes(int(child)) for child in children)


def _summary(notes: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Of the first and of the last tenth of the run."""
    tenth = max(len(notes) // 10, 2)
    first, last = notes[:tenth], notes[-tenth:]

    def most(name: str, value: Callable[[dict[str, Any]], float]) -> tuple[str, str, str]:
        return name, f"{max(map(value, first)):.3g}", f"{max(map(value, last)):.3g}"

    def memory(process: str) -> tuple[str, str, str]:
        return most(f"{process}, MB", lambda one: one["megabytes"].get(process, 0.0))

    return [
        ("queries/s", f"{_rate(first):.0f}", f"{_rate(last):.0f}"),
        *map(memory, notes[-1]["megabytes"]),
        most("messages in Redis, most", lambda one: one["messages"]),
        most("one refresh of `watch`, s, longest", lambda one: one["watch_seconds"]),
        most("`status`, s, longest", lambda one: one["status_seconds"]),
    ]


def _rate(notes: list[dict[str, Any]]) -> float:
    return float((notes[-1]["done"] - notes[0]["done"]) / (notes[-1]["at"] - notes[0]["at"]))


if __name__ == "__main__":
    main()
