"""Jobs that are answered in stages: policies as a calibration would leave them, evidence, queries that come back."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from models.database import Database
from models.transitions import QUERY, Claim, Outcome
from scheduler.policy import Arm, Logistic, Policy, Rung
from strategies.evidence import FEATURES, Evidence
from tests.builders import Shelf, add_job, candidate_row, commit, force, usage_row

GREEDY_FIRST = {"greedy_first": True}
ARMS = (
    Arm(strategy="majority_vote", samples=8, parameters=GREEDY_FIRST),
    Arm(strategy="weighted_vote", samples=8, parameters=GREEDY_FIRST),
    Arm(strategy="beam_search", samples=8, parameters={"beam_width": 2}),
    Arm(strategy="majority_vote", samples=2, parameters=GREEDY_FIRST),
)


def seen(leading: int, second: int = 0, unread: int = 0, *, score: float | None = None, drawn: int = 0) -> Evidence:
    """Of samples that are all for the leading answer, the next one or unreadable, unless more were drawn."""
    drawn = drawn or leading + second + unread
    share = None if score is None else 0.5
    return Evidence(drawn, leading, second, unread, -0.1, -0.2, None, 20 * drawn, 10, score, share)


def constant(probability: float) -> Logistic:
    """Foretells the same of everything."""
    return Logistic(weights=(0.0,) * len(FEATURES), intercept=math.log(probability / (1 - probability)))


def by_share(slope: float, intercept: float = 0.0) -> Logistic:
    """Foretells by the share of the leading answer alone."""
    weights = [0.0] * len(FEATURES)
    weights[FEATURES.index("share")] = slope
    return Logistic(weights=tuple(weights), intercept=intercept)


def policy(**changes: Any) -> Policy:
    """Uncalibrated, for the generator `fast` of the tests."""
    return Policy(
        **{
            "generator": "fast",
            "generator_identity": "instant::instant",
            "verifier": "mean_logprob",
            "verifier_identity": "mean_logprob",
            "arms": ARMS,
            "table": {2: (None, 3, 3, 3), 8: (None, 0, 1, 2)},
            **changes,
        }
    )


def calibrated(arms: dict[int, float] | None = None, *, right: float = 0.5, drawn: int = 1) -> Policy:
    """Foretells from `drawn` samples on that the present answer is right with probability `right`, and after the arms with
    theirs."""
    foretold = {number: constant(probability) for number, probability in (arms or {}).items()}
    rungs = tuple(
        Rung(drawn=drawn, scored=scored, fails=constant(0.5), right=constant(right), arms=foretold)
        for scored in (False, True)
    )
    return policy(rungs=rungs, costs=(8.0, 9.0, 10.0, 2.0), scoring=0.1)


def add_staged_job(database: Database, count: int, chosen: Policy, **values: Any) -> Shelf:
    """A job of `count` queries that have not been planned; `values` as in `tests.builders.add_job`."""
    staged = {
        "strategy": "compute_optimal", "verifier": "mean_logprob", "verifier_identity": "mean_logprob",
        "budget_amount": 8, "difficulty": "probe", "policy": "ours@1", "allocation": "policy",
        "plan": chosen.model_dump(mode="json"),
    }  # fmt: skip
    shelf = add_job(database, count, **{**staged, **values})
    for query_id in shelf.queries:
        force(database, QUERY, query_id, planned=False, strategy=None, parameters=None, budget_amount=None, sequences=1)
    return shelf


def staged(claim: Claim, evidence: Evidence, **values: Any) -> Outcome:
    """A stage that was carried out, and drew what the evidence has; its usage is one row, as if nothing was there before."""
    paths = ["greedy", *map(str, range(evidence.drawn - 1))]
    return Outcome(
        claim,
        "staged",
        **{
            "answer": "7",
            "correct": True,
            "votes": evidence.leading,
            "voters": evidence.drawn - evidence.unread,
            "sequential_tokens": 5,
            "evidence": asdict(evidence),
            "candidates": [candidate_row(path) for path in paths],
            "usage": [usage_row(calls=len(paths))],
            **values,
        },
    )


def come_back(database: Database, claims: list[Claim], evidence: Evidence, **values: Any) -> None:
    commit(database, *[staged(claim, evidence, **values) for claim in claims])
