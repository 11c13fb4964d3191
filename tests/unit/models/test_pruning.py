"""Retention: what goes, what stays, and what other jobs and later ones make of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from models import pruning, reports, transitions
from models.database import Database
from models.pruning import Reopened, prunable, prune
from models.transitions import CANDIDATE, JOB, QUERY, Outcome
from scheduler.difficulty import Recorded
from tests.builders import (
    START,
    ManualClock,
    Shelf,
    add_dataset,
    add_job,
    candidate_row,
    claim,
    claimed,
    commit,
    count,
    ring,
    rows,
    usage_row,
)
from worker.work import Work, load_work

Dataset = tuple[int, list[int]]


@pytest.fixture
def dataset(database: Database) -> Dataset:
    with database.transaction() as connection:
        return add_dataset(connection, 1)


def answered(database: Database, dataset: Dataset, *candidates: dict[str, Any], state: str = "done") -> Shelf:
    """An ended job that has left these candidates."""
    shelf = add_job(database, dataset=dataset)
    found = list(candidates) or [candidate_row("0"), candidate_row("1", answer="3", answer_class=1)]
    commit(database, *(Outcome(got, "done", answer="2", correct=True, candidates=found, usage=[usage_row()]) for got in claimed(database, shelf)))  # fmt: skip
    with database.transaction() as connection:
        assert transitions.end_job(connection, shelf.job_id, state, database.clock.now(connection), None)  # type: ignore[arg-type]
    return shelf


def work_of(database: Database, shelf: Shelf) -> Work:
    [got] = claimed(database, shelf)
    with database.reading() as connection:
        return load_work(connection, [got], {})[0]


def copies_of(work: Work) -> list[dict[str, Any]]:
    return [
        candidate_row(one.path, text=one.text, answer_class=0, reused_from=one.reused_from) for one in work.candidates
    ]


def found(database: Database, **wanted: Any) -> list[int]:
    wanted = {"ended_before": None, "states": pruning.ENDED, "job_ids": None, **wanted}
    with database.reading() as connection:
        return [one.job_id for one in prunable(connection, **wanted)]


def test_jobs_are_chosen_by_age_state_and_number_and_never_while_they_live(
    database: Database, clock: ManualClock, dataset: Dataset
) -> None:
    old = answered(database, dataset)
    clock.advance(timedelta(days=40).total_seconds())
    new = answered(database, dataset, state="budget_exhausted")
    live = add_job(database, dataset=dataset)
    held = add_job(database, dataset=dataset)
    claimed(database, held)
    with database.transaction() as connection:
        transitions.cancel_job(connection, held.job_id, clock.now(connection))
    assert found(database) == [old.job_id, new.job_id]
    assert found(database, ended_before=START + timedelta(days=10)) == [old.job_id]
    assert found(database, states=["budget_exhausted"]) == [new.job_id]
    assert found(database, job_ids=[live.job_id, held.job_id]) == []
    for shelf in (live, held):
        with pytest.raises(Reopened):
            prune(database, shelf.job_id, "nothing")
    assert count(database, "query") == 4


def test_texts_go_and_reports_stay(database: Database, dataset: Dataset) -> None:
    shelf = answered(database, dataset, candidate_row("0", text="long", tokens=[1, 2], score=0.5))
    with database.reading() as connection:
        before = reports.cost_accuracy(connection)
        [told] = prunable(connection, ended_before=None, states=pruning.ENDED, job_ids=None)
    assert (told.queries, told.candidates, told.characters) == (1, 1, 4)
    for _ in range(2):
        prune(database, shelf.job_id, "answers")
    [row] = rows(database, CANDIDATE)
    assert (row.text, row.tokens, row.answer, row.score, row.disposition) == ("", None, "2", 0.5, "pruned")
    with database.reading() as connection:
        assert reports.cost_accuracy(connection) == before
        [told] = prunable(connection, ended_before=None, states=pruning.ENDED, job_ids=None)
    assert (told.candidates, told.characters) == (0, 0)


def test_what_lost_its_text_is_drawn_again(database: Database, dataset: Dataset) -> None:
    prune(database, answered(database, dataset).job_id, "answers")
    assert work_of(database, add_job(database, dataset=dataset)).candidates == ()


def test_a_copy_is_reused_where_the_original_lost_its_text(database: Database, dataset: Dataset) -> None:
    first = answered(database, dataset)
    originals = [row.id for row in rows(database, CANDIDATE)]
    second = add_job(database, dataset=dataset)
    [got] = claimed(database, second)
    with database.reading() as connection:
        [work] = load_work(connection, [got], {})
    commit(database, Outcome(got, "done", candidates=copies_of(work)))
    prune(database, first.job_id, "answers")
    third = work_of(database, add_job(database, dataset=dataset))
    assert [(one.path, one.text, one.reused_from) for one in third.candidates] == [
        ("0", "text of 0", originals[0]),
        ("1", "text of 1", originals[1]),
    ]


def test_a_query_that_is_tried_again_starts_afresh(database: Database, dataset: Dataset) -> None:
    shelf = add_job(database, dataset=dataset)
    [got] = claimed(database, shelf)
    commit(database, Outcome(got, "failed", reason="no connection", candidates=[candidate_row("0")]))
    with database.transaction() as connection:
        transitions.end_job(connection, shelf.job_id, "done", database.clock.now(connection), None)
    prune(database, shelf.job_id, "answers")
    with database.transaction() as connection:
        assert transitions.retry_failed(connection, shelf.job_id, database.clock.now(connection)) == 1
    [again] = claim(database, ring(database, shelf))
    with database.reading() as connection:
        [work] = load_work(connection, [again], {})
    assert (work.candidates, work.own) == ((), frozenset())
    commit(database, Outcome(again, "done", candidates=[candidate_row("0", text="anew")]))
    [row] = rows(database, CANDIDATE)
    assert (row.text, row.disposition, row.attempt) == ("anew", "kept", 2)


def test_a_whole_job_goes_and_with_the_last_one_its_dataset(
    database: Database, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    with database.transaction() as connection:
        many = add_dataset(connection, 5, name="many")
    job = add_job(database, 5, dataset=many)
    commit(database, *(Outcome(got, "done", candidates=[candidate_row()], usage=[usage_row()]) for got in claimed(database, job)))  # fmt: skip
    with database.transaction() as connection:
        transitions.end_job(connection, job.job_id, "done", database.clock.now(connection), None)
    other, last = answered(database, dataset), answered(database, dataset)
    prune(database, job.job_id, "nothing")
    assert [row.id for row in rows(database, JOB)] == [other.job_id, last.job_id]
    assert [row.job_id for row in rows(database, QUERY)] == [other.job_id, last.job_id]
    assert [count(database, name) for name in ("dataset", "problem", "attempt", "usage", "candidate")] == [
        1,
        1,
        2,
        2,
        4,
    ]
    prune(database, other.job_id, "nothing")
    assert count(database, "problem") == 1
    prune(database, last.job_id, "nothing")
    assert [count(database, name) for name in ("job", "dataset", "problem", "usage", "candidate")] == [0] * 5


def test_a_sample_whose_job_is_gone_counts_once_for_difficulty_and_is_reused(
    database: Database, dataset: Dataset
) -> None:
    first = answered(database, dataset)
    copiers = []
    for _ in range(2):
        shelf = add_job(database, dataset=dataset)
        [got] = claimed(database, shelf)
        with database.reading() as connection:
            [work] = load_work(connection, [got], {})
        assert [one.reused_from for one in work.candidates] == [1, 2]
        copies = [
            candidate_row(one.path, text=one.text, answer_class=number, reused_from=one.reused_from)
            for number, one in enumerate(work.candidates)
        ]
        commit(database, Outcome(got, "done", candidates=copies))
        copiers.append(shelf)
    prior = Recorded("fast", oracle=False)
    with database.reading() as connection:
        before = prior.failures(connection, dataset[1])
    prune(database, first.job_id, "nothing")
    with database.reading() as connection:
        assert prior.failures(connection, dataset[1]) == before
        reused = [row["reused_samples"] for row in reports.cost_accuracy(connection)]
    assert reused == [2, 2]
    heirs = [row.id for row in rows(database, CANDIDATE, CANDIDATE.c.job_id == copiers[0].job_id)]
    assert [row.reused_from for row in rows(database, CANDIDATE)] == [0, 0, *heirs]
    later = work_of(database, add_job(database, dataset=dataset, fingerprint="later"))
    assert [one.reused_from for one in later.candidates] == heirs
