"""A policy: what each way to spend compute brought on problems that looked as hard, and what is chosen from that."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from strategies.evidence import FEATURES, Evidence

SEED_THRESHOLDS = (0.3, 0.6, 0.85)
SEED_PROBE = (1, 2, 4)
SEED_BEAM_WIDTH = 4
SEARCHES = ("beam_search",)


class Arm(BaseModel):
    """One way to answer a query: a strategy with `samples` as its whole budget, the probe's included."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    strategy: str
    samples: int = Field(ge=1)
    parameters: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"{self.strategy} {self.samples}"


class Logistic(BaseModel):
    """A logistic regression over `strategies.evidence.FEATURES`, as numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    weights: tuple[float, ...]
    intercept: float

    def probability(self, features: Sequence[float]) -> float:
        logit = self.intercept + sum(weight * value for weight, value in zip(self.weights, features, strict=True))
        return 1 / (1 + math.exp(-max(-35.0, min(35.0, logit))))


class Rung(BaseModel):
    """What can be foretold of a query of which `drawn` samples are there, scored by the verifier or not.

    fails: the probability that one more sample is wrong. right: that the present answer is right. arms: by the number of
    an arm, that its answer would be right.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    drawn: int
    scored: bool
    fails: Logistic
    right: Logistic
    arms: dict[int, Logistic] = {}


class Policy(BaseModel):
    """How much to spend on which query, by which strategy.

    A query is probed with the numbers of samples in `probe`, one after the other, the first of them greedy. What that
    tells of the probability that one sample fails gives its bin, between the `thresholds`; `table` has for each mean
    budget a query, in samples, the number of the arm in every bin (None: the probe's vote is the answer). `rungs`
    foretell what each arm would bring one query, which is what a whole job's budget is shared out by.

    costs: what each arm generates and scores, in multiples of the generation of one sample of the same query, and
    `scoring` the same of scoring one sample: costs are canonical FLOPs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    generator: str
    generator_identity: str
    verifier: str | None
    verifier_identity: str | None
    thresholds: tuple[float, ...] = SEED_THRESHOLDS
    probe: tuple[int, ...] = SEED_PROBE
    arms: tuple[Arm, ...]
    costs: tuple[float, ...] = ()
    scoring: float = 0.0
    table: dict[int, tuple[int | None, ...]]
    rungs: tuple[Rung, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """A policy may come from a file, and is embedded in jobs: what it cannot be asked must not be found out there."""
        if not _ascending(self.thresholds) or not all(0 < one < 1 for one in self.thresholds):
            raise ValueError("the thresholds must rise between 0 and 1")
        if not self.probe or not _ascending(self.probe) or self.probe[0] < 1:
            raise ValueError("the probe must be rising numbers of samples")
        if not self.table or min(self.table) < 1:
            raise ValueError("the table needs a row for at least one budget, and budgets begin at 1")
        if any(len(row) != len(self.thresholds) + 1 for row in self.table.values()):
            raise ValueError("the table must have one bin more than there are thresholds")
        if self.costs and len(self.costs) != len(self.arms):
            raise ValueError("there must be a cost for every arm, or none")
        named = {number for row in self.table.values() for number in row if number is not None}
        if not named.union(*(rung.arms for rung in self.rungs)) <= set(range(len(self.arms))):
            raise ValueError("an arm is named that is not there")
        for rung in self.rungs:
            if any(len(one.weights) != len(FEATURES) for one in (rung.fails, rung.right, *rung.arms.values())):
                raise ValueError(f"a calibrator must have {len(FEATURES)} weights, one for each feature")
        return self

    @property
    def calibrated(self) -> bool:
        return bool(self.rungs)

    def rung(self, evidence: Evidence) -> Rung | None:
        """The last rung that the evidence has reached; None where nothing was calibrated so early."""
        reached = [one for one in self.rungs if one.drawn <= evidence.drawn and one.scored == evidence.scored]
        return max(reached, key=lambda one: one.drawn, default=None)

    def failure(self, evidence: Evidence) -> float:
        """The probability that one more sample is wrong.

        Without a calibrator, Laplace's rule of succession on the votes: the raw share of four votes could not tell more
        than that one in four failed, or none.
        """
        rung = self.rung(evidence)
        if rung is None:
            return 1 - (evidence.leading + 1) / (evidence.drawn + 2)
        return rung.fails.probability(evidence.features())

    def bin(self, failure: float) -> int:
        """The number of the bin, 0 the easiest."""
        return bisect_right(self.thresholds, failure)

    def arm(self, bin_: int, budget: float) -> Arm | None:
        """What a bin gets under a mean budget of `budget` samples a query; None: nothing beyond the probe."""
        row = self.table[max((key for key in self.table if key <= budget), default=min(self.table))]
        number = row[bin_]
        return None if number is None else self.arms[number]


def _ascending(values: Sequence[float]) -> bool:
    return all(one < other for one, other in pairwise(values))


def seed_policy(generator: tuple[str, str], verifier: tuple[str, str] | None, budget: int, *, steps: bool) -> Policy:
    """The policy until one is calibrated: an easy query's probe is its answer, then a weighted vote, then beam search,
    then revisions; without a verifier a vote that ends once it is settled, in every bin.

    `generator` and `verifier` are names with identities; `steps` tells whether the engine can continue steps.
    """
    vote = Arm(strategy="weighted_vote", samples=budget, parameters={"greedy_first": True})
    search = Arm(strategy="beam_search", samples=budget, parameters={"beam_width": SEED_BEAM_WIDTH})
    revise = Arm(strategy="sequential_revision", samples=budget)
    settle = Arm(strategy="adaptive_consistency", samples=budget, parameters={"greedy_first": True})
    arms, row = (
        ((settle,), (0, 0, 0, 0)) if verifier is None else ((vote, search if steps else vote, revise), (None, 0, 1, 2))
    )
    return Policy(
        generator=generator[0],
        generator_identity=generator[1],
        verifier=verifier[0] if verifier else None,
        verifier_identity=verifier[1] if verifier else None,
        arms=arms,
        table={budget: row},
    )
