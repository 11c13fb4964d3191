"""`tts-jobs estimate`: what a job would cost, before it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy.engine import make_url

from cli import output
from cli.job_options import job_options, reader_of, request_of
from models.budgets import format_budget
from models.database import Database, check_version
from models.errors import UserError
from models.settings import settings

if TYPE_CHECKING:
    from models.specification import JobSpecification
    from scheduler.estimation import Cost, Estimate, Experience
    from scheduler.fields import Row
    from scheduler.readers import DatasetReader

COLUMNS = [
    ("", "left"), ("samples", "right"), ("tokens", "right"), ("FLOPs", "right"), ("GPU-s", "right"), ("cost", "right"),
]  # fmt: skip


@click.command()
@job_options
@output.json_option
def estimate(job: dict[str, Any], as_json: bool) -> None:
    """What FILE would cost under these options: a likely figure and a worst case. Nothing is submitted or stored.

    It takes every option of `submit`, so that the same line can be tried first; those that change no cost are ignored.

    The likely length of a completion is the mean of this model's earlier ones in the database, where there are any.
    FLOPs are canonical, as if each query ran alone; reuse of earlier candidates, which costs nothing, is not counted.

    \b
    Example:
      tts-jobs estimate gsm8k.jsonl --generator qwen-1.5b --strategy best_of_n --budget 16
    """
    from scheduler import estimation
    from scheduler.submission import specify

    database, reader = _database(), reader_of(job)
    request = request_of(job, reader, database)
    specification, models = specify(request)
    usable = _referenced(_usable(reader, job["skip_bad"]), specification)
    made = estimation.estimate(usable, specification, models.costs, _experience(database, specification))
    if not made.queries:
        raise UserError(f"{job['source']}: no usable row; correct the file")
    covered = _covered(made, request.job_budget)
    if as_json:
        output.print_json(_as_dict(made, specification, covered))
        return
    strategy = (
        f"{specification.strategy}, {format_budget(specification.budget_amount, specification.budget_unit)} per query"  # type: ignore[arg-type]
    )
    output.console.print(
        f"{made.queries:,} queries, {output.safe(specification.generator)}, {strategy}", soft_wrap=True
    )
    rows = [
        ["per query, likely", *_cells(made.likely.share(made.queries))],
        ["per query, worst", *_cells(made.worst.share(made.queries))],
        ["all, likely", *_cells(made.likely)],
        ["all, worst", *_cells(made.worst)],
    ]
    output.console.print(output.table(None, COLUMNS, rows))
    output.console.print(f"[dim]{made.basis()}[/dim]", soft_wrap=True)
    if covered is not None and covered < 1:
        share = output.percent(covered)
        output.console.print(
            f"[yellow]--job-budget {job['job_budget']} covers about {share} of the queries[/yellow]", soft_wrap=True
        )


def _usable(reader: DatasetReader, skip_bad: bool) -> Iterator[Row]:
    from scheduler.fields import BadRow

    for row in reader.rows():
        if not isinstance(row, BadRow):
            yield row
        elif not skip_bad:
            raise UserError(
                f"{reader.where(row.number)}: {row.reason}; correct it, or leave such rows out with --skip-bad"
            )


def _referenced(rows: Iterable[Row], specification: JobSpecification) -> Iterator[Row]:
    """The rows, once it is known at their end that none lacks what an oracle reads."""
    from scheduler.checks import check_references
    from scheduler.extensions import is_oracle

    total = referenced = 0
    for row in rows:
        total, referenced = total + 1, referenced + (row.answer is not None)
        yield row
    if is_oracle(specification.verifier):
        check_references(specification.verifier, total, referenced)


def _database() -> Database | None:
    """The database as it is; a SQLite file that is not there is not made, and an old one is not migrated."""
    url = make_url(settings().database) if "://" in settings().database else None
    if url is not None and url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return None
    database = Database(settings().database)
    check_version(database)
    return database


def _experience(database: Database | None, specification: JobSpecification) -> Experience | None:
    from scheduler.estimation import experience

    if database is None:
        return None
    with database.reading() as connection:
        return experience(connection, specification)


def _covered(made: Estimate, cap: tuple[float, str] | None) -> float | None:
    """The share of the queries that the cap is likely to cover; None without a cap."""
    if cap is None:
        return None
    name = "dollars" if cap[1] == "usd" else cap[1]
    needed = getattr(made.likely, name)
    return min(1.0, cap[0] / needed) if needed else None


def _as_dict(made: Estimate, specification: JobSpecification, covered: float | None) -> dict[str, Any]:
    learned = made.experience
    return {
        "queries": made.queries,
        "generator": specification.generator,
        "strategy": specification.strategy,
        "budget": {"amount": specification.budget_amount, "unit": specification.budget_unit},
        "per_query": {
            "likely": asdict(made.likely.share(made.queries)),
            "worst": asdict(made.worst.share(made.queries)),
        },
        "total": {"likely": asdict(made.likely), "worst": asdict(made.worst)},
        "generated_tokens_per_sample": made.generated_tokens,
        "learned_from_candidates": learned.candidates if learned else 0,
        "basis": made.basis(),
        "covered_by_job_budget": covered,
    }


def _cells(cost: Cost) -> list[str]:
    return [
        output.count(float(cost.samples)),
        output.count(float(cost.tokens)),
        output.count(cost.flops),
        "unknown" if cost.gpu_seconds is None else f"{cost.gpu_seconds:.1f}",
        "unknown" if cost.dollars is None else output.dollars(cost.dollars),
    ]
