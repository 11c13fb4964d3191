"""`python -m benchmarks.worked_example`: is it cheaper to ask a larger model once, or a smaller one with test-time compute?

The same held-out problems are answered in five ways: A, by a larger model greedily; B, by the small one with a majority
vote; C, with a beam search that a process reward model guides; D, with compute-optimal answering; and S, greedily, to
compare with. The jobs go through the whole service and are kept in a folder of their own: killed, the same command goes
on. The page, the plot and the figures behind them are written at the end, dollars by a file of example prices.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.studies import AGGREGATED, RESULTS, Run, Study, answer
from benchmarks.tables import write_between
from cli import decide_plot
from models import decisions
from models.aligned import Aligned, align_jobs, generator_size
from models.choices import cheapest_reaching
from models.database import Database, upgrade
from models.exchange import RATIOS, by_group, compare, exchange, match
from models.frontier import Frontier, frontier_of
from models.units import UNITS, written, written_between
from models.whatif import AS_BOOKED, Prices, dollars_by_job, models_used, read_prices
from scheduler.policies import save_policy
from scheduler.policy_file import read_policy_file
from scheduler.tiny import PROBLEMS

PRICES = Path(__file__).parents[1] / "examples" / "prices.toml"
TARGETS = (0.5, 0.55, 0.6)


@dataclass(frozen=True, slots=True)
class Method:
    """One way to answer; `letter` names it on the page."""

    letter: str
    said: str
    run: Run


def methods(budget: int) -> list[Method]:
    judged = "tiny-prm"
    return [
        Method("A", "the larger model, greedy", Run("greedy", 1, "tiny-large")),
        Method("B", "self-consistency of 16", Run("majority_vote", 16)),
        Method(
            "C",
            "beam search of 16 with the reward model",
            Run("beam_search", 16, verifier=judged, parameters=AGGREGATED),
        ),
        Method("D", f"compute-optimal, {budget} at most", Run("compute_optimal", budget, verifier=judged)),
        Method("S", "the small model, greedy", Run("greedy", 1)),
    ]


def run_all(database: Database, ways: Sequence[Method], problems: int, policy: str | None) -> list[int]:
    """Run what has not been run: the jobs' ids, in the order of `ways`. `policy` is for compute-optimal answering alone."""
    found: dict[str, int] = {}
    for way in ways:
        asked = ("--policy", policy) if policy is not None and way.run.strategy == "compute_optimal" else ()
        study = Study("worked-example", way.said, PROBLEMS, problems, [way.run], way.run.strategy, options=asked)
        found |= {name: job_id for name, (_, job_id) in answer(database.url, study).items()}
    return [found[way.run.name] for way in ways]


def write(database: Database, ways: Sequence[Method], job_ids: Sequence[int], prices_file: Path, policy: str) -> None:
    """`worked-example.md`, `.csv` and `.png`."""
    with database.reading() as connection:
        prices = read_prices(prices_file, models_used(connection))
        flops, tokens, seconds = (
            align_jobs(connection, job_ids, unit, AS_BOOKED) for unit in ("flops", "tokens", "gpu-seconds")
        )
        dollars = align_jobs(connection, job_ids, "usd", prices)
        sizes = [generator_size(connection, job_ids[place]) for place in (0, 1)]
        paid = dollars_by_job(connection, job_ids, prices)
    larger, smaller = sizes
    assert larger is not None
    assert smaller is not None
    RESULTS.mkdir(parents=True, exist_ok=True)
    units = (flops, tokens, seconds, dollars)
    by_unit = {part.unit: frontier_of(part) for part in units}
    page, figures, picture = (RESULTS / f"worked-example.{suffix}" for suffix in ("md", "csv", "png"))
    _figures(figures, ways, units, by_unit)
    decide_plot.draw(dollars, by_unit["usd"], [(picture, "png")])
    text = io.StringIO()
    print(_introduction(ways, flops, prices_file, prices, policy), file=text)
    print(_table(ways, units, by_unit, [paid[job_id] for job_id in job_ids]), file=text)
    print("## What is worth its cost\n", file=text)
    for part in (flops, dollars):
        for one in _worth(part, by_unit[part.unit]):
            print(_said(one), file=text)
    print("## The larger model or the smaller one\n", file=text)
    for one in _sizes(flops, dollars, larger / smaller):
        print(_said(one), file=text)
    print(_levels(flops, larger / smaller), file=text)
    write_between(page, "A worked example", "benchmarks.worked_example", text.getvalue())
    print(f"written: {page}, {figures}, {picture}")


def _introduction(ways: Sequence[Method], aligned: Aligned, file: Path, prices: Prices, policy: str) -> str:
    named = "; ".join(f"**{way.letter}** is job {run.job_id}" for way, run in zip(ways, aligned.runs, strict=True))
    costs = "; ".join(
        f"{model} {', '.join(f'{name} {value:g}' for name, value in price.model_dump(exclude_none=True).items())}"
        for model, price in prices.by_model.items()
    )
    return (
        f"\n{aligned.problems} of the {aligned.size} problems, those that all of them graded, uniform over the five levels. {named}. "
        f"D chooses by {policy}. Dollars are by the example prices of `{file.name}`, per million tokens: {costs}. Intervals are "
        "95 %: Wilson's of an accuracy, a paired bootstrap over problems of everything else.\n"
    )


