"""`tts-jobs decide`: what to run, from what has been run. Nothing is generated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import output
from cli.decide_models import efficiency, exchange, scaling
from cli.decide_options import (
    aligned_of,
    cost_option,
    jobs_option,
    price_options,
    prices_of,
    seed_option,
    show,
    unit_of,
)
from models.database import open_database
from models.errors import UserError
from models.units import parse_amount, parse_share, written_between

COLUMNS = [
    ("job", "right"), ("model", "left"), ("strategy", "left"), ("budget", "right"), ("accuracy (95 %)", "right"), ("a query (95 %)", "right"), ("worth it", "left"),
]  # fmt: skip


@click.group()
def decide() -> None:
    """Decide what to run from what has been run: nothing is generated, and the database is only read.

    Accuracies and costs are compared on the problems that all jobs in question graded. Costs are FLOPs (canonical),
    tokens, GPU-seconds or dollars, reused samples at their original cost. --gpu-hour and --prices suppose other prices;
    models that a file of prices does not name keep what was booked. Intervals are 95 %: Wilson's of one accuracy, a
    paired bootstrap over problems of everything else.

    \b
    Example:
      tts-jobs decide frontier gsm8k --next 10usd --prices prices.toml
      tts-jobs decide reach gsm8k 60%
    """


@decide.command()
@click.argument("dataset")
@jobs_option
@click.option("--next", "amount", metavar="AMOUNT", help="What would so much more buy, such as 10usd or 2e15flops?")
@cost_option
@price_options
@seed_option
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Draw it into this file.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Likewise, as SVG.")
@output.json_option
def frontier(
    dataset: str,
    jobs: tuple[str, ...],
    amount: str | None,
    cost: str | None,
    hour: float | None,
    prices: Path | None,
    seed: int,
    png: Path | None,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Which jobs of DATASET (a name, a number or `last`) are worth their cost.

    A job is dominated by one that costs no more and is right no less often; significantly, where the intervals of both
    differences say so. Between neighbours on the frontier: what one more right answer costs. --next: how many more an
    amount would buy from each of them on the whole dataset, by mixing two jobs where that is best; nothing is
    extrapolated. Oracles and jobs at work are listed and left out unless named, jobs whose cost is unknown always.

    \b
    Example:
      tts-jobs decide frontier gsm8k --cost usd --next 10usd --png frontier.png
    """
    from models import decisions
    from models.frontier import frontier_of

    more, unit_asked = parse_amount(amount, "--next") if amount is not None else (None, None)
    with open_database().reading() as connection:
        supposed = prices_of(connection, hour, prices)
        unit = unit_of(cost or unit_asked, supposed)
        if unit_asked not in (None, unit):
            raise UserError(f"--next {amount}: cost is counted in {unit}; give the amount in {unit}, or another --cost")
        aligned = aligned_of(connection, dataset, jobs, unit, supposed)
    found = frontier_of(aligned, more, seed=seed)
    said = [decisions.frontier_decision(aligned, found)]
    said += [decisions.step_decision(aligned, step) for step in found.steps]
    if more is not None:
        said += [decisions.purchase_decision(aligned, bought, more) for bought in found.purchases]
    pictures = [(path, form) for path, form in ((png, "png"), (svg, "svg")) if path is not None]
    if pictures:
        from cli import decide_plot

        decide_plot.draw(aligned, found, pictures)
    if not as_json:
        rows = [_cells(decisions.standing(aligned, one), unit) for one in found.standings]
        output.console.print(output.table(None, COLUMNS, rows))
    show(aligned, said, as_json=as_json, frontier=decisions.frontier_rows(aligned, found))


def _cells(row: dict[str, Any], unit: str) -> list[Any]:
    accuracy, cost = row["accuracy"], row["cost"]
    shown = f"{output.percent(accuracy['value'])} ({100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f})"
    spent = written_between(cost["value"], cost["low"], cost["high"], unit)
    worth = "frontier" if row["envelope"] else "frontier, though mixing two others is better"
    if not row["frontier"]:
        worth = f"dominated by {row['dominated_by']}{'' if row['significant'] else ', not significantly'}"
    strategy = f"{row['strategy']}{' (oracle)' if row['oracle'] else ''}"
    return [row["job_id"], row["generator"], strategy, row["budget"], shown, spent, worth]


@decide.command()
@click.argument("dataset")
@click.argument("accuracy")
@jobs_option
@cost_option
@price_options
@seed_option
@output.json_option
def reach(
    dataset: str,
    accuracy: str,
    jobs: tuple[str, ...],
    cost: str | None,
    hour: float | None,
    prices: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """The cheapest job of DATASET that reaches ACCURACY (60% or 0.6): chosen on one half of the problems, confirmed on the
    other.

    \b
    Example:
      tts-jobs decide reach gsm8k 60% --cost usd
    """
    from models.choices import cheapest_reaching
    from models.decisions import reach_decision

    target = parse_share(accuracy, "ACCURACY")
    with open_database().reading() as connection:
        supposed = prices_of(connection, hour, prices)
        aligned = aligned_of(connection, dataset, jobs, unit_of(cost, supposed), supposed)
    show(aligned, [reach_decision(aligned, cheapest_reaching(aligned, target, seed=seed), target)], as_json=as_json)


@decide.command()
@click.argument("dataset")
@click.argument("amount")
@jobs_option
@price_options
@seed_option
@output.json_option
def spend(
    dataset: str,
    amount: str,
    jobs: tuple[str, ...],
    hour: float | None,
    prices: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """The most accurate job that answers all of DATASET for AMOUNT, such as 5usd, 2e15flops, 1000000tokens or
    3600gpu-seconds: chosen on one half of the problems, with what it brought and took on the other.

    \b
    Example:
      tts-jobs decide spend gsm8k 5usd --gpu-hour 2.5
    """
    from models.choices import best_within
    from models.decisions import spend_decision

    most, unit = parse_amount(amount, "AMOUNT")
    with open_database().reading() as connection:
        supposed = prices_of(connection, hour, prices)
        aligned = aligned_of(connection, dataset, jobs, unit_of(unit, supposed), supposed)
    show(aligned, [spend_decision(aligned, best_within(aligned, most, seed=seed), most)], as_json=as_json)


for command in (efficiency, scaling, exchange):
    decide.add_command(command)
