"""A job's queries by strategy, bin, subject or level: what came out of each group, and what it cost a query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cli import accuracy, output
from cli.report_account import efficiency, latency
from cli.sheets import Sheet

OUTCOME = [
    ("done", "right"), ("accuracy (95 %)", "right"), ("pass@1", "right"), ("pass@N", "right"), ("selection", "right"),
    ("cut", "right"), ("unread", "right"), ("p50, p90, p99 (s)", "right"),
]  # fmt: skip
COST = [
    ("queries", "right"), ("FLOPs", "right"), ("a query", "right"), ("tokens", "right"), ("a query", "right"), ("GPU-s", "right"),
    ("a query", "right"), ("cost", "right"), ("a query", "right"),
]  # fmt: skip


def group_tables(rows: Sequence[dict[str, Any]], by: str) -> Iterator[Sheet]:
    """`rows` are those of `models.account.accounts` that are of a group, of one job or more."""
    several = len({row["job_id"] for row in rows}) > 1
    heads = [("job", "right")] * several + [(by, "left")]

    def names(row: dict[str, Any]) -> list[Any]:
        return [row["job_id"]] * several + [row["value"]]

    yield Sheet(f"what came out, by {by}", [*heads, *OUTCOME], [[*names(row), *_outcome(row)] for row in rows])
    yield Sheet(f"what it cost, by {by}", [*heads, *COST], [[*names(row), *_cost(row)] for row in rows])


def _outcome(row: dict[str, Any]) -> list[Any]:
    return [
        row["done"], accuracy.interval(row), output.percent(row["pass_at_1"]), output.percent(row["pass_at_n"]),
        efficiency(row), output.percent(row["truncated_rate"]), output.percent(row["unparsed_rate"]), latency(row),
    ]  # fmt: skip


def _cost(row: dict[str, Any]) -> list[Any]:
    shown = [row["queries"]]
    for total, mean in (
        ("flops_canonical", "mean_flops_canonical"),
        ("total_tokens", "mean_total_tokens"),
        ("gpu_seconds", "mean_gpu_seconds"),
    ):
        shown += [output.count(row[total]), None if row[mean] is None else output.count(row[mean])]
    bound = "at least " if row["dollars_at_least"] else ""
    mean = row["mean_dollars"]
    return [*shown, bound + output.dollars(row["dollars"]), None if mean is None else output.dollars(mean)]
