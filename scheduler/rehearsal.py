"""A policy followed on recorded problems: what it would have answered, and at what cost. Needs the extra `calibrate`.

The steps are those of the scheduler, for many queries at once: the probe is climbed rung by rung, then the arm of a bin
follows, or the grants of a job whose budget is shared out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.allocation import LEAST_GAIN, VOTES, cost_ahead, is_judged
from scheduler.policy import Policy
from scheduler.regression import probabilities
from scheduler.rows import SAMPLED, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Of every row (rows, ...): whether the answer is right, its canonical FLOPs, prefill included, and GPU-seconds."""

    right: np.ndarray
    flops: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """Where the probe left every row: the probability that one more sample is wrong, and its place in the grid."""

    failure: np.ndarray
    stop: np.ndarray


def ladder(probe: Sequence[int], budget: float) -> tuple[int, ...]:
    """The rungs of a probe that a mean budget in samples can hold; the first in any case."""
    return tuple(rung for rung in probe if rung <= budget) or tuple(probe[:1])


def climb(policy: Policy, rows: Rows, budget: float) -> Probed:
    """Rung by rung, until a query looks easy, which is below the first threshold, or the ladder ends."""
    rungs = {rung.drawn: rung for rung in policy.rungs if not rung.scored}
    failure, stop = np.ones(len(rows.read)), np.zeros(len(rows.read), dtype=int)
    going = np.ones(len(rows.read), dtype=bool)
    for drawn in ladder(policy.probe, budget):
        place = rows.at(drawn)
        predicted = probabilities(rungs[drawn].fails, rows.features[False][:, place])
        failure, stop = np.where(going, predicted, failure), np.where(going, place, stop)
        going &= bins_of(policy.thresholds, predicted) > 0
    return Probed(failure, stop)


def bins_of(thresholds: Sequence[float], failure: np.ndarray) -> np.ndarray:
    """`Policy.bin` of many queries."""
    return np.searchsorted(np.array(thresholds), failure, side="right")


def rehearse(policy: Policy, rows: Rows, budget: int, probed: Probed | None = None) -> Outcome:
    """Every query by itself: behind the probe, what the table has for its bin under one of its mean budgets.

    `probed` is what is known of the queries, where it is not the policy's own probe that tells it.
    """
    probed = probed or climb(policy, rows, budget)
    row = np.array([-1 if number is None else number for number in policy.table[budget]])
    return outcome_of(policy, rows, probed.stop, row[bins_of(policy.thresholds, probed.failure)])


def outcome_of(policy: Policy, rows: Rows, stop: np.ndarray, chosen: np.ndarray) -> Outcome:
    """What the arms `chosen` (rows,) bring behind a probe that ended at `stop`; -1: its vote is the answer.

    The probe's samples are the first of whatever samples; anything else is paid on top.
    """
    each, arm, settled = np.arange(len(stop)), np.maximum(chosen, 0), chosen < 0
    apart = settled | np.array([one.strategy not in SAMPLED for one in policy.arms])[arm]
    right = np.where(settled, rows.right[False][each, stop], rows.arm_right[each, arm])
    flops, seconds = (
        apart * probed[each, stop] + ~settled * whole[each, arm]
        for probed, whole in ((rows.paid[False], rows.arm_flops), (rows.seconds[False], rows.arm_seconds))
    )
    return Outcome(right, flops + np.repeat(rows.prefill, rows.orders), seconds)


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """The grants that a query would be given one after the other, if the budget had no end: arrays (rows, steps).

    `value`: the lowest value up to this grant, as it is served only after those before it; infinite for the first
    sample, minus infinite behind the last grant. The outcome is what stands after it.
    """

    value: np.ndarray
    outcome: Outcome

    def until(self, floors: np.ndarray) -> Outcome:
        """What stands when a job has served every grant of at least that value: arrays (rows, floors)."""
        last = np.stack([(self.value >= floor).sum(axis=1) - 1 for floor in floors], axis=1)
        return Outcome(
            *(
                np.take_along_axis(column, last, axis=1)
                for column in (self.outcome.right, self.outcome.flops, self.outcome.seconds)
            )
        )


