"""`tts-jobs results`: a job's answers as a stream of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from cli import output
from cli.exporters import Format, write_results
from models import reports
from models.database import Database, open_database
from models.errors import UserError


@click.command()
@click.argument("job")
@click.option("--format", "format_", type=click.Choice(["jsonl", "csv", "parquet"]), default="jsonl", show_default=True, help="How rows are written.")  # fmt: skip
@click.option("--output", "-o", "target", default="-", show_default="standard output", help="File to write, or - for standard output.")  # fmt: skip
@click.option("--candidates", is_flag=True, help="One row for each candidate instead of one for each query.")
@click.option("--json", "as_json", is_flag=True, help="Say in JSON what was written to --output.")
def results(job: str, format_: Format, target: str, candidates: bool, as_json: bool) -> None:
    """Write the answers of JOB (a number, a name or `last`), one row for each query, in the order of the dataset.

    A job that still runs gives what there is; `state` tells how far each query is. FLOPs are canonical, as if the
    query ran alone; null means unknown.

    \b
    Example:
      tts-jobs results last | jq -r 'select(.correct == false) | .key'
      tts-jobs results 3 --format parquet --output answers.parquet
      tts-jobs results 3 --candidates --output candidates.jsonl
    """
    if as_json and target == "-":
        raise UserError("--json: standard output carries the rows themselves; name a file with --output FILE")
    database = open_database()
    with database.reading() as connection:
        job_id = reports.find_job(connection, job)
    rows = candidate_rows(database, job_id) if candidates else query_rows(database, job_id)
    count = write_results(rows, target, format_)
    if as_json:
        output.print_json({"job_id": job_id, "rows": count, "format": format_, "output": target})
    elif target != "-":
        output.notes.print(f"{count:,} rows written to {output.safe(target)}", soft_wrap=True)


def query_rows(database: Database, job_id: int) -> Iterator[dict[str, Any]]:
    """A job's queries, read page by page so that memory does not grow with their number."""
    with database.reading() as connection:
        first, last = reports.query_span(connection, job_id)
    after = first - 1
    while True:
        with database.reading() as connection:
            page = reports.query_page(connection, job_id, after, last)
        for row in page:
            yield {name: value for name, value in row.items() if name not in ("id", "query_id")}
        if not page:
            return
        after = page[-1]["id"]


def candidate_rows(database: Database, job_id: int) -> Iterator[dict[str, Any]]:
    """A job's candidates by query and path, read page by page."""
    with database.reading() as connection:
        first, last = reports.query_span(connection, job_id)
    after = (first, "")
    while True:
        with database.reading() as connection:
            page = reports.candidate_page(connection, job_id, after, last)
        for row in page:
            yield {name: value for name, value in row.items() if name != "query_id"}
        if not page:
            return
        after = (page[-1]["query_id"], page[-1]["path"])
