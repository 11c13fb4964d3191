"""`python -m benchmarks.studies NAME`: accuracy against everything that was charged, job by job, into docs/results.

`strategies`: every strategy on the tiny models at several budgets, on held-out problems. `verifiers`: a generator's own
confidence and its own judgement on word problems. Jobs go through the whole service and are kept in a folder of their
own: killed, the same command goes on. The table, the plot and the figures behind them are written at the end.
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

from benchmarks.tables import write_between
from cli import plot
from models import curves as replays
from models import reports
from models.database import Database, upgrade
from models.statistics import paired_bootstrap
from scheduler.tiny import PROBLEMS
from strategies import registry

RESULTS = Path(__file__).parents[1] / "docs" / "results"
TTS_JOBS = str(Path(sys.executable).with_name("tts-jobs"))


@dataclass(frozen=True, slots=True)
class Run:
    """One job."""

    strategy: str
    samples: int
    generator: str = "tiny"
    verifier: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Without the verifier that a whole study uses."""
        named = [self.generator] if self.generator == "tiny-large" else []
        named += [self.verifier] if self.verifier not in (None, "tiny-prm") else []
        return ", ".join([self.strategy, *named])

    @property
    def name(self) -> str:
        return f"{self.label} {self.samples}"

    @property
    def options(self) -> list[str]:
        """Those of `tts-jobs run`."""
        found = ["-g", self.generator, "-s", self.strategy, "-b", str(self.samples), "--name", self.name]
        found += ["-v", self.verifier] if self.verifier else []
        return found + [part for name, value in self.parameters.items() for part in ("--param", f"{name}={value}")]


@dataclass(frozen=True, slots=True)
class Study:
    """`reference`: the strategy that every other one is compared with at its budget, problem by problem; `replayed`: the
    job whose candidates tell what fewer samples would have answered."""

    name: str
    title: str
    dataset: Path
    problems: int
    runs: list[Run]
    reference: str
    options: tuple[str, ...] = ()
    replayed: Run | None = None


class Point(NamedTuple):
    """Mean accuracy over problems with its 95 % interval, and mean canonical FLOPs, of so many of the stored samples."""

    strategy: str
    samples: int
    accuracy: float
    low: float
    high: float
    flops: float


AGGREGATED = {"aggregation": "min"}
"""How `tiny-prm` is asked, as was chosen on the development problems (docs/tiny-models.md)."""

REPLAYED = {
    ("majority_vote", None): "majority_vote",
    ("weighted_vote", AGGREGATED["aggregation"]): "weighted_vote",
    ("best_of_n", AGGREGATED["aggregation"]): "best_of_n",
    ("pass@k", None): "pass@N (an oracle chooses)",
}
"""What is told of the replayed job, by strategy and aggregation, and how it is called."""


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


def strategies(problems: int, budgets: Sequence[int], replay: int, page: str) -> Study:
    """The cheapest first: what sampling strategies drew is reused by the dearer ones."""
    found = [Run("greedy", 1)]
    for samples in budgets:
        for name, entry in registry.STRATEGIES.items():
            if name not in ("greedy", "budget_forcing") and not entry.scheduled:  # tiny does not think
                given = PARAMETERS[name](samples) if name in PARAMETERS else {}
                given |= AGGREGATED if "aggregation" in entry.make.model_fields else {}
                judged = entry.needs_verifier or entry.may_verify
                found.append(Run(name, samples, verifier="tiny-prm" if judged else None, parameters=given))
    found.append(Run("greedy", 1, "tiny-large"))
    last = Run("weighted_vote", replay, verifier="tiny-prm", parameters=AGGREGATED) if replay else None
    title = f"tiny with tiny-prm, {problems} held-out problems, uniform over the five levels"
    return Study(page, title, PROBLEMS, problems, found, "weighted_vote", replayed=last)


