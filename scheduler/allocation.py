"""Who gets the next piece of a job's budget: the most gained per cost, on the concave majorant of what can be had."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scheduler.policy import Arm, Policy
from strategies.evidence import Evidence

JUDGED = ("weighted_vote", "best_of_n")
"""Sampling strategies in which the verifier scores every sample."""

VOTES = ("majority_vote", "weighted_vote")
"""Strategies that take over what is drawn already: a query may be granted one of them after the other."""

LEAST_GAIN = 0.005
"""In the probability of a right answer: what is foretold to bring less is within the error of any calibrator."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The best use of more compute for one query: the number of an arm, what it adds to the probability of a right
    answer, its cost (FLOPs, in multiples of generating one token) and the gain per cost."""

    arm: int
    gain: float
    cost: float
    value: float


def best_grant(policy: Policy, evidence: Evidence) -> Grant | None:
    """The arm with the most gain per cost, of those calibrated where the query stands; None where nothing is gained.

    The largest ratio over all arms is the first slope of the concave majorant of the query's accuracy over its cost: one
    more vote often gains nothing where two gain much. What is no vote ends the query, so it has to promise more than every
    vote that is still open.
    """
    rung = policy.rung(evidence)
    if rung is None:
        return None
    features = evidence.features()
    now = rung.right.probability(features)
    length = evidence.generated / max(evidence.drawn, 1)
    costs = {number: cost_ahead(policy, number, evidence.drawn, scored=evidence.scored) for number in sorted(rung.arms)}
    ahead = {number: cost for number, cost in costs.items() if cost is not None}
    foretold = {number: rung.arms[number].probability(features) for number in ahead}
    votes = [number for number in ahead if policy.arms[number].strategy in VOTES]
    most = max((foretold[number] for number in votes), default=now)
    best: Grant | None = None
    for number, right in foretold.items():
        if number not in votes and right <= most:
            continue
        # What is free, as a verifier without a model is, counts as one token.
        cost, gain = max(ahead[number] * length, 1.0), right - now
        if gain > LEAST_GAIN and (best is None or gain / cost > best.value):
            best = Grant(number, gain, cost, gain / cost)
    return best


def cost_ahead(policy: Policy, number: int, drawn: int, *, scored: bool) -> float | None:
    """What an arm still costs a query of which `drawn` samples are there, in generations of one of its samples; None where
    it has nothing left to do. A vote takes over what is drawn and scored, anything else is paid in full."""
    arm = policy.arms[number]
    if arm.strategy not in VOTES:
        return policy.costs[number]
    judged = is_judged(arm)
    if arm.samples < drawn or (arm.samples == drawn and (scored or not judged)):
        return None
    return arm.samples - drawn + (policy.scoring * (arm.samples - (drawn if scored else 0)) if judged else 0.0)


def is_judged(arm: Arm) -> bool:
    return arm.strategy in JUDGED


def allocate(curves: Sequence[Sequence[float]], costs: Sequence[Sequence[float]], budget: float) -> list[int]:
    """Which option each query gets, so that the sum of what they bring is the most within the budget.

    `curves[i]` are what the options of query i bring, `costs[i]` what they cost; the first is what it has already, at no
    cost. The steps of all concave majorants are taken in the order of their slopes, so the result is the best there is
    wherever the next step would just fit; where it does not fit, the query stays where it is and others go on.

    Raises:
        ValueError: a query has no options, as many values as costs, or a first one that costs something.
    """
    chosen, left = [0] * len(curves), budget
    steps = [_steps(values, prices) for values, prices in zip(curves, costs, strict=True)]
    waiting: list[tuple[float, int, int, float]] = []

    def offer(query: int) -> None:
        step = next(steps[query], None)
        if step is not None:
            slope, option, cost = step
            heapq.heappush(waiting, (-slope, query, option, cost))

    for query in range(len(curves)):
        offer(query)
    while waiting:
        _, query, option, cost = heapq.heappop(waiting)
        if cost <= left:
            left -= cost
            chosen[query] = option
            offer(query)
    return chosen


def _steps(values: Sequence[float], costs: Sequence[float]) -> Iterator[tuple[float, int, float]]:
    """The steps of a query's concave majorant: slope, the option reached, and what it costs beyond the one before."""
    if not values or len(values) != len(costs) or costs[0] != 0:
        raise ValueError("every option needs its value and its cost, and the first must cost nothing")
    now = 0
    while True:
        better = [
            (_slope(values[option] - values[now], costs[option] - costs[now]), values[option], -option)
            for option in range(len(values))
            if values[option] > values[now] and costs[option] >= costs[now]
        ]
        if not better:
            return
        slope, _, negated = max(better)
        cost = costs[-negated] - costs[now]
        now = -negated
        yield slope, now, cost


def _slope(gain: float, cost: float) -> float:
    return gain / cost if cost else math.inf
