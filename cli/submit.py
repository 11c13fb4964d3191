"""`tts-jobs submit`: put a dataset on the queue."""

from __future__ import annotations

from typing import Any

import click

from cli import output
from cli.job_options import job_options, reader_of, request_of, say_what_was_ignored
from cli.loading import Loading
from cli.status import read_status
from models.database import open_database


@click.command()
@job_options
@output.json_option
def submit(job: dict[str, Any], as_json: bool) -> None:
    """Queue FILE for the workers and return at once.

    The same command finds the same job again, and continues a load that was interrupted.

    \b
    Example:
      tts-jobs submit gsm8k.jsonl --generator qwen-1.5b --strategy best_of_n --budget 16
      tts-jobs watch last
    """
    from scheduler.submission import submit as submit_job

    database, reader = open_database(), reader_of(job)
    with Loading(as_json) as loading:
        submitted = submit_job(
            database,
            reader,
            request_of(job, reader, database),
            skip_bad=job["skip_bad"],
            new=job["new"],
            progress=loading,
        )
    say_what_was_ignored(job, submitted)
    obstacles = read_status(database, str(submitted.job_id))["obstacles"]
    if as_json:
        output.print_json(
            {
                "job_id": submitted.job_id,
                "created": submitted.created,
                "state": submitted.state,
                "queries": submitted.query_count,
                "obstacles": obstacles,
            }
        )
        return
    if submitted.created:
        output.console.print(
            f"job {submitted.job_id}: {submitted.query_count:,} queries; follow it with `tts-jobs watch {submitted.job_id}`"
        )
    else:
        output.console.print(
            f"job {submitted.job_id} was submitted before and is {submitted.state}; --new makes another"
        )
    for obstacle in obstacles:
        output.notes.print(f"[yellow]{output.safe(obstacle)}[/yellow]", soft_wrap=True)
