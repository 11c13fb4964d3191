"""What is read of a job's answers, on both kinds of database."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models import answers, tables
from models.answers import SIGNS, Answers, describe, read_answers
from models.database import Database
from models.transitions import table
from tests.builders import Shelf, force, worker
from tests.recorded_samples import RIGHT, WRONG, Drawn, record

QUERY = table(tables.Query)


@pytest.fixture(autouse=True)
def someone(database: Database) -> None:
    worker(database)


def read(database: Database, shelf: Shelf) -> Answers:
    with database.reading() as connection:
        return read_answers(connection, shelf.job_id)


def signs(found: Answers, row: int = 0) -> dict[str, float]:
    return dict(zip(SIGNS, found.signs[row].tolist(), strict=True))


def test_the_signs_by_hand(database: Database) -> None:
    samples = [
        Drawn(0, True, (0.5,), 4), Drawn(0, True, (0.75,), 6), Drawn(1, False, (0.25,), 10), Drawn(-1, tokens=20),
    ]  # fmt: skip
    found = signs(read(database, record(database, [samples], strategy="weighted_vote")))
    assert found == pytest.approx(
        {
            "share": 3 / 5, "lead": 1 / 4, "unread": 1 / 4, "samples": math.log(5), "length": math.log(11),
            "score": 0.5, "score_share": 1.25 / 1.5,
        }
    )  # fmt: skip


def test_what_is_not_known_is_not_zero(database: Database) -> None:
    found = signs(read(database, record(database, [[RIGHT, WRONG]])))
    assert math.isnan(found["score"])
    assert math.isnan(found["score_share"])
    assert (found["share"], found["lead"]) == (2 / 4, 0)


def test_what_was_not_kept_is_told_by_the_query(database: Database) -> None:
    shelf = record(database, [[RIGHT]])
    force(database, QUERY, shelf.queries[0], votes=6, voters=8)
    found = signs(read(database, shelf))
    assert (found["share"], found["samples"]) == (7 / 10, pytest.approx(math.log(9)))


def test_references_confidence_and_pages(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = record(database, [[RIGHT], [WRONG], [], [RIGHT], [RIGHT]])
    force(database, QUERY, shelf.queries[0], confidence=0.75)
    force(database, QUERY, shelf.queries[3], correct=None)
    force(database, QUERY, shelf.queries[4], state="failed")
    found = read(database, shelf)
    assert found.query_id.tolist() == shelf.queries[:4]
    assert found.answered.tolist() == [True, True, False, True]
    assert np.array_equal(found.right, [1, 0, 0, np.nan], equal_nan=True)
    assert np.array_equal(found.confidence, [0.75, np.nan, np.nan, np.nan], equal_nan=True)
    assert len(set(found.problem.tolist())) == 4
    monkeypatch.setattr(answers, "PAGE", 1)
    again = read(database, shelf)
    assert np.array_equal(again.signs, found.signs, equal_nan=True)
    with database.reading() as connection:
        shown = describe(connection, shelf.queries[:1])[shelf.queries[0]]
    assert (shown["key"], shown["prompt"], shown["answer"], shown["correct"]) == ("k1", "1 + 1?", "0", True)
