"""`tts-jobs pause`, `resume`, `cancel` and `retry`: what a person may change about a job that exists."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import OperationalError

from cli import output
from models import reports, transitions
from models.budgets import parse_budget
from models.catalogue import job_costs
from models.database import open_database
from models.errors import UserError
from models.specification import JobSpecification
from models.transitions import JOB

NO_CAP = "none"
MOST_DEADLOCKS = 10
_CHANGEABLE = {"cap_amount": "cap", "deadline": "deadline", "priority": "priority"}


def _again_after_a_deadlock(command: Callable[..., None]) -> Callable[..., None]:
    """PostgreSQL ends one of two transactions that wait for each other; nothing was done, so do it again."""

    @functools.wraps(command)
    def wrapper(*arguments: Any, **options: Any) -> None:
        for _ in range(MOST_DEADLOCKS):
            try:
                return command(*arguments, **options)
            except OperationalError as error:
                if "deadlock" not in str(error.orig):
                    raise
        raise UserError("the database is too busy to change the job now; run the same command again")

    return wrapper


@click.command()
@click.argument("job")
@output.json_option
@_again_after_a_deadlock
def pause(job: str, as_json: bool) -> None:
    """Stop giving out the queries of JOB (a number, a name or `last`); those already running end.

    \b
    Example:
      tts-jobs pause last
    """
    database = open_database()
    with database.transaction() as connection:
        row = _find(connection, job)
        changed = transitions.pause_job(connection, row.id, "paused by the user")
        running = _count(connection, row.id, "running") if changed else 0
    if changed:
        ending = f"; {running} queries in flight will still end" if running else ""
        _say(row, "paused", f"is paused{ending}; go on with `tts-jobs resume {row.id}`", as_json, changed=True)
    elif row.state == "paused":
        _say(row, "paused", f"is paused already ({row.reason})", as_json, changed=False)
    else:
        raise UserError(f"job {row.id} is {row.state}, so it cannot be paused; {_ADVICE[row.state].format(row.id)}")


@click.command()
@click.argument("job")
@click.option("--job-budget", help="New cap for the whole job, such as 5usd, or none.")
@click.option("--deadline", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="New deadline (UTC).")
@click.option("--priority", type=click.IntRange(0, 9), help="New priority; 0 is the most urgent.")
@output.json_option
@_again_after_a_deadlock
def resume(job: str, job_budget: str | None, deadline: datetime | None, priority: int | None, as_json: bool) -> None:
    """Go on with JOB (a number, a name or `last`), with a new cap, deadline or priority where given.

    What is done stays done, but for answers of a compute_optimal job that could have had more, had its cap or deadline
    allowed: with a new one they go on. The options may also be used on a job that is open.

    \b
    Example:
      tts-jobs resume last --job-budget 10usd --priority 1
    """
    deadline = None if deadline is None else deadline.replace(tzinfo=UTC)
    database = open_database()
    with database.transaction() as connection:
        row = _find(connection, job)
        now = database.clock.now(connection)
        reopened = transitions.reopen_settled(connection, row.id, now) if job_budget or deadline else 0
        if row.state not in ("open", "paused", "budget_exhausted") and not reopened:
            raise UserError(f"job {row.id} is {row.state}, so it cannot go on; {_ADVICE[row.state].format(row.id)}")
        changes = _changes(connection, row, job_budget, deadline, priority, now)
        if changes:
            transitions.change_job(connection, row.id, **changes)
        opened = transitions.resume_job(connection, row.id, now) or row.state == "done"
    what = "is open again" if opened else "is open"
    what += f", {reopened} answers are looked at again" if reopened else ""
    changed = ", ".join(heading for column, heading in _CHANGEABLE.items() if column in changes)
    _say(row, "open", what + (f"; new {changed}" if changed else ""), as_json, changed=opened or bool(changes))


@click.command()
@click.argument("job")
@output.json_option
@_again_after_a_deadlock
def cancel(job: str, as_json: bool) -> None:
    """End JOB (a number, a name or `last`) now; what is running stops within seconds. Answers so far are kept.

    \b
    Example:
      tts-jobs cancel 3
    """
    database = open_database()
    with database.transaction() as connection:
        row = _find(connection, job)
        changed = transitions.cancel_job(connection, row.id, database.clock.now(connection))
    if changed:
        _say(row, "cancelled", f"is cancelled; its answers so far: `tts-jobs results {row.id}`", as_json, changed=True)
    elif row.state == "cancelled":
        _say(row, "cancelled", "is cancelled already", as_json, changed=False)
    else:
        raise UserError(
            f"job {row.id} is {row.state}, so there is nothing to cancel; {_ADVICE[row.state].format(row.id)}"
        )


@click.command()
@click.argument("job")
@output.json_option
@_again_after_a_deadlock
def retry(job: str, as_json: bool) -> None:
    """Try the failed queries of JOB (a number, a name or `last`) again; a job that had ended is opened.

    \b
    Example:
      tts-jobs retry last
    """
    database = open_database()
    with database.transaction() as connection:
        row = _find(connection, job)
        if row.state in ("loading", "cancelled"):
            raise UserError(
                f"job {row.id} is {row.state}, so nothing can be retried; {_ADVICE[row.state].format(row.id)}"
            )
        count = transitions.retry_failed(connection, row.id, database.clock.now(connection))
    if not count:
        raise UserError(f"job {row.id} is {row.state} and has no failed query, so there is nothing to retry")
    _say(row, "open", f"is open; {count} failed queries will be tried again", as_json, changed=True, retried=count)


_ADVICE = {
    "loading": "wait until it is loaded, repeat its command if that was interrupted, or use `tts-jobs cancel {0}`",
    "open": "see `tts-jobs status {0}`",
    "paused": "go on with `tts-jobs resume {0}`",
    "done": "read it with `tts-jobs results {0}`, or try its failed queries again with `tts-jobs retry {0}`",
    "cancelled": "submit its dataset again with --new",
    "budget_exhausted": "allow more with `tts-jobs resume {0} --job-budget AMOUNT`, or end it with `tts-jobs cancel {0}`",
}


def _find(connection: Connection, job: str) -> Row[Any]:
    """The job's row, locked until the end of the transaction; rows that refer to it can still be made."""
    job_id = reports.find_job(connection, job)
    return connection.execute(select(JOB).where(JOB.c.id == job_id).with_for_update(key_share=True)).one()


