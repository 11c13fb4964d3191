"""What a calibration's jobs left in the database, read back as recorded problems."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from models.architecture import Architecture
from models.catalogue import MODEL
from models.database import Database
from models.errors import UserError
from models.flops import decode_flops, prefill_flops
from models.transitions import Outcome
from scheduler.outcomes import Recorded, read_outcomes
from scheduler.replay import Replay
from strategies.greedy import GREEDY_PATH
from tests.builders import Shelf, add_dataset, add_job, candidate_row, claimed, commit, usage_row

SHAPE = Architecture(
    family="llama", layers=2, hidden=32, query_heads=4, kv_heads=2, head_dim=8, mlp_width=64, vocabulary=100, gated=True
)


def sample(path: str, number: int, *, right: bool, tokens: int, score: float | None = None) -> dict[str, Any]:
    return candidate_row(
        path, answer=None if number < 0 else str(number), answer_class=number, correct=right, score=score,
        step_logprobs=None if number < 0 else [-0.25, -0.75], generated_tokens=tokens, gpu_seconds=tokens / 100,
    )  # fmt: skip


def scoring(flops: float | None = 600.0, **values: Any) -> dict[str, Any]:
    return usage_row(phase="score", model="prm", flops_canonical=flops, gpu_seconds=0.75, **values)


@pytest.fixture
def dataset(database: Database) -> tuple[int, list[int]]:
    with database.transaction() as connection:
        return add_dataset(connection, 2)


def answered(
    database: Database, dataset: tuple[int, list[int]], *outcomes: dict[str, Any], known: bool = True
) -> Shelf:
    """A job of which each query ended with one of `outcomes`; its generator's sizes are known or not."""
    shelf = add_job(database, len(dataset[1]), dataset=dataset)
    with database.transaction() as connection:
        connection.execute(update(MODEL).values(architecture=SHAPE.to_dict() if known else None))
    for claim, values in zip(claimed(database, shelf), outcomes, strict=True):
        commit(database, Outcome(claim=claim, **{"state": "done", **values}))
    return shelf


def drawn(**values: Any) -> dict[str, Any]:
    """Two right answers of three that could be read, stored out of order; the unread one was not scored."""
    return {
        "answer": "2", "correct": True,
        "candidates": [
            sample("10", 0, right=True, tokens=7, score=0.5),
            sample("9", -1, right=False, tokens=5),
            sample("1", 1, right=False, tokens=6, score=0.25),
            sample(GREEDY_PATH, 0, right=True, tokens=4, score=0.75),
        ],
        "usage": [usage_row(), scoring(), scoring(flops=99.0, disposition="wasted")],
        **values,
    }  # fmt: skip


def test_samples_are_read_in_their_order_the_greedy_one_first(database: Database, dataset: Any) -> None:
    votes = answered(database, dataset, drawn(), drawn())
    first, second = read_outcomes(database, votes.job_id, {})
    assert (first.key, second.key) == ("k1", "k2")
    assert (first.text, first.prompt) == ("1 + 1?", 10)
    assert first.tokens.tolist() == [4, 6, 5, 7]
    assert first.answer_class.tolist() == [0, 1, -1, 0]
    assert first.right.tolist() == [True, False, False, True]
    assert first.score.tolist() == pytest.approx([0.75, 0.25, np.nan, 0.5], nan_ok=True)
    assert first.logprob.tolist() == pytest.approx([-0.5, -0.5, np.nan, -0.5], nan_ok=True)
    assert first.weakest.tolist() == pytest.approx([-0.75, -0.75, np.nan, -0.75], nan_ok=True)
    assert first.drawing_seconds.tolist() == pytest.approx([0.04, 0.06, 0.05, 0.07])
    assert Replay(first, np.array([[0, 1, 2, 3]])).majority(4)[0]


def test_costs_are_canonical_and_the_ledger_s_scoring_is_shared(database: Database, dataset: Any) -> None:
    votes = answered(database, dataset, drawn(), drawn())
    one = read_outcomes(database, votes.job_id, {})[0]
    assert one.prefill == prefill_flops(SHAPE, 10)
    assert one.drawing.tolist() == [decode_flops(SHAPE, 10, tokens) for tokens in (4, 6, 5, 7)]
    # 600 for the three that were scored; what was wasted is no cost of a strategy, but took its time.
    assert one.scoring.tolist() == [200, 200, 0, 200]
    assert one.scoring_seconds.tolist() == [0.5, 0.5, 0, 0.5]


def test_a_search_is_what_its_own_job_answered_and_cost(database: Database, dataset: Any) -> None:
    votes = answered(database, dataset, drawn(), drawn())
    ran = {"answer": "3", "correct": False, "usage": [usage_row(flops_canonical=70.0), scoring(flops=30.0)]}
    search = answered(database, dataset, ran, {**ran, "correct": True})
    found = read_outcomes(database, votes.job_id, {4: search.job_id})
    assert [one.searches[4].right for one in found] == [False, True]
    assert [(one.searches[4].flops, one.searches[4].seconds) for one in found] == [(100.0, 1.25)] * 2


def test_problems_without_every_outcome_are_left_out(database: Database, dataset: Any) -> None:
    fewer = drawn(candidates=drawn()["candidates"][2:])
    assert [one.key for one in read(database, dataset, drawn(), fewer)] == ["k1"]
    assert [one.key for one in read(database, dataset, {"state": "failed"}, drawn())] == ["k2"]
    votes = answered(database, dataset, drawn(), drawn())
    search = answered(database, dataset, {"state": "failed"}, {"answer": "3", "correct": True, "usage": [usage_row()]})
    assert [one.key for one in read_outcomes(database, votes.job_id, {0: search.job_id})] == ["k2"]


def read(database: Database, dataset: Any, *outcomes: dict[str, Any], known: bool = True) -> list[Recorded]:
    return read_outcomes(database, answered(database, dataset, *outcomes, known=known).job_id, {})


def test_what_cannot_be_calibrated_on_is_a_sentence(database: Database, dataset: Any) -> None:
    failed = {"state": "failed"}
    with pytest.raises(UserError, match="no problem was answered in all of the calibration's jobs"):
        read(database, dataset, failed, failed)
    with pytest.raises(UserError, match="drew no greedy sample"):
        read(database, dataset, drawn(candidates=[sample("0", 0, right=True, tokens=4)]), failed)
    with pytest.raises(UserError, match="'k1' has no reference answer"):
        read(database, dataset, drawn(candidates=[candidate_row(GREEDY_PATH)]), failed)
    with pytest.raises(UserError, match="set `architecture` in its entry"):
        read(database, dataset, drawn(), drawn(), known=False)
    with pytest.raises(UserError, match="FLOPs of the verifier are not known"):
        read(database, dataset, drawn(usage=[scoring(flops=None)]), drawn())
