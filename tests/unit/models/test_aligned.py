"""Jobs side by side: on which problems, at what cost, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from models.aligned import Aligned, align_dataset, align_jobs, dataset_of, find_dataset
from models.database import Database
from models.errors import UserError
from models.transitions import QUERY
from models.whatif import gpu_hour
from tests.answered import add_answered, add_problems
from tests.builders import PROBLEM, force


def aligned(database: Database, unit: str = "flops") -> Aligned:
    with database.reading() as connection:
        return align_dataset(connection, find_dataset(connection, "last"), unit)


def test_only_problems_that_all_graded_are_compared_in_the_order_of_the_file(database: Database) -> None:
    sums = add_problems(database, 4)
    add_answered(database, sums, [True, None, False, True], [{"flops_canonical": 7.0}])
    add_answered(database, sums, [False, True, True], [{}, {"phase": "score", "flops_canonical": 10.0}])
    found = aligned(database)
    assert found.right.tolist() == [[1, 0], [0, 1]]
    assert found.cost.tolist() == [[7, 100], [7, 100]]
    assert (found.dataset, found.size, found.problems, found.groups) == ("sums", 4, 2, None)
    assert [run.label for run in found.runs] == [
        "job 1 (majority_vote 4 on fast)", "job 2 (majority_vote 4 on fast)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "cost"), [("flops", 90.0), ("tokens", 10 + 5 + 20), ("gpu-seconds", 1.5), ("usd", 0.5)]
)
def test_reused_samples_are_charged_in_every_unit(database: Database, unit: str, cost: float) -> None:
    drawn = {"flops_canonical": 60.0, "scored_tokens": 20}
    reused = {
        "reused": True, "flops_canonical": 30.0, "canonical_prompt_tokens": 0, "generated_tokens": 0, "gpu_seconds": 1.0,
    }  # fmt: skip
    add_answered(database, add_problems(database, 1), [True], [drawn, reused])
    assert aligned(database, unit).cost.tolist() == [[cost]]


def test_what_is_left_out_is_said(database: Database) -> None:
    sums = add_problems(database, 2)
    kept = add_answered(database, sums, [True, False])
    add_answered(database, sums, [True, True], oracle=True)
    add_answered(database, sums, [True], state="open")
    add_answered(database, sums, [None, None])
    add_answered(database, sums, [True, True], [{"flops_canonical": None}])
    found = aligned(database)
    assert [run.job_id for run in found.runs] == [kept.job_id]
    assert [(one.run.job_id, one.reason.split(";")[0]) for one in found.left_out] == [
        (2, "it read the reference answers"),
        (3, "it is open"),
        (4, "none of its answers could be graded"),
        (5, "its FLOPs are unknown"),
    ]
    with database.reading() as connection:
        named = align_jobs(connection, [3, 2], "flops")
    assert [run.label for run in named.runs] == [
        "job 3 (majority_vote 4 on fast)", "job 2 (majority_vote 4 on fast, oracle)",
    ]  # fmt: skip
    assert named.right.tolist() == [[1, 1]]


def test_dollars_are_unknown_where_a_part_has_no_price(database: Database) -> None:
    sums = add_problems(database, 2)
    add_answered(database, sums, [True, False])
    add_answered(database, sums, [True, False], [{}, {"phase": "score", "model": "judge", "dollars": None}])
    found = aligned(database, "usd")
    assert [one.reason for one in found.left_out] == ["its dollars are unknown: judge has no price"]
    assert found.cost.tolist() == [[0.25], [0.25]]
    with database.reading() as connection:
        supposed = align_jobs(connection, [1, 2], "usd", gpu_hour(3600))
    assert supposed.cost.tolist() == [[0.5, 1.0], [0.5, 1.0]]


def test_levels_then_bins(database: Database) -> None:
    sums = add_problems(database, 3)
    add_answered(database, sums, [True] * 3)
    probed = add_answered(database, sums, [True] * 3)
    for query_id, number in zip(probed.queries[:2], (1, 0), strict=True):
        force(database, QUERY, query_id, bin=number)
    assert aligned(database).groups == ["bin 1", "bin 0", "none"]
    force(database, PROBLEM, sums[1][0], level="5")
    assert aligned(database).groups == ["level 5", "none", "none"]


def test_a_dataset_is_found_by_name_by_number_and_as_the_last(database: Database) -> None:
    first, second = add_problems(database, 1, "sums"), add_problems(database, 1, "products")
    shelf = add_answered(database, first, [True])
    with database.reading() as connection:
        assert find_dataset(connection, "products") == find_dataset(connection, str(second[0])) == second[0]
        assert find_dataset(connection, "last") == dataset_of(connection, shelf.job_id) == first[0]
        with pytest.raises(UserError, match="no dataset 'sum'; there is products, sums"):
            find_dataset(connection, "sum")
    add_problems(database, 2, "sums")
    with (
        database.reading() as connection,
        pytest.raises(UserError, match=r"several .*: 1 \(1 problems\), 3 \(2 problems\); name one by its number"),
    ):
        find_dataset(connection, "sums")


def test_without_any_job_it_says_so(database: Database) -> None:
    with database.reading() as connection, pytest.raises(UserError, match="there is no job yet"):
        find_dataset(connection, "last")
    sums = add_problems(database, 3)
    with database.reading() as connection, pytest.raises(UserError, match=r"no job to decide on \(it has none\)"):
        align_dataset(connection, sums[0], "flops")
    add_answered(database, sums, [True, None, None])
    add_answered(database, sums, [None, True, None])
    with pytest.raises(UserError, match="sums: no problem was graded in all of the jobs"):
        aligned(database)


def test_jobs_of_two_datasets_are_not_compared(database: Database) -> None:
    one, two = (add_answered(database, add_problems(database, 1, name), [True]) for name in ("sums", "products"))
    with database.reading() as connection, pytest.raises(UserError, match="jobs 1 and 2 answered different datasets"):
        align_jobs(connection, [one.job_id, two.job_id], "flops")


def test_a_curve_holds_some_jobs_on_some_problems(database: Database) -> None:
    sums = add_problems(database, 3)
    for right in ([True, False, True], [False, False, True]):
        add_answered(database, sums, right)
    curve = aligned(database).curve([1, 0], np.array([0, 2]))
    assert curve.accuracy.tolist() == [[0, 1], [1, 1]]
