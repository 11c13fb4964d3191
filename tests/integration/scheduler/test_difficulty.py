"""Difficulty that the database knows: earlier samples of the same problem by the same generator, and whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from models.database import Database
from models.errors import UserError
from models.transitions import Outcome
from models.wire import lane_of
from scheduler.checks import check_dataset
from scheduler.difficulty import Given, Recorded, Unknown, difficulty_of
from tests.builders import FAST, PROBLEM, add_dataset, add_job, candidate_row, claimed, commit, force, specification

LANE = lane_of(FAST.name, FAST.identity)


@pytest.fixture
def dataset(database: Database) -> tuple[int, list[int]]:
    with database.transaction() as connection:
        return add_dataset(connection, 2)


def answered(database: Database, dataset: tuple[int, list[int]], *candidates: dict[str, Any], lane: str = LANE) -> None:
    """A job that has left these candidates of the first problem."""
    shelf = add_job(database, dataset=(dataset[0], dataset[1][:1]), lane=lane)
    [got] = claimed(database, shelf)
    commit(database, Outcome(got, "done", candidates=list(candidates)))


def failures(database: Database, dataset: tuple[int, list[int]], oracle: bool = False) -> list[float]:
    with database.reading() as connection:
        found = Recorded(LANE, oracle).failures(connection, dataset[1])
    return [found[problem] for problem in dataset[1]]


def sample(path: int, correct: bool | None = None, answer: int = 0, **values: Any) -> dict[str, Any]:
    return candidate_row(str(path), correct=correct, answer_class=answer, **values)


def test_of_graded_samples_it_is_the_share_of_wrong_ones(database: Database, dataset: tuple[int, list[int]]) -> None:
    assert failures(database, dataset) == [0.5, 0.5]
    answered(database, dataset, *[sample(n, correct=n == 0) for n in range(3)])
    answered(database, dataset, sample(0, correct=True))
    assert failures(database, dataset) == [1 - 3 / 6, 0.5]
    assert failures(database, dataset, oracle=True) == [0.5, 0.5]
    answered(database, dataset, *[sample(n, correct=False) for n in range(4)])
    assert failures(database, dataset, oracle=True) == [0.75, 0.5]


def test_of_others_it_is_the_share_of_what_is_not_the_leading_answer(
    database: Database, dataset: tuple[int, list[int]]
) -> None:  # fmt: skip
    """Answers are numbered within a query: the class 0 of one is not that of another."""
    answered(database, dataset, *[sample(n, answer=min(n, 1)) for n in range(4)])
    answered(database, dataset, sample(0, answer=0), sample(1, answer=-1), sample(2, answer=-1))
    assert failures(database, dataset)[0] == pytest.approx(1 - (3 + 1 + 1) / (7 + 2))


def test_what_is_no_sample_of_this_generator_says_nothing(database: Database, dataset: tuple[int, list[int]]) -> None:
    strange: list[dict[str, Any]] = [
        {"reused_from": 7}, {"path": "s0"}, {"path": "r0.1"}, {"path": "f0"}, {"path": "t0"}, {"parent": "s0"},
        {"finish_reason": "clipped"},
    ]  # fmt: skip
    answered(database, dataset, *[sample(n, correct=True) | one for n, one in enumerate(strange)])
    answered(database, dataset, sample(0, correct=True), lane="another")
    assert failures(database, dataset) == [0.5, 0.5]


def test_where_a_job_has_its_difficulty_from(database: Database, dataset: tuple[int, list[int]]) -> None:
    for problem, level in zip(dataset[1], ("1", "2"), strict=True):
        force(database, PROBLEM, problem, level=level)
    kinds = {"probe": None, "none": Unknown(), "given": Given({"1": 0.25, "2": 0.75}), "prior": Recorded(LANE, False)}
    with database.reading() as connection:
        for name, wanted in {**kinds, "oracle": Recorded(LANE, True)}.items():
            assert difficulty_of(connection, specification(difficulty=name), dataset[0]) == wanted
        assert Unknown().failures(connection, dataset[1]) == dict.fromkeys(dataset[1], 0.5)
        assert Given({"1": 0.25, "2": 0.75}).failures(connection, dataset[1]) == dict(
            zip(dataset[1], (0.25, 0.75), strict=True)
        )


def test_a_difficulty_that_is_not_there_is_a_sentence(database: Database, dataset: tuple[int, list[int]]) -> None:
    force(database, PROBLEM, dataset[1][0], level="1")
    answered(database, dataset, sample(0, correct=True), sample(1))
    for name, message in (
        ("given", r"--difficulty given: 1 of 2 problems have no level; name its column with --field level=COLUMN"),
        (
            "oracle",
            r"--difficulty oracle: no sample of fast has been graded of 1 of 2 problems; run a job of majority_vote",
        ),
    ):
        with database.reading() as connection, pytest.raises(UserError, match=message):
            check_dataset(connection, specification(difficulty=name), dataset[0])
    force(database, PROBLEM, dataset[1][1], level="2")
    with database.reading() as connection:
        check_dataset(connection, specification(difficulty="given"), dataset[0])
        check_dataset(connection, specification(difficulty="prior"), dataset[0])