def _table(
    ways: Sequence[Method], units: Sequence[Aligned], by_unit: dict[str, Frontier], paid: Sequence[float | None]
) -> str:
    head = ["", "method", "model", "accuracy, %", *(f"{UNITS[part.unit]} a query" for part in units), "dollars in all", "worth its dollars"]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    for place, way in enumerate(ways):
        standings = {
            unit: next(one for one in found.standings if one.place == place) for unit, found in by_unit.items()
        }
        own = standings["usd"]
        accuracy = f"{100 * own.accuracy.value:.1f} ({100 * (own.accuracy.low or 0):.1f} to {100 * (own.accuracy.high or 0):.1f})"
        spent = [written_between(*standings[part.unit].cost, part.unit) for part in units]
        worth = "on the frontier"
        if own.dominated is not None:
            surely = "" if own.dominated.significant else ", not significantly"
            worth = f"dominated by {ways[own.dominated.by].letter}{surely}"
        lines.append(
            f"| {' | '.join([way.letter, way.said, way.run.generator, accuracy, *spent, written(paid[place], 'usd'), worth])} |"
        )
    return "\n".join([*lines, ""])


def _worth(aligned: Aligned, frontier: Frontier) -> list[decisions.Decision]:
    found = [decisions.frontier_decision(aligned, frontier)]
    found += [decisions.step_decision(aligned, step) for step in frontier.steps]
    return found + [decisions.reach_decision(aligned, cheapest_reaching(aligned, target), target) for target in TARGETS]


def _sizes(flops: Aligned, dollars: Aligned, times: float) -> list[decisions.Decision]:
    small, large = flops.runs[1].generator, flops.runs[0].generator
    found = []
    for part in (flops, dollars):
        ours, theirs = part.curve(range(1, len(part.runs))), part.curve([0])
        found.append(decisions.comparison_decision(small, large, compare(ours, theirs), part.unit))
        found.append(decisions.match_decision(small, large, match(ours, theirs), part.unit))
    ours, theirs = flops.curve(range(1, len(flops.runs))), flops.curve([0])
    return found + [
        decisions.comparison_decision(small, large, exchange(ours, theirs, times, ratio), "flops", ratio=ratio)
        for ratio in RATIOS
    ]


def _levels(flops: Aligned, times: float) -> str:
    small, large = flops.runs[1].generator, flops.runs[0].generator
    lines = [
        "With pretraining counted in, by level (R: inference tokens for each token of pretraining):\n",
        f"| R | level | {small}, % | {large}, % | points (95 %) | better |\n| --- | --- | --- | --- | --- | --- |",
    ]
    for ratio in RATIOS:
        for level, problems in by_group(flops.groups or []).items():
            ours, theirs = flops.curve(range(1, len(flops.runs)), problems), flops.curve([0], problems)
            one = exchange(ours, theirs, times, ratio)
            better = {"small": small, "large": large, "undecided": "undecided"}[one.verdict]
            shown = ["not affordable", f"{100 * one.large.value:.1f}", "-"]
            if one.small is not None and one.gain is not None:
                low, high = (
                    "unbounded" if end is None else f"{100 * end:+.1f}" for end in (one.gain.low, one.gain.high)
                )
                gain = f"{100 * one.gain.value:+.1f} ({low} to {high})"
                shown = [f"{100 * one.small.value:.1f}", f"{100 * one.large.value:.1f}", gain]
            lines.append(f"| {ratio:g} | {level}, {len(problems)} problems | {' | '.join(shown)} | {better} |")
    return "\n".join([*lines, ""])


def _said(decision: decisions.Decision) -> str:
    return f"**{decision.question}** {decision.answer}\n"


def _figures(path: Path, ways: Sequence[Method], units: Sequence[Aligned], by_unit: dict[str, Frontier]) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(
            ["method", "model", "strategy", "unit", "cost", "cost_low", "cost_high", "accuracy", "low", "high"]
        )
        for part in units:
            for one in sorted(by_unit[part.unit].standings, key=lambda one: one.place):
                way = ways[one.place]
                named = [way.letter, way.run.generator, way.run.strategy, part.unit]
                rows.writerow([*named, *(f"{value:.4g}" for value in (*one.cost, *one.accuracy))])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worked_example", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/studies"), help="where the jobs are kept")
    parser.add_argument("--problems", type=int, default=1000, help="how many of the 2,000 held-out problems (1000)")
    parser.add_argument("--budget", type=int, default=16, help="samples a query of D at most (16)")
    parser.add_argument("--policy", type=Path, help="a calibrated policy as `tts-jobs policies export` writes it")
    parser.add_argument("--prices", type=Path, default=PRICES, help="a file of prices (examples/prices.toml)")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    database = Database(f"sqlite:///{(given.folder / 'worked-example.db').resolve()}")
    upgrade(database)
    policy, said = None, "the table that needs no calibration"
    if given.policy is not None:
        kept = read_policy_file(given.policy)
        with database.transaction() as connection:
            version = save_policy(connection, kept.name, kept.policy, kept.evidence, database.clock.now(connection))
        policy = f"{kept.name}@{version}"
        said = f"the calibrated policy {policy}"
    ways = methods(given.budget)
    write(database, ways, run_all(database, ways, given.problems, policy), given.prices, said)


if __name__ == "__main__":
    main()