PARAMETERS: dict[str, Callable[[int], dict[str, Any]]] = {
    # Half of them are waited for: with the first one alone, longer solutions would never be heard.
    "first_finish": lambda samples: {"finishers": max(1, samples // 2)},
    "sequential_revision": lambda samples: {"length": min(4, samples)},
    # At k = 3, fewer than four samples hold no branch at all.
    "lookahead": lambda samples: {"lookahead": min(3, samples - 1)},
}


def verifiers(dataset: Path, problems: int, generator: str, samples: int) -> Study:
    judged = [
        Run(strategy, samples, generator, verifier)
        for verifier in ("mean_logprob", "judge")
        for strategy in ("best_of_n", "weighted_vote")
    ]
    found = [Run("greedy", 1, generator), Run("majority_vote", samples, generator), *judged]
    return Study(
        "verifiers", f"{generator} on {problems} problems of {dataset.stem}", dataset, problems, found, "majority_vote"
    )


def answer(url: str, study: Study) -> dict[str, tuple[Run, int]]:
    """Run what has not been run: the jobs by name."""
    jobs: dict[str, tuple[Run, int]] = {}
    for run in [*study.runs, *([study.replayed] if study.replayed else [])]:
        read = ["run", str(study.dataset), "--limit", str(study.problems), "--quiet", "--json", *study.options]
        print(f"{run.name} ...", flush=True)
        environment = {**os.environ, "TTS_DATABASE_URL": url}
        done = subprocess.run([TTS_JOBS, *read, *run.options], env=environment, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            sys.exit(f"{run.name} ended with {done.returncode}; run the same command again to go on")
        (row,) = json.loads(done.stdout)
        jobs[run.name] = (run, row["job_id"])
    return jobs


def results(database: Database, jobs: dict[str, tuple[Run, int]], reference_strategy: str) -> Iterator[Result]:
    with database.reading() as connection:
        rows = {row["job_id"]: row for row in reports.cost_accuracy(connection, [job for _, job in jobs.values()])}
        right = {job: reports.correctness(connection, job) for _, job in jobs.values()}
    for run, job in jobs.values():
        row = rows[job]
        _, reference = jobs.get(f"{reference_strategy} {run.samples}", (None, job))
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


def replayed(database: Database, job: int) -> list[Point]:
    """At every power of two, from a job of `weighted_vote`."""
    with database.reading() as connection:
        found = replays.replayed_curves(connection, job)
    return sorted(
        Point(name, *(point[field] for field in ("n", "accuracy", "low", "high", "flops")))
        for curve in found
        if (name := REPLAYED.get((curve["strategy"], curve["aggregation"]))) is not None
        for point in curve["points"]
        if point["n"].bit_count() == 1
    )


def write(study: Study, found: Sequence[Result], curves: Sequence[Point]) -> None:
    """The page's table, the plot and the CSV; what people wrote around the table stays."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    page, picture, figures = (RESULTS / f"{study.name}.{suffix}" for suffix in ("md", "png", "csv"))
    with figures.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["strategy", "samples", "source", "accuracy", "low", "high", "flops", "gpu_seconds"])
        for one in found:
            rows.writerow([one.strategy, one.samples, "run", *_rounded(*one[2:7])])
        for point in curves:
            rows.writerow([point.strategy, point.samples, "replay", *_rounded(*point[2:]), ""])
    write_between(page, study.name.capitalize(), "benchmarks.studies", _table(study, found, curves))
    lines: plot.Curves = {}
    ordered = sorted(found, key=lambda one: (one.strategy, one.samples))
    for strategy, group in groupby(ordered, key=lambda one: one.strategy):
        lines[strategy] = [plot.Point(one.flops, one.accuracy, one.low, one.high) for one in group]
    plot.as_png(lines, picture, study.title)
    print(f"written: {page}, {picture}, {figures}")


def _rounded(*values: float) -> list[str]:
    return [f"{value:.4g}" for value in values]


def _table(study: Study, found: Sequence[Result], curves: Sequence[Point]) -> str:
    out = io.StringIO()
    print(f"\n{study.title[0].upper()}{study.title[1:]}. Intervals are 95 %.\n", file=out)
    print(f"| strategy | N | accuracy, % | FLOPs a query | GPU-s a query | points over {study.reference} |", file=out)
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/studies"), help="where the jobs are kept")
    studies = parser.add_subparsers(dest="study", required=True)
    every = studies.add_parser("strategies")
    every.add_argument("--problems", type=int, default=500, help="how many of the 2,000 held-out problems (500)")
    every.add_argument("--budgets", default="2,8,32", help="samples a problem (2,8,32)")
    every.add_argument("--replay", type=int, default=128, help="samples a problem to replay from; 0: none (128)")
    every.add_argument("--page", default="strategies", help="what it is called in docs/results (strategies)")
    words = studies.add_parser("verifiers")
    words.add_argument("dataset", type=Path, help="word problems, such as SVAMP or GSM8K")
    words.add_argument("--problems", type=int, default=100, help="how many of them (100)")
    words.add_argument("--generator", default="smollm2", help="(smollm2)")
    words.add_argument("--samples", type=int, default=4, help="samples a problem (4)")
    given = parser.parse_args()
    if given.study == "strategies":
        budgets = [int(part) for part in given.budgets.split(",")]
        study = strategies(given.problems, budgets, given.replay, given.page)
    else:
        study = verifiers(given.dataset, given.problems, given.generator, given.samples)
    given.folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{(given.folder / f'{study.name}.db').resolve()}"
    database = Database(url)
    upgrade(database)
    jobs = answer(url, study)
    curves = replayed(database, jobs.pop(study.replayed.name)[1]) if study.replayed else []
    write(study, list(results(database, jobs, study.reference)), curves)


if __name__ == "__main__":
    main()
