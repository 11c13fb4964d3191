"""What a report says of jobs of several datasets."""

from __future__ import annotations

import json

from models.database import Database
from models.whatif import gpu_hour
from models.worth import frontier_and_decisions
from tests.answered import add_answered, add_problems


def test_each_dataset_has_its_frontier_and_oracles_none(database: Database) -> None:
    sums, products, blank = (add_problems(database, 4, name) for name in ("sums", "products", "blank"))
    add_answered(database, sums, [True, False, False, False], [{"flops_canonical": 10.0}])
    add_answered(database, sums, [True, True, True, False], [{"flops_canonical": 30.0}])
    add_answered(database, sums, [True] * 4, oracle=True)
    add_answered(database, sums, [True] * 4, [{"flops_canonical": None}])
    add_answered(database, products, [True] * 4)
    add_answered(database, blank, [None] * 4)
    with database.reading() as connection:
        points, said = frontier_and_decisions(connection, [6, 5, 4, 3, 2, 1])
        supposed, _ = frontier_and_decisions(connection, [1], "usd", gpu_hour(7200))
    assert [(one["job_id"], one["cost"], one["unit"], one["accuracy"]) for one in points] == [
        (1, 10, "flops", 0.25), (2, 30, "flops", 0.75), (5, 90, "flops", 1.0),
    ]  # fmt: skip
    assert [one["question"].split("?")[0] for one in said] == [
        "Which jobs on sums are worth their FLOPs",
        "What does one more right answer cost from job 1 (majority_vote 4 on fast) to job 2 (majority_vote 4 on fast)",
        "Which jobs on products are worth their FLOPs",
    ]
    assert said[0]["details"]["left_out"] == [{"job_id": 4, "reason": "its FLOPs are unknown"}]
    assert said[1]["details"]["price"]["value"] == 40
    assert set(said[0]) == {"question", "answer", "details"}
    json.dumps(said, allow_nan=False)
    assert supposed[0]["cost"] == 1.0
