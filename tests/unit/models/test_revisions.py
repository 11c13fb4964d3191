"""How often attempts are right by their position, and what revising them changed."""

from __future__ import annotations

import pytest

from models.database import Database
from models.revisions import by_position
from models.transitions import Outcome
from strategies.sequential_revision import path_of, place_of
from tests.builders import add_job, candidate_row, claimed, commit


def chain(number: int, *verdicts: bool | None) -> list[dict[str, object]]:
    return [
        candidate_row(path_of(number, position), correct=correct)
        for position, correct in enumerate(verdicts)
        if correct is not None
    ]


def test_attempts_are_counted_by_position_and_by_what_came_before(database: Database) -> None:
    shelf = add_job(database, 3)
    first, second, third = claimed(database, shelf)
    commit(database, Outcome(first, "done", candidates=[*chain(0, True, False, True), *chain(1, False, True, True)]))
    # Ten chains: as text "10" and "r10.1" come before "2", and the positions of one chain are apart.
    wide = [row for number in range(11) for row in chain(number, False, number == 10)]
    commit(database, Outcome(second, "done", candidates=wide))
    commit(database, Outcome(third, "done", candidates=[candidate_row("greedy", correct=True), *chain(0, True)]))
    other = add_job(database)
    [apart] = claimed(database, other)
    commit(database, Outcome(apart, "done", candidates=chain(0, True, True)))
    with database.reading() as connection:
        found = by_position(connection, shelf.job_id, place_of)
    names = ("position", "attempts", "right", "right_before", "right_to_wrong", "wrong_before", "wrong_to_right")
    assert [tuple(row[name] for name in names) for row in found] == [
        (0, 14, 2, 0, 0, 0, 0),
        (1, 13, 2, 1, 1, 12, 2),
        (2, 2, 2, 1, 0, 1, 1),
    ]
    assert [row["pass_at_1"] for row in found] == pytest.approx([2 / 14, 2 / 13, 1.0])


def test_what_was_not_graded_is_left_out(database: Database) -> None:
    shelf = add_job(database, 2)
    first, second = claimed(database, shelf)
    commit(database, Outcome(first, "done", candidates=chain(0, True, None, False)))
    commit(database, Outcome(second, "done", candidates=[candidate_row("0"), candidate_row("r0.1")]))
    with database.reading() as connection:
        found = by_position(connection, shelf.job_id, place_of)
    assert [(row["position"], row["attempts"], row["right_before"], row["wrong_before"]) for row in found] == [
        (0, 1, 0, 0),
        (2, 1, 0, 0),
    ]
