"""`python -m benchmarks.compute_optimal`: what compute-optimal answering is worth on the tiny models, into docs/results.

A policy is calibrated on problems of one set and measured on those of another, for each mix. The jobs (one vote of many
samples and every search of `SEARCHES`, on both sets) go through the whole service and are kept in a folder of their own:
killed, the same command goes on. Everything else is replayed from them; the page, the plots and the figures behind them
are written at the end.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import comparison_page
from benchmarks.comparison import Comparison, compare
from benchmarks.studies import AGGREGATED, RESULTS, Run, Study, answer
from lab.problems import MIXES, problem_set
from models.database import Database, upgrade
from scheduler.outcomes import Recorded, read_outcomes

SETS = ("calibration", "held-out")
SEARCHES = (("beam_search", 2), ("beam_search", 8), ("rebase", 4), ("rebase", 8))
"""What cannot be replayed, with its width."""


def write_set(folder: Path, name: str, mix: str, problems: int) -> Path:
    """The problems of a set as `python -m lab problems` prints them."""
    path = folder / f"{name}-{mix}-{problems}.jsonl"
    rows = [
        {"id": f"{name}-{mix}-{number}", "prompt": one.text, "answer": str(one.answer), "level": one.level}
        for number, one in enumerate(problem_set(name, mix, problems))
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def record(database: Database, dataset: Path, problems: int, samples: int) -> list[Recorded]:
    """The outcomes on one set; what has not been run is run."""
    votes = Run("weighted_vote", samples, verifier="tiny-prm", parameters={"greedy_first": "true", **AGGREGATED})
    searches = [Run(strategy, width, verifier="tiny-prm", parameters=AGGREGATED) for strategy, width in SEARCHES]
    jobs = answer(
        database.url, Study(dataset.stem, dataset.stem, dataset, problems, [votes, *searches], votes.strategy)
    )
    ran = {number: jobs[run.name][1] for number, run in enumerate(searches)}
    return read_outcomes(database, jobs[votes.name][1], ran)


def study(database: Database, folder: Path, mix: str, problems: int, samples: int) -> Comparison:
    known, held_out = (record(database, write_set(folder, name, mix, problems), problems, samples) for name in SETS)
    print(f"{mix}: comparing ...", flush=True)
    return compare(known, held_out, SEARCHES)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compute_optimal", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/studies"), help="where the jobs are kept")
    parser.add_argument("--problems", type=int, default=400, help="in each set, at most 2,000 (400)")
    parser.add_argument("--samples", type=int, default=64, help="of each problem, the first of them greedy (64)")
    parser.add_argument("--mix", choices=[*MIXES, "both"], default="both", help="shares of the five levels (both)")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    database = Database(f"sqlite:///{(given.folder / 'compute-optimal.db').resolve()}")
    upgrade(database)
    mixes = list(MIXES) if given.mix == "both" else [given.mix]
    found = {mix: study(database, given.folder, mix, given.problems, given.samples) for mix in mixes}
    comparison_page.write(found, RESULTS)


if __name__ == "__main__":
    main()
