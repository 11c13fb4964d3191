"""`python -m benchmarks.strategies`: every strategy on the tiny models at several budgets, everything charged.

Held-out problems through the whole service, kept in a folder of their own: killed, the same command goes on. It writes
the table, the plot and the figures behind them into docs/results.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import replayed
from cli import plot
from models import reports
from models.database import Database, upgrade
from models.statistics import paired_bootstrap
from scheduler.tiny import PROBLEMS
from strategies import registry

RESULTS = Path(__file__).parents[1] / "docs" / "results"
PAGE, PLOT, FIGURES = (RESULTS / f"strategies.{suffix}" for suffix in ("md", "png", "csv"))
BEGIN, END = "<!-- written by python -m benchmarks.strategies -->", "<!-- end of what was written -->"
VERIFIER = "tiny-prm"
TTS_JOBS = str(Path(sys.executable).with_name("tts-jobs"))
REFERENCE = "weighted_vote"
"""What every strategy is compared with at its budget, problem by problem."""


@dataclass(frozen=True, slots=True)
class Run:
    """One job."""

    strategy: str
    samples: int
    generator: str = "tiny"
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.strategy if self.generator == "tiny" else f"{self.strategy}, {self.generator}"

    @property
    def name(self) -> str:
        return f"{self.label} {self.samples}"

    @property
    def options(self) -> list[str]:
        """Those of `tts-jobs run`."""
        entry = registry.find(self.strategy)
        found = ["-g", self.generator, "-s", self.strategy, "-b", str(self.samples), "--name", self.name]
        found += ["-v", VERIFIER] if entry.needs_verifier or entry.may_verify else []
        return found + [part for name, value in self.parameters.items() for part in ("--param", f"{name}={value}")]


class Result(NamedTuple):
    """A job's row of the table: accuracy and its 95 % interval in [0, 1], canonical FLOPs and GPU-seconds a query, and
    how much better than the reference it is on the same problems, in points."""

    strategy: str
    samples: int
    accuracy: float
    low: float
    high: float
    flops: float
    gpu_seconds: float
    gain: tuple[float, float, float] | None


def runs(budgets: Sequence[int]) -> list[Run]:
    """The cheapest first: what sampling strategies drew is reused by the dearer ones."""
    found = [Run("greedy", 1)]
    for samples in budgets:
        for name in registry.STRATEGIES:
            if name != "greedy":
                given = PARAMETERS[name](samples) if name in PARAMETERS else {}
                found.append(Run(name, samples, parameters=given))
    return [*found, Run("greedy", 1, "tiny-large")]


PARAMETERS: dict[str, Callable[[int], dict[str, Any]]] = {
    # Half of them are waited for: with the first one alone, longer solutions would never be heard.
    "first_finish": lambda samples: {"finishers": max(1, samples // 2)},
    "sequential_revision": lambda samples: {"length": min(4, samples)},
    # At k = 3, fewer than four samples hold no branch at all.
    "lookahead": lambda samples: {"lookahead": min(3, samples - 1)},
}


def answer(url: str, wanted: Sequence[Run], problems: int) -> dict[str, tuple[Run, int]]:
    """Run what has not been run: the jobs by name."""
    jobs: dict[str, tuple[Run, int]] = {}
    for run in wanted:
        command = [TTS_JOBS, "run", str(PROBLEMS), "--limit", str(problems), "--quiet", "--json", *run.options]
        print(f"{run.name} ...", flush=True)
        done = subprocess.run(command, env={**os.environ, "TTS_DATABASE_URL": url}, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            sys.exit(f"{run.name} ended with {done.returncode}; run the same command again to go on")
        (row,) = json.loads(done.stdout)
        jobs[run.name] = (run, row["job_id"])
    return jobs


def results(database: Database, jobs: dict[str, tuple[Run, int]]) -> Iterator[Result]:
    with database.reading() as connection:
        rows = {row["job_id"]: row for row in reports.cost_accuracy(connection, [job for _, job in jobs.values()])}
        right = {job: reports.correctness(connection, job) for _, job in jobs.values()}
    for run, job in jobs.values():
        row = rows[job]
        _, reference = jobs.get(f"{REFERENCE} {run.samples}", (None, job))
        problems = sorted(right[job].keys() & right[reference].keys())
        ours, theirs = ([float(right[one][problem]) for problem in problems] for one in (job, reference))
        yield Result(
            run.label,
            run.samples,
            row["accuracy"],
            row["accuracy_low"],
            row["accuracy_high"],
            row["flops_canonical"] / row["queries"],
            row["gpu_seconds"] / row["queries"],
            None if reference == job else paired_bootstrap(ours, theirs, seed=0),
        )


def write(found: Sequence[Result], curves: Sequence[replayed.Point], problems: int) -> None:
    """The page's table, the plot and the CSV; what people wrote around the table stays."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with FIGURES.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["strategy", "samples", "source", "accuracy", "low", "high", "flops", "gpu_seconds"])
        for one in found:
            rows.writerow([one.strategy, one.samples, "run", *_rounded(*one[2:7])])
        for point in curves:
            rows.writerow([point.strategy, point.samples, "replay", *_rounded(*point[2:]), ""])
    text = PAGE.read_text() if PAGE.exists() else f"# Every strategy on the tiny models\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{_table(found, curves, problems)}{END}{rest.partition(END)[2]}")
    lines: plot.Curves = {}
    ordered = sorted(found, key=lambda one: (one.strategy, one.samples))
    for strategy, group in groupby(ordered, key=lambda one: one.strategy):
        lines[strategy] = [plot.Point(one.flops, one.accuracy, one.low, one.high) for one in group]
    plot.as_png(lines, PLOT, f"tiny with {VERIFIER}, {problems} held-out problems")


