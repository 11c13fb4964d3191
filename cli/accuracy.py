"""How accuracy is said, and what is said in its place where reference answers are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli import output

Row = Mapping[str, Any]
"""A row of the view `job_summary` or `cost_accuracy`."""


def accuracy_so_far(row: Row) -> str:
    """Of a job at work, without an interval."""
    if row["done"] and not row["graded"]:
        return "accuracy unknown"
    return f"accuracy so far {output.percent(row['correct'] / row['graded'] if row['graded'] else None)}"


def interval(row: Row, note: str = "") -> str:
    """`50.0 % (9.5 to 90.5)` with Wilson's 95 % interval, or that it is unknown; `note` goes into the brackets."""
    if row["accuracy"] is None:
        return "unknown" if row["done"] else "-"
    low, high = 100 * row["accuracy_low"], 100 * row["accuracy_high"]
    return f"{output.percent(row['accuracy'])} ({low:.1f} to {high:.1f}{note})"


def coverage(row: Row) -> str | None:
    """What the accuracy covers, None where that is every problem that is done."""
    if row["graded"] == row["done"]:
        return None
    if not row["graded"]:
        return "unknown: no reference answers"
    return f"over the {row['graded']} of {row['done']} problems that have a reference answer"


def answers(row: Row) -> str:
    """What is known without a reference: how many were answered, how sure the votes and the verifier are."""
    said = [f"{row['answered']} of {row['done']} problems answered"]
    if row["answered"] < row["done"]:
        said.append(f"{row['done'] - row['answered']} without a readable answer")
    if row["vote_share"] is not None:
        said.append(f"mean vote share of the answer {output.percent(row['vote_share'])}")
    if row["score"] is not None:
        said.append(f"mean verifier score of the chosen solution {row['score']:.3f}")
    return ", ".join(said)
