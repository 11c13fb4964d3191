"""What an attempt may reuse: whole originals, drawn in the same way for the same problem; its own before all."""

from __future__ import annotations

from typing import Any

import pytest

from models import transitions
from models.database import Database
from models.transitions import CANDIDATE, Outcome
from tests.builders import (
    ManualClock,
    Shelf,
    add_dataset,
    add_job,
    candidate_row,
    claim,
    claimed,
    commit,
    plan_row,
    ring,
    rows,
    specification,
)
from tests.stages import come_back, seen
from worker.work import Work, load_work


def work_of(database: Database, shelf: Shelf) -> Work:
    [got] = claimed(database, shelf)
    with database.reading() as connection:
        return load_work(connection, [got], {})[0]


@pytest.fixture
def dataset(database: Database) -> tuple[int, list[int]]:
    with database.transaction() as connection:
        return add_dataset(connection, 1)


def answered(database: Database, dataset: tuple[int, list[int]], *candidates: dict[str, Any], **job: Any) -> Shelf:
    """An earlier job that has left these candidates."""
    shelf = add_job(database, dataset=dataset, **job)
    [got] = claimed(database, shelf)
    commit(database, Outcome(got, "done", candidates=list(candidates)))
    return shelf


def test_candidates_of_another_job_are_reused(database: Database, dataset: tuple[int, list[int]]) -> None:
    answered(database, dataset, candidate_row("0", step_logprobs=[-0.5, -0.25]), candidate_row("1"), budget_amount=64)
    made = rows(database, CANDIDATE)
    work = work_of(database, add_job(database, dataset=dataset, strategy="best_of_n"))
    first, second = work.candidates
    assert (first.path, first.text, first.step_logprobs, first.usage.generated_tokens) == (
        "0",
        "text of 0",
        (-0.5, -0.25),
        5,
    )
    assert [first.reused_from, second.reused_from] == [row.id for row in made]
    assert work.own == frozenset()


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"sampling": {"temperature": 0.1}}, {"generator_identity": "other weights"}]
)
def test_what_was_drawn_otherwise_is_not_reused(
    database: Database, dataset: tuple[int, list[int]], change: dict[str, Any]
) -> None:  # fmt: skip
    other = specification().model_copy(update=change)
    answered(database, dataset, candidate_row("0"), sampling_key=other.sampling_key)
    assert work_of(database, add_job(database, dataset=dataset)).candidates == ()


def test_another_problem_gives_nothing(database: Database) -> None:
    with database.transaction() as connection:
        dataset_id, problems = add_dataset(connection, 2)
    answered(database, (dataset_id, problems[:1]), candidate_row("0"))
    assert work_of(database, add_job(database, dataset=(dataset_id, problems[1:]))).candidates == ()


def test_only_whole_candidates_are_reused(database: Database, dataset: tuple[int, list[int]]) -> None:
    answered(
        database,
        dataset,
        candidate_row("0", finish_reason="clipped"),
        candidate_row("1", finish_reason="cancelled"),
        candidate_row("2", finish_reason="length"),
        candidate_row("3", reused_from=77),
        candidate_row("4", parent="2"),
        candidate_row("5"),
    )
    found = {got.path: got.reused_from for got in work_of(database, add_job(database, dataset=dataset)).candidates}
    assert found.keys() == {"2", "3", "5"}
    assert found["3"] == 77


def test_revisions_and_segments_stay_with_their_query(database: Database, dataset: tuple[int, list[int]]) -> None:
    theirs = [candidate_row(path) for path in ("0", "r0.1", "f0")]
    answered(database, dataset, *theirs, strategy="sequential_revision")
    mine = add_job(database, dataset=dataset)
    assert [got.path for got in work_of(database, mine).candidates] == ["0"]
    again = add_job(database, dataset=dataset)
    [got] = claimed(database, again)
    commit(database, Outcome(got, "drained", candidates=[candidate_row("0"), candidate_row("r0.1")]))
    work = work_of(database, again)
    assert [(found.path, found.reused_from) for found in work.candidates] == [("0", None), ("r0.1", None)]


def test_own_candidates_come_first_and_are_not_replaced(
    database: Database, dataset: tuple[int, list[int]], clock: ManualClock
) -> None:  # fmt: skip
    answered(database, dataset, candidate_row("0", text="theirs"), candidate_row("1", text="theirs"))
    mine = add_job(database, dataset=dataset)
    [got] = claimed(database, mine)
    commit(
        database,
        Outcome(
            got, "drained", candidates=[candidate_row("1", text="mine"), candidate_row("2", text="mine", reused_from=3)]
        ),
    )
    work = work_of(database, mine)
    assert [(found.path, found.text) for found in work.candidates] == [("1", "mine"), ("2", "mine"), ("0", "theirs")]
    assert [found.reused_from for found in work.candidates] == [None, 3, rows(database, CANDIDATE)[0].id]
    assert work.own == {"1", "2"}


def test_what_its_own_budget_clipped_is_kept(database: Database, dataset: tuple[int, list[int]]) -> None:
    mine = add_job(database, dataset=dataset)
    [got] = claimed(database, mine)
    cut = [candidate_row("0", finish_reason="clipped"), candidate_row("1", finish_reason="cancelled")]
    commit(database, Outcome(got, "drained", candidates=cut))
    assert [found.path for found in work_of(database, mine).candidates] == ["0"]


def test_of_two_originals_the_earlier_is_taken(database: Database, dataset: tuple[int, list[int]]) -> None:
    answered(database, dataset, candidate_row("0", text="first"))
    answered(database, dataset, candidate_row("0", text="second"))
    [found] = work_of(database, add_job(database, dataset=dataset)).candidates
    assert found.text == "first"


def test_ones_own_scores_are_kept_and_those_of_other_jobs_are_not(
    database: Database, dataset: tuple[int, list[int]]
) -> None:  # fmt: skip
    scored = {"score": 0.5, "step_scores": [None, 0.5]}
    answered(database, dataset, candidate_row("0", **scored), candidate_row("1", **scored))
    mine = add_job(database, dataset=dataset)
    [got] = claimed(database, mine)
    commit(database, Outcome(got, "drained", candidates=[candidate_row("0", **scored)]))
    own, other = work_of(database, mine).candidates
    assert (own.path, own.score, own.step_scores) == ("0", 0.5, (None, 0.5))
    assert (other.path, other.score, other.step_scores) == ("1", None, None)


def test_a_stage_knows_what_the_stages_before_it_have_drawn(
    database: Database, dataset: tuple[int, list[int]]
) -> None:  # fmt: skip
    mine = add_job(database, dataset=dataset)
    come_back(database, claimed(database, mine), seen(2))
    with database.transaction() as connection:
        transitions.plan(connection, [plan_row(mine.queries[0], stage=1)])
    [got] = claim(database, ring(database, mine), stage=1)
    commit(database, Outcome(got, "drained", candidates=[candidate_row("1")]))
    [got] = claim(database, ring(database, mine), stage=1)
    with database.reading() as connection:
        [work] = load_work(connection, [got], {})
    assert (work.own, work.staged) == ({"greedy", "0", "1"}, {"greedy", "0"})
