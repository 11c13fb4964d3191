"""`tts-jobs jobs`: what there is, newest last."""

from __future__ import annotations

import click

from cli import output
from models import reports, snapshots
from models.database import open_database

STATES = ["loading", "open", "paused", "done", "cancelled", "budget_exhausted"]
COLUMNS = [
    ("job", "right"), ("name", "left"), ("dataset", "left"), ("generator", "left"), ("strategy", "left"), ("state", "left"),
    ("done", "right"), ("failed", "right"), ("queries", "right"), ("priority", "right"), ("created (UTC)", "left"),
]  # fmt: skip


@click.command()
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only jobs in this state; may be repeated.")  # fmt: skip
@output.json_option
def jobs(states: tuple[str, ...], as_json: bool) -> None:
    """List the jobs, newest last.

    \b
    Example:
      tts-jobs jobs --state open --state paused
    """
    with open_database().reading() as connection:
        chosen = reports.job_ids(connection, states) if states else None
        rows = snapshots.summaries(connection, chosen)
    if as_json:
        output.print_json(rows)
        return
    if not rows:
        output.notes.print("no job in that state" if states else "no job yet; make one with `tts-jobs submit FILE`")
        return
    names = ("job_id", "name", "dataset", "generator", "strategy", "state", "done", "failed", "queries", "priority")
    cells = [[*(row[name] for name in names), f"{row['created_at']:%Y-%m-%d %H:%M}"] for row in rows]
    output.console.print(output.table(None, COLUMNS, cells))