def _count(connection: Connection, job_id: int, state: str) -> int:
    count: int = reports.job_summaries(connection, [job_id])[0][state]
    return count


def _changes(
    connection: Connection,
    row: Row[Any],
    job_budget: str | None,
    deadline: datetime | None,
    priority: int | None,
    now: datetime,
) -> dict[str, Any]:
    """The columns to change.

    Raises:
        UserError: a value under which the job could not go on.
    """
    if row.state == "budget_exhausted" and job_budget is None and deadline is None:
        raise UserError(f"job {row.id} stopped because {row.reason}; allow more with --job-budget or --deadline")
    changes: dict[str, Any] = {}
    if deadline is not None:
        if deadline <= now:
            raise UserError(f"--deadline: {deadline:%Y-%m-%dT%H:%M:%S} UTC has passed; give a later one")
        changes["deadline"] = deadline
    elif row.deadline is not None and row.deadline <= now:
        raise UserError(
            f"job {row.id}: its deadline {row.deadline:%Y-%m-%dT%H:%M:%S} UTC has passed; give a later one with --deadline"
        )
    if priority is not None:
        changes["priority"] = priority
    if job_budget is not None:
        changes |= _cap(connection, row, job_budget)
    return changes


def _cap(connection: Connection, row: Row[Any], written: str) -> dict[str, Any]:
    amount, unit = (None, None) if written == NO_CAP else parse_budget(written, "--job-budget")
    spent = row.spent
    if unit != row.cap_unit:
        seen = reports.job_summaries(connection, [row.id])[0]
        in_flight = seen["queued"] + seen["running"]
        if in_flight:
            raise UserError(
                f"--job-budget: job {row.id} has {in_flight} queries in flight that reserve {row.cap_unit or 'nothing'}; "
                f"`tts-jobs pause {row.id}` and let them end before the unit changes"
            )
        spent = 0.0 if unit is None else reports.spent_in(connection, row.id, unit)
    if amount is not None and unit is not None:
        costs = job_costs(connection, JobSpecification(**row.specification))
        costs.amount(unit, 1, 1, first=True)  # a unit that cannot be computed must be a sentence now
        if amount <= spent:
            raise UserError(
                f"--job-budget: job {row.id} has spent {output.count(spent)} {unit} already; give more than that"
            )
    return {"cap_amount": amount, "cap_unit": unit, "spent": spent}


def _say(row: Row[Any], state: str, sentence: str, as_json: bool, *, changed: bool, **more: Any) -> None:
    if as_json:
        output.print_json({"job_id": row.id, "state": state, "changed": changed, **more})
    else:
        output.console.print(output.safe(f"job {row.id} {sentence}"), soft_wrap=True)
