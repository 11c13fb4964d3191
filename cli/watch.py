"""`tts-jobs watch`: follow a job until it is no longer open."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from typing import Any

import click

from cli import output
from cli.progress import JobView, line
from models import reports
from models.database import open_database

LIVE = ("loading", "open")


@click.command()
@click.argument("job")
@click.option("--interval", type=click.FloatRange(0.05), default=1.0, show_default=True, help="Seconds between the lines of --json.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of the live view.")
def watch(job: str, interval: float, as_json: bool) -> None:
    """Follow JOB (a number, a name or `last`) until it is done, paused, cancelled or out of budget.

    The exit code is 0 if it is done and 1 otherwise. Leaving with Ctrl-C does not stop the job.

    \b
    Example:
      tts-jobs watch last && tts-jobs results last > answers.jsonl
      tts-jobs watch 3 --json --interval 10
    """
    database = open_database()
    with database.reading() as connection:
        view = JobView(database, reports.find_job(connection, job))
    try:
        seen = _print_lines(view, interval) if as_json else view.follow(_is_over)
    except KeyboardInterrupt:
        sys.exit(130)
    if not as_json:
        output.notes.print(output.safe(line(seen)), soft_wrap=True)
        _say_end(seen)
    sys.exit(0 if seen["state"] == "done" else 1)


def _is_over(seen: dict[str, Any]) -> bool:
    return seen["state"] not in LIVE


def _print_lines(view: JobView, interval: float) -> dict[str, Any]:
    while True:
        seen = view.read()
        sys.stdout.write(json.dumps(seen, default=_plain, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        if _is_over(seen):
            return seen
        time.sleep(interval)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _say_end(seen: dict[str, Any]) -> None:
    job_id = seen["job_id"]
    if seen["state"] == "done":
        output.notes.print(f"[dim]answers: tts-jobs results {job_id}   costs: tts-jobs report {job_id}[/dim]")
    else:
        reason = f": {output.safe(seen['reason'])}" if seen["reason"] else ""
        output.notes.print(f"[yellow]job {job_id} is {seen['state']}{reason}[/yellow]", soft_wrap=True)
