"""`tts-jobs report`: accuracy against cost, of many jobs in a table, of one or two in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from cli import output
from cli.exporters import write_results
from cli.page.options import file_options, write_files
from cli.report_account import account
from cli.report_groups import group_tables
from cli.report_table import job_table
from cli.sheets import Line, Sheet, as_markdown, print_blocks
from models import reports
from models.account import accounts
from models.breakdown import GROUPS
from models.database import Database, open_database
from models.errors import UserError
from models.pairs import UNITS, Pair, compare
from models.revisions import by_position
from strategies.sequential_revision import place_of


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@click.option("--by", type=click.Choice(list(GROUPS)), help="Break each job down by this.")
@click.option("--cost", "unit", type=click.Choice(list(UNITS)), default="flops", show_default=True, help="What two jobs' costs are compared in.")  # fmt: skip
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--markdown", "as_markdown_", is_flag=True, help="Print the tables as Markdown.")
@file_options
@output.json_option
def report(
    jobs: tuple[str, ...], by: str | None, unit: str, as_csv: bool, as_markdown_: bool, html: Path | None, png: Path | None,
    svg: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Accuracy with its 95 % interval against everything it cost: one row per job, or one or two named JOBs in full.

    Of the full account, docs/reports.md defines every figure. Several named JOBs are each compared with the first, on
    the problems that both have graded.

    In the table, tokens, FLOPs, GPU-seconds and dollars charge reused candidates at their original cost; FLOPs are
    canonical (as if each query ran alone); what an imported recording does not say is unknown. seq.: the longest chain of tokens each query waited for, summed. cut:
    completions that ran into a limit. unread: candidates without a readable answer. Accuracy is over the problems that
    have a reference answer; where some have none, a line says so, and how sure votes and verifier are of the answers. A
    named JOB of sequential revisions has a table of its own: how often the attempts at each position of a chain are
    right, and what revising them changed.

    CSV and JSON hold one row per job, with --by followed by one for each of its groups; `by` tells them apart.

    \b
    Example:
      tts-jobs report
      tts-jobs report last --by level
      tts-jobs report 1 2 --cost usd
      tts-jobs report --json | jq '.[].accuracy'
      tts-jobs report 1 2 3 --html report.html
    """
    if as_json + as_csv + as_markdown_ > 1:
        raise UserError("--json, --csv and --markdown exclude each other; give one of them")
    database = open_database()
    with database.reading() as connection:
        named = list(dict.fromkeys(reports.find_job(connection, job) for job in jobs))
    found = read_report(database, named or None, by, unit)
    if as_json:
        output.print_json(found.rows)
    elif as_csv:
        flat = ({name: value for name, value in row.items() if name != "positions"} for row in found.rows)
        write_results(flat, "-", "csv")
    elif not found.rows:
        output.console.print("there is no job yet; make one with `tts-jobs run FILE` or `tts-jobs submit FILE`")
    elif as_markdown_:
        click.echo(as_markdown(found.blocks(full=0 < len(named) <= 2)), nl=False)
    else:
        print_blocks(found.blocks(full=0 < len(named) <= 2))
    write_files(database, named or None, html=html, png=png, svg=svg)


def show_report(database: Database, job_ids: Sequence[int], *, as_json: bool) -> None:
    """The table of these jobs, as other commands end with it."""
    found = read_report(database, job_ids)
    if as_json:
        output.print_json(found.rows)
    else:
        print_blocks(job_table(found.rows))


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` as `--json` prints them; `pairs` compare each named job but the first with that one."""

    rows: list[dict[str, Any]]
    by: str | None = None
    pairs: list[Pair] = field(default_factory=list)

    def blocks(self, *, full: bool) -> Iterator[Line | Sheet]:
        """What is shown, `full` accounts or the table of jobs."""
        jobs = [row for row in self.rows if row.get("by") is None]
        said = [Line(pair.sentence, "bold") for pair in self.pairs]
        if full:
            yield from (*said, *[Line("")] * bool(said))
            yield from account(jobs)
        else:
            yield from job_table(jobs)
            yield from said
        if self.by:
            yield from group_tables([row for row in self.rows if row["by"] is not None], self.by)


def read_report(
    database: Database, job_ids: Sequence[int] | None, by: str | None = None, unit: str = "flops"
) -> Report:
    """Named jobs in full and compared in `unit`, or all of them (None), of which the view says all that the table shows."""
    with database.reading() as connection:
        if job_ids is None and by is None:
            return Report(reports.cost_accuracy(connection))
        if job_ids is None:
            everything = [row["job_id"] for row in reports.job_summaries(connection)]
            return Report(accounts(connection, everything, by), by)
        rows = accounts(connection, job_ids, by)
        pairs = [compare(connection, job_ids[0], other, unit) for other in job_ids[1:]]
        for row in rows:
            row["positions"] = None
            if row["strategy"] == "sequential_revision" and row["by"] is None:
                row["positions"] = by_position(connection, row["job_id"], place_of)
            row.update(_compared(next((pair for pair in pairs if pair.b == row["job_id"] and row["by"] is None), None)))
        return Report(rows, by, pairs)


def _compared(pair: Pair | None) -> dict[str, Any]:
    """A pair as columns of the second job's row."""
    columns = {
        "compared_with": "a", "shared_problems": "problems", "gain": "gain", "gain_low": "low", "gain_high": "high", "mcnemar_p": "p", "cost_unit": "unit",
        "cost_ratio": "cost_ratio", "comparison": "sentence",
    }  # fmt: skip
    return {column: getattr(pair, name) if pair else None for column, name in columns.items()}
