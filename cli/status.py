"""`tts-jobs status`: how far a job is, and what stands in its way."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
from sqlalchemy import Connection

from cli import accuracy, output
from models import heartbeats, reports, snapshots
from models.budgets import format_budget
from models.database import Database, open_database
from models.statistics import wilson
from strategies import registry

STATES = ("pending", "queued", "running", "done", "failed", "cancelled")
STALLED_SECONDS = 300.0
"""A worker with queries in flight that completed none for this long is named."""
WORKER_COLUMNS = [
    ("worker", "left"), ("generator", "left"), ("engine", "left"), ("slots", "right"), ("in flight", "right"),
    ("completed", "right"), ("busy", "right"),
]  # fmt: skip


BIN_COLUMNS = [
    ("bin", "left"), ("queries", "right"), ("done", "right"), ("right", "right"), ("planned", "right"), ("samples", "right"),
    ("tokens", "right"),
]  # fmt: skip


@click.command()
@click.argument("job")
@output.json_option
def status(job: str, as_json: bool) -> None:
    """How far JOB (a number, a name or `last`) is, and what stands in its way.

    \b
    Example:
      tts-jobs status last
      tts-jobs status 3 --json | jq '.obstacles'
    """
    seen = read_status(open_database(), job)
    if as_json:
        output.print_json(seen)
        return
    _show(seen)


def read_status(database: Database, wanted: str) -> dict[str, Any]:
    """Everything there is to say about a job.

    Raises:
        UserError: no such job.
    """
    with database.reading() as connection:
        job_id = reports.find_job(connection, wanted)
        now = database.clock.now(connection)
        summary = snapshots.summaries(connection, [job_id])[0]
        health = reports.health(connection, job_id, now)
        failures = reports.failures(connection, job_id)
        processes = heartbeats.live_processes(connection, now)
        slots = heartbeats.live_slots(connection, now)
        bins = _bins(connection, job_id) if registry.outline(summary["strategy"]).scheduled else None
    graded = summary["graded"] or 0
    low, high = wilson(summary["correct"], graded) if graded else (None, None)
    seen = {
        **summary,
        "accuracy": summary["correct"] / graded if graded else None,
        "accuracy_low": low,
        "accuracy_high": high,
        **health,
        "failures": failures,
        "bins": bins,
        "scheduler": any(process.kind == "scheduler" for process in processes),
        "slots": slots.get(summary["lane"], 0),
        "workers": [_worker(process, now) for process in processes if process.kind == "worker"],
    }
    return {**seen, "obstacles": obstacles(seen, now)}


def _bins(connection: Connection, job_id: int) -> list[dict[str, Any]]:
    return snapshots.bins(connection, job_id, registry.sampling())


def _worker(process: Any, now: datetime) -> dict[str, Any]:
    held = process.busy_seconds + process.idle_seconds
    return {
        "id": process.id,
        "generator": process.generator,
        "engine": process.engine,
        "slots": process.slots,
        "in_flight": process.in_flight,
        "completed": process.completed,
        "busy_share": process.busy_seconds / held if held else None,
        "since_progress_seconds": (now - process.progress_at).total_seconds(),
    }


def obstacles(seen: dict[str, Any], now: datetime) -> list[str]:
    """One sentence for each thing that keeps the job from its end."""
    job_id, state, said = seen["job_id"], seen["state"], []
    left = seen["pending"] + seen["queued"] + seen["running"]
    if state == "loading":
        said.append("it is still being loaded: if its command was interrupted, repeat it")
    elif state == "paused":
        said.append(f"it is paused ({seen['reason']}): go on with `tts-jobs resume {job_id}`")
    elif state == "budget_exhausted":
        said.append(f"{seen['reason']}: allow more with `tts-jobs resume {job_id} --job-budget AMOUNT` or `--deadline`")
    elif state == "open" and left:
        if not seen["scheduler"]:
            said.append("no scheduler is running: start one with `tts-jobs scheduler`")
        if not seen["slots"]:
            generator = seen["generator"]
            said.append(
                f"no worker serves generator {generator} with this job's weights and settings: start one with "
                f"`tts-jobs worker --generator {generator}`"
            )
        if seen["deadline"] is not None and seen["deadline"] <= now:
            said.append("its deadline has passed: nothing more is started")
        said += [
            f"worker {worker['id']} has completed nothing for {output.duration(worker['since_progress_seconds'])}: see its log"
            for worker in seen["workers"]
            if worker["generator"] == seen["generator"] and worker["since_progress_seconds"] > STALLED_SECONDS
        ]
        if seen["retrying"]:
            said.append(f"{seen['retrying']} queries wait to be tried again after a passing error")
        if seen["suspects"]:
            said.append(f"{seen['suspects']} queries were in flight when a worker died: each is run alone now")
    if settled := sum(row["settled_by_budget"] for row in seen["bins"] or ()):
        said.append(
            f"{settled} answers could have had more: allow it with `tts-jobs resume {job_id} --job-budget AMOUNT`"
        )
    if seen["failed"] and state not in ("cancelled", "loading"):
        quarantined = f", {seen['quarantined']} of them quarantined" if seen["quarantined"] else ""
        said.append(f"{seen['failed']} queries failed{quarantined}: try them again with `tts-jobs retry {job_id}`")
    return said


def _show(seen: dict[str, Any]) -> None:
    output.console.print(f"[bold]job {seen['job_id']} {output.safe(seen['name'])}[/bold]: {seen['state']}")
    for heading, value in _facts(seen):
        output.console.print(f"  {heading:<10} {output.safe(value)}", soft_wrap=True)
    for sentence in seen["obstacles"]:
        output.console.print(f"  [yellow]![/yellow] {output.safe(sentence)}", soft_wrap=True)
    for failure in seen["failures"]:
        output.console.print(
            f"    {failure['queries']} x {output.safe(failure['error'] or 'no reason given')}", soft_wrap=True
        )
    if seen["bins"]:
        cells = [
            [
                "not yet" if row["bin"] is None else row["bin"] + 1, row["queries"], row["done"],
                f"{row['correct']}/{row['graded']}" if row["graded"] else None, row["planned"], row["samples"],
                output.count(row["tokens"]),
            ]
            for row in seen["bins"]
        ]  # fmt: skip
        output.console.print(output.table("by how hard they look, the easiest first", BIN_COLUMNS, cells))
    if seen["workers"] and seen["state"] in ("open", "paused"):
        rows = [
            [
                worker["id"], worker["generator"], worker["engine"], worker["slots"], worker["in_flight"],
                worker["completed"], output.percent(worker["busy_share"]),
            ]
            for worker in seen["workers"]
        ]  # fmt: skip
        output.console.print(output.table(None, WORKER_COLUMNS, rows))


def _facts(seen: dict[str, Any]) -> list[tuple[str, str]]:
    counts = ", ".join(f"{seen[state]} {state}" for state in STATES if seen[state])
    facts = [
        ("dataset", f"{seen['dataset']}, {seen['queries']} queries: {counts or 'none yet'}"),
        (
            "answered by",
            f"{seen['generator']}, {seen['strategy']}" + (f" / {seen['verifier']}" if seen["verifier"] else ""),
        ),
    ]
    if seen["imported_from"]:
        facts.append(("imported", f"from {seen['imported_from']}"))
    if seen["as_of"] is not None:
        facts.append(("sums", f"as of {seen['as_of']:%H:%M:%S} UTC: of so many queries they are added up now and then"))
    if seen["done"]:
        note = ", 95 %" + (", oracle" if seen["oracle"] else "")
        graded = f"{seen['correct']}/{seen['graded']} = {accuracy.interval(seen, note)}" if seen["graded"] else None
        facts.append(("accuracy", ", ".join(filter(None, (graded, accuracy.coverage(seen))))))
        facts.append(("answers", accuracy.answers(seen)))
    if seen["cap_unit"] is not None:
        unit = seen["cap_unit"]
        spent, reserved = (output.count(float(seen[name])) for name in ("spent", "reserved"))
        facts.append(("cap", f"{format_budget(seen['cap_amount'], unit)}: {spent} {unit} spent, {reserved} reserved"))
    if seen["deadline"] is not None:
        facts.append(("deadline", f"{seen['deadline']:%Y-%m-%d %H:%M:%S} UTC"))
    if seen["reason"]:
        facts.append(("reason", seen["reason"]))
    if seen["wasted_tokens"] or seen["lost_attempts"]:
        bound = "at least " if seen["wasted_at_least"] else ""
        facts.append(
            ("wasted", f"{bound}{output.count(seen['wasted_tokens'])} tokens, {seen['lost_attempts']} attempts lost")
        )
    return facts
