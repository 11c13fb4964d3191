"""The full account of one or two jobs: what came out, and what all of it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cli import accuracy, output
from cli.report_table import ORACLE, failures, positions
from cli.sheets import Line, Sheet

Row = dict[str, Any]
"""A row of `models.account.accounts`."""
Show = Callable[[Any], str]

COSTS: Sequence[tuple[str, str, Show]] = (
    ("FLOPs, canonical", "flops_canonical", output.count),
    ("  by the verifier", "verifier_flops", output.count),
    ("FLOPs, executed by this job", "flops", output.count),
    ("tokens, one prompt a query", "total_tokens", output.count),
    ("  generated", "generated_tokens", output.count),
    ("    kept", "kept_tokens", output.count),
    ("    discarded", "discarded_tokens", output.count),
    ("    wasted", "wasted_tokens", output.count),
    ("    reused from other jobs", "reused_tokens", output.count),
    ("  read by the verifier", "scored_tokens", output.count),
    ("prompt tokens, as sent", "prompt_tokens", output.count),
    ("  cached", "cached_tokens", output.count),
    ("sequential tokens", "sequential_tokens", output.count),
    ("GPU-seconds", "gpu_seconds", output.seconds),
    ("  by the verifier", "verifier_gpu_seconds", output.seconds),
    ("  run by this job", "spent_gpu_seconds", output.seconds),
    ("idle GPU-seconds, its share", "idle_seconds", output.seconds),
    ("dollars", "dollars", output.dollars),
    ("  spent by this job", "spent_dollars", output.dollars),
)
"""What it is called, its column, and how it is shown; an indented part is left out where no job has any of it."""
SAME = {"kept_tokens": "generated_tokens", "spent_gpu_seconds": "gpu_seconds", "spent_dollars": "dollars"}
"""A part that says nothing where it is all of another column."""

WITH_WASTE = {
    *("flops", "total_tokens", "generated_tokens", "wasted_tokens", "scored_tokens", "prompt_tokens", "cached_tokens"),
    *("gpu_seconds", "verifier_gpu_seconds", "spent_gpu_seconds"),
}
"""What lost attempts add to: a lower bound where one of them did not live to tell."""


def account(rows: Sequence[Row]) -> Iterator[Line | Sheet]:
    """The account of one job, or of two side by side."""
    for row in rows:
        yield Line(_headline(row), "bold")
        if row["state"] != "done":
            reason = f" ({row['reason']})" if row["reason"] else ""
            yield Line(
                f"partial: it is {row['state']}{reason}, {row['done']} of {row['queries']} queries done", "yellow"
            )
        if row["done"]:
            yield Line(_accuracy(row))
        if row["graded"]:
            yield Line(row["selection"])
        yield from failures(row)
    if any(row["oracle"] for row in rows):
        yield ORACLE
    heads = [f"job {row['job_id']}" for row in rows]
    yield Sheet("what came out", [("", "left"), *((head, "right") for head in heads)], list(_outcome(rows)))
    costs = [("", "left"), *((name, "right") for head in heads for name in (head, "a query"))]
    yield Sheet("what it cost, reused samples at what they first cost", costs, list(_costs(rows)))
    for row in rows:
        yield from positions(row)


def _headline(row: Row) -> str:
    verifier = f" with {row['verifier']}" if row["verifier"] else ""
    oracle = " (oracle)" if row["oracle"] else ""
    return (
        f"job {row['job_id']}, {row['name']}: {row['strategy']}{oracle}, budget {row['budget']}, "
        f"{row['generator']}{verifier} on {row['dataset']}"
    )


def _accuracy(row: Row) -> str:
    if (coverage := accuracy.coverage(row)) is not None:
        figure = f"{accuracy.interval(row)} " if row["graded"] else ""
        return f"accuracy {figure}{coverage}; {accuracy.answers(row)}"
    return f"accuracy {accuracy.interval(row)}: {row['correct']} of {row['graded']} right"


def _outcome(rows: Sequence[Row]) -> Iterator[list[str]]:
    sizes = {row["samples_each"] for row in rows if row["sampled"]}
    most = f"pass@{sizes.pop()}" if len(sizes) == 1 and None not in sizes else "pass@N"
    shown: Sequence[tuple[str, Show]] = (
        ("queries done", lambda row: f"{row['done']} of {row['queries']}"),
        ("accuracy (95 %, Wilson)", accuracy.interval),
        ("pass@1", lambda row: output.percent(row["pass_at_1"])),
        (most, lambda row: output.percent(row["pass_at_n"])),
        ("selection efficiency (95 %, bootstrap)", efficiency),
        ("completions cut short", lambda row: output.percent(row["truncated_rate"])),
        ("completions without a readable answer", lambda row: output.percent(row["unparsed_rate"])),
        ("latency p50, p90, p99 (s)", latency),
    )
    for name, show in shown:
        yield [name, *(show(row) for row in rows)]


def efficiency(row: Row) -> str:
    """`43 % (10 to 71)`, its interval `unknown` where too few problems tell; - where there is none."""
    if row["selection_efficiency"] is None:
        return "-"
    low, high = row["selection_low"], row["selection_high"]
    interval = "unknown" if low is None else f"{100 * low:.0f} to {100 * high:.0f}"
    return f"{100 * row['selection_efficiency']:.0f} % ({interval})"


def latency(row: Row) -> str:
    found = [row[f"latency_p{percent}"] for percent in (50, 90, 99)]
    return "-" if found[0] is None else ", ".join(f"{seconds:.1f}" for seconds in found)


def _costs(rows: Sequence[Row]) -> Iterator[list[str]]:
    rows = [{**row, "kept_tokens": _kept(row)} for row in rows]
    for name, column, show in COSTS:
        if name.startswith(" ") and all(_says_nothing(row, column) for row in rows):
            continue
        cells = []
        for row in rows:
            cells += [_total(row, column, show), _per_query(row, column, show)]
        yield [name, *cells]


def _kept(row: Row) -> int | None:
    parts = [row[name] for name in ("generated_tokens", "discarded_tokens", "wasted_tokens")]
    return None if None in parts else parts[0] - parts[1] - parts[2]


def _says_nothing(row: Row, column: str) -> bool:
    value = row[column]
    # What a lost attempt did not live to tell is something.
    untold = column == "wasted_tokens" and row["wasted_at_least"]
    return (value == 0 and not untold) or (column in SAME and value == row[SAME[column]])


def _total(row: Row, column: str, show: Show) -> str:
    value = row[column]
    if value is None:
        return "unknown"
    bound = row["dollars_at_least"] if "dollars" in column else row["wasted_at_least"] and column in WITH_WASTE
    return ("at least " if bound else "") + show(value)


def _per_query(row: Row, column: str, show: Show) -> str:
    value, done = row[column], row["done"]
    if value is None or not done:
        return "-"
    return output.count(value / done) if show is not output.dollars else show(value / done)
