"""Grants: what of all that a query could get gains the most for its cost."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policy import Policy
from strategies.evidence import Evidence

LEAST_GAIN = 0.01
"""P(right): what gains less is not worth a stage."""


@dataclass(frozen=True, slots=True)
class Grant:
    """An arm by its number: P(right) that it is expected to gain, its cost in samples, and the one by the other."""

    arm: int
    gain: float
    cost: float
    value: float


def best_grant(policy: Policy, evidence: Evidence) -> Grant | None:
    """The arm that gains the most per sample; None where none is foretold to gain anything."""
    rung = policy.rung(evidence)
    if rung is None:
        return None
    features = evidence.features()
    now = rung.right.probability(features)
    grants = []
    for number, foretold in rung.arms.items():
        gain = foretold.probability(features) - now
        cost = max(policy.costs[number] - evidence.drawn, policy.scoring * evidence.drawn, 0.1)
        if gain > LEAST_GAIN:
            grants.append(Grant(number, gain, cost, gain / cost))
    return max(grants, key=lambda grant: grant.value, default=None)