def _rounded(*values: float) -> list[str]:
    return [f"{value:.4g}" for value in values]


def _table(found: Sequence[Result], curves: Sequence[replayed.Point], problems: int) -> str:
    out = io.StringIO()
    print(f"\n{problems} held-out problems, uniform over the five levels. Intervals are 95 %.\n", file=out)
    print(f"| strategy | N | accuracy, % | FLOPs a query | GPU-s a query | points over {REFERENCE} |", file=out)
    print("| --- | --- | --- | --- | --- | --- |", file=out)
    for one in sorted(found, key=lambda one: (one.samples, one.flops)):
        gain = "" if one.gain is None else "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * part for part in one.gain))
        print(
            f"| {one.strategy} | {one.samples} | {_percent(one.accuracy, one.low, one.high)} | {one.flops:.3g} "
            f"| {one.gpu_seconds:.3g} | {gain} |",
            file=out,
        )
    if curves:
        most = max(point.samples for point in curves)
        print(f"\nReplayed from {most} samples a problem (above {most // 2} subsets overlap):\n", file=out)
        print("| strategy | N | accuracy, % | FLOPs a query |\n| --- | --- | --- | --- |", file=out)
        for point in curves:
            shown = _percent(point.accuracy, point.low, point.high)
            print(f"| {point.strategy} | {point.samples} | {shown} | {point.flops:.3g} |", file=out)
    print(file=out)
    return out.getvalue()


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies", description=__doc__)
    parser.add_argument("--problems", type=int, default=500, help="how many of the 2,000 held-out problems (500)")
    parser.add_argument("--budgets", default="2,8,32", help="samples a problem (2,8,32)")
    parser.add_argument("--replay", type=int, default=128, help="samples a problem to replay from; 0: none (128)")
    parser.add_argument("--folder", type=Path, default=Path("build/strategies"), help="where the jobs are kept")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{(options.folder / 'results.db').resolve()}"
    database = Database(url)
    upgrade(database)
    wanted = runs([int(part) for part in options.budgets.split(",")])
    last = [Run(REFERENCE, options.replay)] if options.replay else []
    jobs = answer(url, [*wanted, *last], options.problems)
    curves = replayed.curves(database, jobs.pop(last[0].name)[1]) if last else []
    write(list(results(database, jobs)), curves, options.problems)
    print(f"written: {PAGE}, {PLOT}, {FIGURES}")


if __name__ == "__main__":
    main()
