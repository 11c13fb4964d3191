"""Stages: a query is probed with a few samples, and what they show decides what it gets beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from sqlalchemy import Connection

from models.specification import JobSpecification
from models.transitions import UNPROBED
from scheduler.allocation import best_grant
from scheduler.decisions import Decision
from scheduler.difficulty import Difficulty
from scheduler.planning import Plan, Settled, Waiting
from scheduler.policy import Arm, Policy
from strategies import registry
from strategies.evidence import Evidence
from strategies.task import Budget

PROBE = "majority_vote"
GREEDY_FIRST = {"greedy_first": True}


class StagedPlanner:
    """Decides by the job's policy, stage after stage. Holds nothing of a query: all that counts is in its row.

    Under the allocation `policy` every bin has its arm and its budget; under `uniform` it has its arm, and every query
    the job's whole budget; under `adaptive` each query bids with what its best arm gains.
    Without a `difficulty` of the problems' own a query is probed.
    """

    width = 1
    staged = True

    def __init__(self, specification: JobSpecification, difficulty: Difficulty | None) -> None:
        self._policy = Policy.model_validate(specification.plan)
        self._budget = int(specification.budget_amount)
        self._uniform = specification.allocation == "uniform"
        self._difficulty = difficulty
        self._ladder = [rung for rung in self._policy.probe if rung <= self._budget] or list(self._policy.probe[:1])
        self.by_gain = specification.allocation == "adaptive"

    @property
    def arms(self) -> list[Arm]:
        """What a query may end with, the probe's own vote included."""
        probe = Arm(strategy=PROBE, samples=self._ladder[-1] if self._difficulty is None else self._ladder[0])
        if self.by_gain:
            return [probe, *self._policy.arms]
        return [probe, *(arm for bin_ in range(len(self._policy.thresholds) + 1) if (arm := self._arm(bin_)[0]))]

    @property
    def most(self) -> int:
        """The most samples that one query may take. What is no vote begins behind those of the probe."""
        probed = max(arm.samples for arm in self.arms if registry.outline(arm.strategy).samples)
        behind = 0 if self._difficulty is not None else (probed if self.by_gain else self._ladder[-1])
        others = [arm.samples for arm in self.arms if not registry.outline(arm.strategy).samples]
        return max(probed, *(max(samples, behind + 1) for samples in others), 1)

    def decide(self, connection: Connection, queries: Sequence[Waiting]) -> list[Plan | Settled]:
        if self._difficulty is not None:
            failures = self._difficulty.failures(connection, [query.problem_id for query in queries])
            return [self._at_once(query, failures[query.problem_id]) for query in queries]
        return [self._by_evidence(query, query.evidence) for query in queries]

    def withdraw(self, queries: Sequence[Waiting], reason: Literal["budget", "deadline"]) -> list[Settled]:
        return [self._withdrawn(query, query.evidence, reason) for query in queries if query.evidence is not None]

    def _withdrawn(self, query: Waiting, evidence: Evidence, reason: Literal["budget", "deadline"]) -> Settled:
        if query.decisions and query.decisions[-1].stage == query.stage:
            decision = replace(query.decisions[-1], reason=reason)
        else:
            failure = self._policy.failure(evidence)
            decision = Decision(query.stage, reason, evidence.drawn, None, failure, self._policy.bin(failure))
        return Settled(query, decision, self._confidence(evidence))

    def _at_once(self, query: Waiting, failure: float) -> Plan:
        """The bin's arm as the only stage of a query whose difficulty is known; where it has none, what a probe begins
        with."""
        bin_ = self._policy.bin(failure)
        arm, number = self._arm(bin_)
        arm = arm or Arm(strategy=PROBE, samples=self._ladder[0])
        decision = Decision(query.stage, "chosen", samples=arm.samples, failure=failure, bin=bin_, arm=number)
        return self._plan(query, arm, decision, 0, final=True)

    def _by_evidence(self, query: Waiting, evidence: Evidence | None) -> Plan | Settled:
        if evidence is None:
            return self._probe(query, 0, self._ladder[0], None, None)
        failure = self._policy.failure(evidence)
        bin_ = self._policy.bin(failure)
        higher = next((rung for rung in self._ladder if rung > evidence.drawn), None)
        if self.by_gain:
            # What nothing can be foretold of is looked at more closely first.
            seen = higher is None or self._policy.rung(evidence) is not None
        else:
            seen = higher is None or bin_ == 0
        if not seen:
            assert higher is not None
            return self._probe(query, evidence.drawn, higher, failure, bin_)
        return (self._granted if self.by_gain else self._chosen)(query, evidence, failure, bin_)

    def _probe(self, query: Waiting, drawn: int, samples: int, failure: float | None, bin_: int | None) -> Plan:
        decision = Decision(query.stage, "probe", drawn, samples, failure, bin_)
        arm = Arm(strategy=PROBE, samples=samples)
        return self._plan(query, arm, decision, drawn, final=False, confidence=self._confidence(query.evidence))

    def _chosen(self, query: Waiting, evidence: Evidence, failure: float, bin_: int) -> Plan | Settled:
        arm, number = self._arm(bin_)
        if arm is None or not _adds(arm, evidence):
            return self._settled(query, evidence, failure, bin_)
        samples = max(arm.samples, evidence.drawn)
        decision = Decision(query.stage, "chosen", evidence.drawn, samples, failure, bin_, number)
        return self._plan(
            query, arm, decision, evidence.drawn, final=True, confidence=self._confidence(evidence, number)
        )

    def _granted(self, query: Waiting, evidence: Evidence, failure: float, bin_: int) -> Plan | Settled:
        grant = best_grant(self._policy, evidence)
        # An arm that the query has had shows nothing new: without this, two could take turns for ever.
        had = {one.arm for one in query.decisions if one.reason == "granted" and one.stage < query.stage}
        if grant is None or grant.arm in had or not _adds(self._policy.arms[grant.arm], evidence):
            return self._settled(query, evidence, failure, bin_)
        arm = self._policy.arms[grant.arm]
        samples = max(arm.samples, evidence.drawn)
        decision = Decision(query.stage, "granted", evidence.drawn, samples, failure, bin_, grant.arm, grant.gain)
        return self._plan(
            query,
            arm,
            decision,
            evidence.drawn,
            final=not registry.outline(arm.strategy).samples,
            gain=min(UNPROBED, grant.value),
            confidence=self._confidence(evidence, grant.arm),
        )

    def _settled(self, query: Waiting, evidence: Evidence, failure: float, bin_: int) -> Settled:
        decision = Decision(query.stage, "settled", evidence.drawn, None, failure, bin_)
        return Settled(query, decision, self._confidence(evidence))

    def _plan(
        self,
        query: Waiting,
        arm: Arm,
        decision: Decision,
        drawn: int,
        *,
        final: bool,
        gain: float = UNPROBED,
        confidence: float | None = None,
    ) -> Plan:
        """A vote counts the samples that are there among its own; anything else gets what they have left of its budget."""
        entry = registry.outline(arm.strategy)
        left = max(1, arm.samples - drawn)
        budget = Budget(float(max(arm.samples, drawn) if entry.samples else left), "samples")
        parameters: dict[str, Any] = {**arm.parameters, **(GREEDY_FIRST if entry.samples else {})}
        return Plan(
            query, arm.strategy, parameters, budget, entry.sequences(Budget(float(left), "samples")), final, gain,
            confidence, decision,
        )  # fmt: skip

    def _arm(self, bin_: int) -> tuple[Arm | None, int | None]:
        """What a bin gets, and the number of the policy's arm behind it."""
        arm = self._policy.arm(bin_, self._budget)
        number = None if arm is None else self._policy.arms.index(arm)
        if self._uniform:
            arm = (arm or Arm(strategy=PROBE, samples=1)).model_copy(update={"samples": self._budget})
        return arm, number

    def _confidence(self, evidence: Evidence | None, arm: int | None = None) -> float | None:
        """The probability that the present answer, or that of an arm, is right; None where nothing foretells it."""
        rung = None if evidence is None else self._policy.rung(evidence)
        if evidence is None or rung is None:
            return None
        foretold = rung.right if arm is None else rung.arms.get(arm)
        return None if foretold is None else foretold.probability(evidence.features())


def _adds(arm: Arm, evidence: Evidence) -> bool:
    """Whether an arm does anything to the samples that are there: draws others, or has these scored."""
    entry = registry.outline(arm.strategy)
    if not entry.samples or arm.samples > evidence.drawn:
        return True
    return entry.wants_verifier(arm.parameters) and not evidence.scored
