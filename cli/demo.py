"""`tts-jobs demo`: test-time scaling on this machine, with the tiny models on the problems that come with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click

from cli import output, plot
from cli.page.options import write_files
from cli.report import show_report
from cli.sample_counts import SampleCounts
from cli.series import answer_all
from models import reports
from models.database import Database, open_database
from models.errors import UserError
from models.settings import settings
from models.statistics import paired_bootstrap

GENERATOR, VERIFIER = "tiny", "tiny-prm"


@dataclass(frozen=True, slots=True)
class Plan:
    """One job of the demo."""

    strategy: str
    samples: int

    @property
    def name(self) -> str:
        return self.strategy if self.strategy == "greedy" else f"{self.strategy} {self.samples}"


@click.command()
@click.option("--problems", type=click.IntRange(1, 2000), default=100, show_default=True, help="How many of the 2,000.")
@click.option("--samples", type=SampleCounts(), default="1,4,16", show_default=True, help="Samples a problem.")
@click.option(
    "--png",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the plot goes, and the page beside it; TTS_HOME/demo.png.",
)
@click.option("--quiet", "-q", is_flag=True, help="No live view.")
@output.json_option
def demo(problems: int, samples: tuple[int, ...], png: Path | None, as_json: bool, quiet: bool) -> None:
    """Answer arithmetic problems with the tiny models, greedily, by majority vote and by a vote that tiny-prm weights,
    with more and more samples; then show what accuracy cost, here and as a page (`page:` says where).

    The problems are held out from the models' training and evenly of five levels. Kill it whenever you like; the same
    command goes on where it was.

    \b
    Example:
      tts-jobs demo
      tts-jobs demo --problems 2000 --samples 1,4,16,64
    """
    if png is not None and not png.parent.is_dir():
        raise UserError(f"--png {png}: there is no directory {png.parent}; make it first")
    database = open_database()
    plans = [Plan("greedy", 1)] + [
        Plan(name, n) for name in ("majority_vote", "weighted_vote") for n in samples if n > 1
    ]
    plans += [Plan("majority_vote", 1)] if 1 in samples else []
    # The smallest first: what it drew is reused by the next, as long as no other job draws the same beside it.
    plans.sort(key=lambda plan: plan.samples)
    job_ids = _answer(database, plans, problems, quiet)
    show_report(database, job_ids, as_json=as_json)
    if not as_json:
        _compare(database, plans, job_ids)
        picture = png or settings().home / "demo.png"
        _draw(database, plans, job_ids, picture)
        write_files(database, job_ids, html=picture.with_suffix(".html"))


def _answer(database: Database, plans: Sequence[Plan], problems: int, quiet: bool) -> list[int]:
    from scheduler.readers import open_dataset
    from scheduler.submission import Request
    from scheduler.tiny import PROBLEMS

    reader = open_dataset(str(PROBLEMS), None, preset=None, limit=problems, split="test")
    requests = [
        Request(
            generator=GENERATOR,
            strategy=plan.strategy,
            parameters={},
            budget=(float(plan.samples), "samples"),
            verifier=VERIFIER if plan.strategy == "weighted_vote" else None,
            name=f"demo {plan.name}",
        )
        for plan in plans
    ]
    return answer_all(database, reader, requests, quiet=quiet)


def _compare(database: Database, plans: Sequence[Plan], job_ids: Sequence[int]) -> None:
    """How much each job is better than greedy, and weighted than majority, on the same problems."""
    with database.reading() as connection:
        right = {plan: reports.correctness(connection, job_id) for plan, job_id in zip(plans, job_ids, strict=True)}
    most = max(plan.samples for plan in plans)
    greedy, majority, weighted = Plan("greedy", 1), Plan("majority_vote", most), Plan("weighted_vote", most)
    for better, than in ((majority, greedy), (weighted, greedy), (weighted, majority)):
        if right.get(better) and right.get(than):
            keys = sorted(right[better].keys() & right[than].keys())
            ours, theirs = ([float(right[plan][key]) for key in keys] for plan in (better, than))
            gain, low, high = (100 * value for value in paired_bootstrap(ours, theirs, seed=0))
            output.console.print(f"{better.name} - {than.name}: {gain:+.1f} points (95 %: {low:+.1f} to {high:+.1f})")


def _draw(database: Database, plans: Sequence[Plan], job_ids: Sequence[int], png: Path) -> None:
    if not plot.is_available():
        output.notes.print("for the plot: pip install 'tts-jobs\\[plot]', then run this again")
        return
    with database.reading() as connection:
        rows = {row["job_id"]: row for row in reports.cost_accuracy(connection, job_ids)}
    curves: plot.Curves = {}
    pairs = sorted(zip(plans, job_ids, strict=True), key=lambda pair: (pair[0].strategy, pair[0].samples))
    for strategy, group in groupby(pairs, key=lambda pair: pair[0].strategy):
        found = [rows[job_id] for _, job_id in group if rows[job_id]["accuracy"] is not None]
        curves[strategy] = [
            plot.Point(
                row["flops_canonical"] / row["queries"], row["accuracy"], row["accuracy_low"], row["accuracy_high"]
            )
            for row in found
        ]
    curves = {strategy: points for strategy, points in curves.items() if points}
    output.console.print(plot.in_terminal(curves, output.console.width), markup=False)
    try:
        plot.as_png(curves, png, f"{GENERATOR} with {VERIFIER} on {rows[job_ids[0]]['queries']} problems")
    except OSError as error:
        raise UserError(f"--png {png}: {error.strerror}; give a path that can be written") from None
    output.console.print(f"plot: {output.safe(str(png))}   every answer: {output.safe(database.label)}", soft_wrap=True)