def walk(policy: Policy, rows: Rows) -> Walk:
    """Follow `scheduler.allocation.best_grant` from the first sample to where nothing more is gained."""
    count = len(rows.read)
    each, place = np.arange(count), np.full(count, rows.at(policy.probe[0]))
    scored, ended = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    value, before = np.full(count, np.inf), np.full(count, -1)
    right, flops, seconds = (column[False][each, place].copy() for column in (rows.right, rows.paid, rows.seconds))
    steps = [(value, right, flops, seconds)]
    for _ in policy.arms:
        arm, worth = _next(policy, rows, place, scored, ended)
        # Where no answer can be read nothing ever counts as scored, and the same arm would be granted for ever.
        ended |= (arm < 0) | (arm == before)
        if ended.all():
            break
        before = arm
        value = np.where(ended, -np.inf, np.minimum(value, worth))
        right, flops, seconds = right.copy(), flops.copy(), seconds.copy()
        for number in np.unique(arm[~ended]):
            one, here = policy.arms[number], np.flatnonzero(~ended & (arm == number))
            if one.strategy in VOTES:
                place[here], scored[here] = rows.at(one.samples), is_judged(one)
                then = rows.paid[is_judged(one)][here, place[here]], rows.seconds[is_judged(one)][here, place[here]]
            else:
                then = flops[here] + rows.arm_flops[here, number], seconds[here] + rows.arm_seconds[here, number]
                ended[here] = True
            right[here], flops[here], seconds[here] = rows.arm_right[here, number], *then
        steps.append((value, right, flops, seconds))
    values, rights, spent, took = (np.stack(column, axis=1) for column in zip(*steps, strict=True))
    return Walk(values, Outcome(rights, spent + np.repeat(rows.prefill, rows.orders)[:, None], took))


def _next(
    policy: Policy, rows: Rows, place: np.ndarray, scored: np.ndarray, ended: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best arm of every row and its gain per cost; -1 where nothing is gained or the query has ended."""
    arm, worth = np.full(len(place), -1), np.zeros(len(place))
    for at, judged, here in _states(rows, place, scored, ended):
        drawn = rows.grid[at]
        rung = max(
            (one for one in policy.rungs if one.drawn <= drawn and one.scored == judged), key=lambda one: one.drawn
        )
        features = rows.features[judged][here, at]
        now = probabilities(rung.right, features)
        costs = {number: cost_ahead(policy, number, drawn, scored=judged) for number in sorted(rung.arms)}
        ahead = {number: cost for number, cost in costs.items() if cost is not None}
        foretold = {number: probabilities(rung.arms[number], features) for number in ahead}
        votes = [number for number in ahead if policy.arms[number].strategy in VOTES]
        most = np.max([foretold[number] for number in votes] or [now], axis=0)
        for number, paid in ahead.items():
            gain = foretold[number] - now
            value = gain / np.maximum(paid * rows.length[here, at], 1.0)
            better = (gain > LEAST_GAIN) & (value > worth[here]) & ((number in votes) | (foretold[number] > most))
            arm[here[better]], worth[here[better]] = number, value[better]
    return arm, worth


def _states(
    rows: Rows, place: np.ndarray, scored: np.ndarray, ended: np.ndarray
) -> Iterator[tuple[int, bool, np.ndarray]]:
    """The rows that go on, by where they stand and whether their answers are scored, which no unread answer is."""
    judged = scored & rows.read[np.arange(len(place)), place]
    for at in np.unique(place[~ended]):
        for state in (False, True):
            here = np.flatnonzero(~ended & (place == at) & (judged == state))
            if len(here):
                yield int(at), state, here
