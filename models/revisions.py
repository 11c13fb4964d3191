"""How revisions fare: how often the attempts at each position of a chain are right, and what a revision changes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection

from models import reports

Place = tuple[int, int]
"""A chain and the position in it."""


def by_position(connection: Connection, job_id: int, place_of: Callable[[str], Place | None]) -> list[dict[str, Any]]:
    """One row for each position that has graded attempts: `position` (0 is the first attempt), `attempts`, `right`,
    `pass_at_1`, and of the attempts revised there which were right before `right_before` and `right_to_wrong`, which
    were wrong `wrong_before` and `wrong_to_right`.

    `place_of` reads a candidate's path. Attempts of problems without a reference answer are left out.
    """
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for verdicts in _queries(connection, job_id, place_of):
        for (chain, position), right in verdicts.items():
            counts[position].update(attempts=1, right=int(right))
            before = verdicts.get((chain, position - 1))
            if before is not None:
                changed = "right_to_wrong" if before else "wrong_to_right"
                counts[position].update(
                    {"right_before" if before else "wrong_before": 1, changed: int(before != right)}
                )
    names = ("attempts", "right", "right_before", "right_to_wrong", "wrong_before", "wrong_to_right")
    return [
        {
            "position": position,
            "pass_at_1": counted["right"] / counted["attempts"],
            **{name: counted[name] for name in names},
        }
        for position, counted in sorted(counts.items())
    ]


def _queries(
    connection: Connection, job_id: int, place_of: Callable[[str], Place | None]
) -> Iterator[dict[Place, bool]]:
    """Whether each attempt was right, query by query."""
    _, last = reports.query_span(connection, job_id)
    after = (0, "")
    verdicts: dict[Place, bool] = {}
    while page := reports.candidate_page(connection, job_id, after, last):
        for row in page:
            if row["query_id"] != after[0]:
                yield verdicts
                verdicts = {}
            after = (row["query_id"], row["path"])
            place = place_of(row["path"])
            if place is not None and row["correct"] is not None:
                verdicts[place] = bool(row["correct"])
    yield verdicts
