"""`tts-jobs results`: a job's answers as a stream of rows."""

from __future__ import annotations

from collections import Counter
from typing import cast

import click

from cli import output
from cli.batch_output import batch_rows
from cli.exporters import Format, write_results
from cli.rows import CANDIDATE_TYPES, QUERY_TYPES, candidate_rows, query_rows, without_ids
from models import reports
from models.database import open_database
from models.errors import UserError


@click.command()
@click.argument("job")
@click.option("--format", "format_", type=click.Choice(["jsonl", "csv", "parquet", "openai-batch"]), default="jsonl", show_default=True, help="How rows are written.")  # fmt: skip
@click.option("--output", "-o", "target", default="-", show_default="standard output", help="File to write, or - for standard output.")  # fmt: skip
@click.option("--candidates", is_flag=True, help="One row for each candidate instead of one for each query.")
@click.option("--json", "as_json", is_flag=True, help="Say in JSON what was written to --output.")
def results(job: str, format_: str, target: str, candidates: bool, as_json: bool) -> None:
    """Write the answers of JOB (a number, a name or `last`), one row for each query, in the order of the dataset.

    A job that still runs gives what there is; `state` tells how far each query is. FLOPs are canonical, as if the
    query ran alone; null means unknown. openai-batch is the format of OpenAI's batch API: one chat completion for each
    query that has ended, the chosen solution first.

    \b
    Example:
      tts-jobs results last | jq -r 'select(.correct == false) | .key'
      tts-jobs results 3 --format parquet --output answers.parquet
      tts-jobs results 3 --candidates --format parquet --output candidates.parquet
      tts-jobs results 3 --format openai-batch --output batch_output.jsonl
    """
    if as_json and target == "-":
        raise UserError("--json: standard output carries the rows themselves; name a file with --output FILE")
    batch = format_ == "openai-batch"
    if batch and candidates:
        raise UserError(
            "--candidates: a line of openai-batch is a query with all of its solutions; leave the option out"
        )
    database = open_database()
    with database.reading() as connection:
        job_id = reports.find_job(connection, job)
    left_out: Counter[str] = Counter()
    if batch:
        count = write_results(batch_rows(database, job_id, left_out), target, "jsonl")
    else:
        rows = (candidate_rows if candidates else query_rows)(database, job_id)
        types = CANDIDATE_TYPES if candidates else QUERY_TYPES
        count = write_results(without_ids(rows), target, cast(Format, format_), types)
    if left_out:
        states = ", ".join(f"{number:,} {state}" for state, number in sorted(left_out.items()))
        output.notes.print(f"[yellow]left out, not ended yet: {states}[/yellow]", soft_wrap=True)
    if as_json:
        output.print_json({"job_id": job_id, "rows": count, "format": format_, "output": target})
    elif target != "-":
        output.notes.print(f"{count:,} rows written to {output.safe(target)}", soft_wrap=True)
