"""Two jobs on the same problems, counted by hand, in words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from models.database import Database
from models.pairs import Pair, compare
from models.statistics import mcnemar, paired_bootstrap
from models.transitions import JOB, USAGE, Outcome
from tests.builders import Shelf, add_dataset, add_job, claimed, commit, force, rows, usage_row

Verdicts = Sequence[bool | None]


def answered(database: Database, dataset: tuple[int, list[int]], verdicts: Verdicts, **usage: float) -> Shelf:
    """A done job with these verdicts; None is a problem without a reference answer."""
    shelf = add_job(database, len(verdicts), dataset=dataset, state="open")
    for got, correct in zip(claimed(database, shelf), verdicts, strict=True):
        commit(database, Outcome(got, "done", answer="1", correct=correct, usage=[usage_row(**usage)]))
    force(database, JOB, shelf.job_id, state="done")
    return shelf


def both(database: Database, a: Verdicts, b: Verdicts, **usage: float) -> tuple[Shelf, Shelf]:
    with database.transaction() as connection:
        dataset = add_dataset(connection, max(len(a), len(b)))
    return answered(database, dataset, a), answered(database, dataset, b, **usage)


def pair(database: Database, a: Shelf, b: Shelf, unit: str = "flops") -> Pair:
    with database.reading() as connection:
        return compare(connection, a.job_id, b.job_id, unit)


def test_a_gain_by_hand(database: Database) -> None:
    a = [False] * 20 + [True] * 28 + [False] * 2
    b = [True] * 48 + [False] * 2
    first, second = both(database, a, b, flops_canonical=45.0, generated_tokens=15)
    found = pair(database, first, second)
    assert (found.problems, found.only_a, found.only_b) == (50, 0, 20)
    assert found.gain == pytest.approx(0.4)
    assert found.gain is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low == pytest.approx(
        paired_bootstrap([float(x) for x in b], [float(x) for x in a], seed=0)[1], abs=0.03
    )
    assert found.p == mcnemar(0, 20)
    assert (found.cost_a, found.cost_b, found.cost_ratio) == (50 * 90, 50 * 45, 0.5)
    assert found.sentence == (
        f"job {second.job_id} is 40.0 points better than job {first.job_id} (95 %: {100 * found.low:.1f} to "
        f"{100 * found.high:.1f}; 50 problems; McNemar p < 0.001) at 0.5 times the canonical FLOPs"
    )
    turned = pair(database, second, first)
    assert (turned.gain, turned.low, turned.high) == pytest.approx((-found.gain, -found.high, -found.low))
    assert turned.sentence.startswith(
        f"job {first.job_id} is 40.0 points worse than job {second.job_id} (95 %: {100 * found.low:.1f} to {100 * found.high:.1f};"
    )
    tokens = pair(database, first, second, "tokens")
    assert (tokens.cost_a, tokens.cost_b) == (50 * 15, 50 * 25)
    assert tokens.sentence.endswith("at 1.67 times the tokens")


def test_what_may_be_chance_is_said_to_be(database: Database) -> None:
    first, second = both(database, [True, False, True, False], [False, True, True, True])
    found = pair(database, first, second)
    assert (found.only_a, found.only_b, found.gain, found.p) == (1, 2, 0.25, 1.0)
    assert found.sentence.startswith(f"job {second.job_id} and job {first.job_id} cannot be told apart: +25.0 points")


def test_only_problems_that_both_have_graded_count_and_cost(database: Database) -> None:
    first, second = both(database, [True, None, False, True], [True, True, None], gpu_seconds=2.0)
    found = pair(database, first, second, "gpu-seconds")
    assert (found.problems, found.gain) == (1, 0.0)
    assert (found.cost_a, found.cost_b, found.cost_ratio) == (0.5, 2.0, 4.0)
    assert "; 1 problem; " in found.sentence


def test_jobs_without_a_common_problem_are_not_compared(database: Database) -> None:
    first, second = (add_job(database, 2) for _ in range(2))
    found = pair(database, first, second)
    assert (found.problems, found.gain, found.cost_ratio) == (0, None, None)
    assert found.sentence.endswith("have no problem in common that is graded in both")


@pytest.mark.parametrize(("unit", "column"), [("flops", "flops_canonical"), ("usd", "dollars")])
def test_a_cost_of_which_a_part_is_unknown_is_unknown(database: Database, unit: str, column: str) -> None:
    first, second = both(database, [True] * 3, [True] * 3)
    force(database, USAGE, rows(database, USAGE, USAGE.c.job_id == second.job_id)[0].id, **{column: None})
    found = pair(database, first, second, unit)
    assert (found.cost_b, found.cost_ratio) == (None, None)
    assert found.sentence.endswith("is unknown")


def test_oracles_and_unfinished_jobs_are_labelled(database: Database) -> None:
    first, second = both(database, [True] * 3, [True] * 3)
    force(database, JOB, first.job_id, oracle=True)
    force(database, JOB, second.job_id, state="paused")
    assert f"job {second.job_id} (partial) and job {first.job_id} (oracle)" in pair(database, first, second).sentence
