"""The report of many jobs: one row per job, and what has to be said beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cli import accuracy, output
from cli.sheets import Line, Sheet

COLUMNS = [
    ("job", "right"), ("dataset", "left"), ("model", "left"), ("strategy", "left"), ("budget", "right"), ("accuracy (95 %)", "right"), ("samples", "right"), ("reused", "right"), ("tokens", "right"),
    ("seq.", "right"), ("FLOPs", "right"), ("GPU-s", "right"), ("cost", "right"), ("cut", "right"), ("unread", "right"),
]  # fmt: skip
POSITIONS = [
    ("position", "right"), ("attempts", "right"), ("right", "right"), ("right to wrong", "right"), ("wrong to right", "right"),
]  # fmt: skip
ORACLE = Line("oracle: that strategy read the reference answers; for analysis only", "yellow")


def job_table(rows: Sequence[dict[str, Any]]) -> Iterator[Line | Sheet]:
    """The table and its notes; `rows` are of `models.reports.cost_accuracy` or `models.account.accounts`."""
    yield Sheet(None, COLUMNS, [_cells(row) for row in rows])
    for row in rows:
        if (coverage := accuracy.coverage(row)) is not None:
            yield Line(f"job {row['job_id']}: accuracy {coverage}; {accuracy.answers(row)}")
        yield from positions(row)
        yield from failures(row)
    if any(row["oracle"] for row in rows):
        yield ORACLE


def positions(row: dict[str, Any]) -> Iterator[Sheet]:
    if row.get("positions"):
        title = f"job {row['job_id']}: attempts by their position in a chain"
        yield Sheet(title, POSITIONS, [_position(one) for one in row["positions"]])


def failures(row: dict[str, Any]) -> Iterator[Line]:
    if row["failed"]:
        yield Line(
            f"job {row['job_id']}: {row['failed']} of {row['queries']} queries failed and are not in its accuracy; "
            f"`tts-jobs status {row['job_id']}` says why",
            "yellow",
        )


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

    def used(name: str) -> float | None:
        """NULL is unknown only where something was drawn."""
        value: float | None = row[name]
        return 0 if value is None and not row["samples"] else value

    return [
        row["job_id"],
        row["dataset"],
        row["generator"],
        strategy,
        row["budget"],
        accuracy.interval(row),
        row["samples"] or 0,
        row["reused_samples"] or 0,
        output.count(used("total_tokens")),
        output.count(used("sequential_tokens")),
        output.count(row["flops_canonical"]) if row["samples"] else "-",
        output.seconds(used("gpu_seconds")),
        output.dollars(row["dollars"]),
        output.percent(row["truncated_rate"]),
        output.percent(row["unparsed_rate"]),
    ]
