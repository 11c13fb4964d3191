"""`tts-jobs report`: accuracy against cost, one row per job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cli import accuracy, output
from cli.page.options import file_options, write_files
from models import reports
from models.database import Database, open_database
from models.revisions import by_position
from strategies.sequential_revision import place_of

COLUMNS = [
    ("job", "right"), ("dataset", "left"), ("model", "left"), ("strategy", "left"), ("budget", "right"), ("accuracy (95 %)", "right"), ("samples", "right"), ("reused", "right"), ("tokens", "right"),
    ("seq.", "right"), ("FLOPs", "right"), ("GPU-s", "right"), ("cost", "right"), ("cut", "right"), ("unread", "right"),
]  # fmt: skip
POSITIONS = [
    ("position", "right"), ("attempts", "right"), ("right", "right"), ("right to wrong", "right"), ("wrong to right", "right"),
]  # fmt: skip


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@file_options
@output.json_option
def report(jobs: tuple[str, ...], html: Path | None, png: Path | None, svg: Path | None, as_json: bool) -> None:
    """One row per JOB (all of them by default): accuracy with its 95 % interval, and everything it cost.

    Tokens, FLOPs, GPU-seconds and dollars charge reused candidates at their original cost; FLOPs are canonical (as
    if each query ran alone). seq.: the longest chain of tokens each query waited for, summed. cut: completions that
    ran into a limit. unread: candidates without a readable answer. Accuracy is over the problems that have a reference
    answer; where some have none, a line says so, and how sure votes and verifier are of the answers. A named JOB of
    sequential revisions has a table of its own: how often the attempts at each position of a chain are right, and what
    revising them changed.

    \b
    Example:
      tts-jobs report 1 2 3
      tts-jobs report --json | jq '.[].accuracy'
      tts-jobs report 1 2 3 --html report.html
    """
    database = open_database()
    with database.reading() as connection:
        chosen = [reports.find_job(connection, job) for job in jobs] or None
    show_report(database, chosen, as_json=as_json)
    write_files(database, chosen, html=html, png=png, svg=svg)


def show_report(database: Database, job_ids: Sequence[int] | None, *, as_json: bool) -> None:
    with database.reading() as connection:
        rows = reports.cost_accuracy(connection, job_ids)
        for row in rows if job_ids is not None else []:
            if row["strategy"] == "sequential_revision":
                row["positions"] = by_position(connection, row["job_id"], place_of)
    if as_json:
        output.print_json(rows)
        return
    if not rows:
        output.console.print("there is no job yet; make one with `tts-jobs run FILE` or `tts-jobs submit FILE`")
        return
    output.console.print(output.table(None, COLUMNS, [_cells(row) for row in rows]))
    for row in rows:
        if (coverage := accuracy.coverage(row)) is not None:
            said = f"job {row['job_id']}: accuracy {coverage}; {accuracy.answers(row)}"
            output.console.print(said, soft_wrap=True)
        if row.get("positions"):
            title = f"job {row['job_id']}: attempts by their position in a chain"
            output.console.print(output.table(title, POSITIONS, [_position(one) for one in row["positions"]]))
        if row["failed"]:
            output.console.print(
                f"[yellow]job {row['job_id']}: {row['failed']} of {row['queries']} queries failed and are not in its accuracy; "
                f"`tts-jobs status {row['job_id']}` says why[/yellow]"
            )
    if any(row["oracle"] for row in rows):
        output.console.print("[yellow]oracle: that strategy read the reference answers; for analysis only[/yellow]")


def _position(row: dict[str, Any]) -> list[Any]:
    changes = [
        f"{row[changed]} of {row[before]}" if row[before] else "-"
        for changed, before in (("right_to_wrong", "right_before"), ("wrong_to_right", "wrong_before"))
    ]
    return [row["position"], row["attempts"], output.percent(row["pass_at_1"]), *changes]


def _cells(row: dict[str, Any]) -> list[Any]:
    strategy = (
        row["strategy"]
        + (" (oracle)" if row["oracle"] else "")
        + ("" if row["state"] == "done" else f" [{row['state']}]")
    )
    return [
        row["job_id"],
        row["dataset"],
        row["generator"],
        strategy,
        row["budget"],
        accuracy.interval(row),
        row["samples"] or 0,
        row["reused_samples"] or 0,
        output.count(row["total_tokens"] or 0),
        output.count(row["sequential_tokens"] or 0),
        output.count(row["flops_canonical"]) if row["samples"] else "-",
        f"{row['gpu_seconds'] or 0:.1f}",
        output.dollars(row["dollars"]),
        output.percent(row["truncated_rate"]),
        output.percent(row["unparsed_rate"]),
    ]
