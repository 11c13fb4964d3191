"""`tts-jobs prune`: retention."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any, get_args

import click

from cli import output
from models import pruning, reports
from models.database import Database, open_database
from models.errors import UserError

COLUMNS = [
    ("job", "right"), ("name", "left"), ("state", "left"), ("ended (UTC)", "left"), ("queries", "right"),
    ("candidates", "right"), ("characters", "right"),
]  # fmt: skip


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@click.option("--older-than", type=click.IntRange(0), metavar="DAYS", help="Only jobs that ended longer ago than this.")
@click.option("--state", "states", multiple=True, type=click.Choice(pruning.ENDED), help="Only jobs in this state; may be repeated.")  # fmt: skip
@click.option("--keep", type=click.Choice(get_args(pruning.Keep)), default="answers", show_default=True, help="nothing: the whole job goes, with its ledger.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do it; otherwise it is only told what would be done.")
@output.json_option
def prune(
    jobs: tuple[str, ...], older_than: int | None, states: tuple[str, ...], keep: pruning.Keep, yes: bool, as_json: bool
) -> None:
    """Take away the texts of ended jobs' candidates, for all ended jobs that match. Open jobs are never touched.

    Answers, scores, costs and the ledger stay, so that reports remain as they are; other jobs can no longer reuse these
    candidates. With --keep nothing jobs go altogether, and datasets with the last job on them: the same command would
    then answer anew.

    \b
    Example:
      tts-jobs prune --older-than 30
      tts-jobs prune --older-than 365 --state cancelled --keep nothing --yes
    """
    if not (jobs or states or older_than is not None):
        raise UserError("prune: say which jobs, by number or name, --older-than DAYS or --state STATE")
    database = open_database()
    with database.reading() as connection:
        now = database.clock.now(connection)
        found = pruning.prunable(
            connection,
            ended_before=None if older_than is None else now - timedelta(days=older_than),
            states=states or pruning.ENDED,
            job_ids=[reports.find_job(connection, job) for job in jobs] if jobs else None,
        )
    if keep == "answers":
        found = [one for one in found if one.candidates]
    reopened = [one.job_id for one in found if not _prune(database, one.job_id, keep)] if yes else []
    _show(found, reopened, keep, yes, as_json)


def _prune(database: Database, job_id: int, keep: pruning.Keep) -> bool:
    try:
        pruning.prune(database, job_id, keep)
    except pruning.Reopened:
        return False
    return True


def _show(found: list[pruning.Prunable], reopened: list[int], keep: str, done: bool, as_json: bool) -> None:
    if as_json:
        rows: list[dict[str, Any]] = [{**asdict(one), "reopened": one.job_id in reopened} for one in found]
        output.print_json({"keep": keep, "done": done, "jobs": rows})
        return
    if not found:
        output.notes.print("no ended job that matches has anything to prune")
        return
    cells = [
        (one.job_id, one.name, one.state, f"{one.ended_at:%Y-%m-%d %H:%M}", one.queries, one.candidates, output.count(one.characters))
        for one in found
    ]  # fmt: skip
    output.console.print(output.table(None, COLUMNS, cells))
    what = "their texts" if keep == "answers" else "all of them"
    if not done:
        output.notes.print(f"nothing was changed; --yes takes away {what}")
        return
    output.notes.print(f"pruned: {what}")
    if reopened:
        output.notes.print(f"left as they are, because they were opened again: {', '.join(map(str, reopened))}")
