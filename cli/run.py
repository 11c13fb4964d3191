"""`tts-jobs run`: scheduler and worker inside this one process, on a SQLite file."""

from __future__ import annotations

import sys
from typing import Any

import click

from cli import output
from cli.embedded import embedded
from cli.job_options import job_options, reader_of, request_of, say_what_was_ignored
from cli.loading import Loading
from cli.progress import JobView
from cli.report import show_report
from models import transitions
from models.database import Database, open_database
from models.errors import UserError


@click.command()
@job_options
@click.option("--quiet", "-q", is_flag=True, help="No live view.")
@output.json_option
def run(job: dict[str, Any], as_json: bool, quiet: bool) -> None:
    """Answer FILE here and now: no server, no GPU, no other process.

    Kill it whenever you like; the same command goes on where it was. The results are in one SQLite file.

    \b
    Example:
      tts-jobs run problems.jsonl --strategy best_of_n --budget 4 --template gsm8k-steps
    """
    from scheduler.submission import submit

    database = open_database()
    reader = reader_of(job)
    with Loading(quiet) as loading:
        submitted = submit(
            database,
            reader,
            request_of(job, reader, database),
            skip_bad=job["skip_bad"],
            new=job["new"],
            progress=loading,
        )
    say_what_was_ignored(job, submitted)
    if submitted.state not in ("done", "cancelled"):
        _reopen(database, submitted.job_id, submitted.state)
        _work(database, job["generator"], submitted.job_id, quiet)
    state = _state(database, submitted.job_id)
    show_report(database, [submitted.job_id], as_json=as_json)
    if not as_json:
        output.notes.print(
            f"[dim]results: {output.safe(database.label)}   answers: tts-jobs results {submitted.job_id}[/dim]"
        )
    if state["state"] == "cancelled":
        raise UserError(f"job {submitted.job_id} was cancelled; use --new for a fresh one")
    if state["state"] != "done":
        output.notes.print(
            f"[yellow]job {submitted.job_id} is {state['state']}: {output.safe(state['reason'] or '')}[/yellow]"
        )
        sys.exit(1)


def _reopen(database: Database, job_id: int, state: str) -> None:
    if state in ("paused", "budget_exhausted"):
        with database.transaction() as connection:
            transitions.resume_job(connection, job_id, database.clock.now(connection))


def _work(database: Database, generator: str, job_id: int, quiet: bool) -> None:
    with embedded(database, generator) as stopping:
        JobView(database, job_id).follow(lambda seen: stopping.is_set() or seen["state"] != "open", quiet=quiet)
    if stopping.is_set():
        output.notes.print("interrupted; run the same command to go on")
        sys.exit(130)


def _state(database: Database, job_id: int) -> dict[str, Any]:
    from models.reports import job_summaries

    with database.reading() as connection:
        return job_summaries(connection, [job_id])[0]
