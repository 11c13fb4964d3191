"""Votes among the first n samples of a problem, for every n at once and in many orders."""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-12
"""Sums that differ by less, relative to the larger one, are equal: they were added up in another order."""


def draw_orders(samples: int, orders: int, rng: np.random.Generator) -> np.ndarray:
    """(orders, samples): random permutations of 0, 1, ..., of which the first n are n samples without replacement."""
    found: np.ndarray = rng.permuted(np.tile(np.arange(samples), (orders, 1)), axis=1)
    return found


def elect(
    classes: np.ndarray, orders: np.ndarray, weights: np.ndarray | None = None, then: np.ndarray | None = None
) -> np.ndarray:
    """(votes, drawn, orders): the sample that speaks for the leading class after 1, 2, ... samples; -1 while none voted.

    The class with the largest sum of weights leads, of equals the one that was drawn first, and its first sample speaks
    for it: `strategies.votes.elect`.

    Args:
        classes: (samples,) the class of each sample's answer, -1 where it abstains.
        orders: (orders, drawn) indices of samples, none twice in an order.
        weights: (votes, samples) of any sign, NaN counting as 0; None for one vote of equals.
        then: (samples,) in a vote of equals, what is summed up to decide between those with as many votes.
    """
    plain = weights is None
    weights = np.ones((1, len(classes))) if weights is None else np.nan_to_num(weights)
    then = None if then is None or not plain else np.nan_to_num(then)
    drawn = np.ascontiguousarray(orders.T)
    most, rows = drawn.shape
    at, met = _places(classes, drawn)
    sums, seconds = np.zeros((len(weights), met.size)), np.zeros(met.size)
    # Whoever abstains is in a class without a chance.
    sums[:, -rows:] = -np.inf
    highest, second = (np.full((len(weights), rows), np.finfo(float).min) for _ in range(2))
    leader, led = np.full((len(weights), rows), most, np.int32), np.empty((len(weights), most, rows), np.int32)
    may_fall = bool((weights < 0).any())
    # A sample changes the sum of its own class alone: either that leads now, or who led before, unless it fell back.
    for place, here in enumerate(at):
        first, total = met[here], sums.take(here, axis=1) + weights.take(drawn[place], axis=1)
        sums[:, here] = total
        gap, slack = total - highest, ROUNDING * np.abs(total)
        ahead, tied = gap > slack, gap >= -slack
        if then is not None:
            added = seconds[here] + then[drawn[place]]
            seconds[here] = added
            lead, loose = added - second, ROUNDING * np.abs(added)
            ahead |= tied & (lead > loose) & (first < most)
            tied &= lead >= -loose
        fell = (first == leader) & (gap < -slack) & (first < most) if may_fall else None
        tied &= first < leader
        ahead |= tied
        np.maximum(highest, total, out=highest)
        np.copyto(leader, first, where=ahead)
        if then is not None:
            np.copyto(second, added, where=ahead)
        if fell is not None and fell.any():
            highest[fell], leader[fell] = _lead_again(sums, met, rows, place, fell)
        led[:, place] = leader
    # One row more, for where nobody leads.
    speakers = np.concatenate([drawn, np.full((1, rows), -1)])
    found: np.ndarray = speakers.take(led * np.intp(rows) + np.arange(rows))
    return found


def elect_weighted(classes: np.ndarray, orders: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """`elect` as equals, and then with each row of scores (votes, samples) as weights: (1 + votes, drawn, orders).

    Where all that voted so far have the same score it says nothing, and they are equals: `strategies.votes.verdict`.
    """
    led = elect(classes, orders, np.concatenate([np.ones((1, len(classes))), scores]))
    voters = classes >= 0
    # Equal scores above zero give the verdict of equals anyway.
    if (scores[:, voters] > 0).all():
        return led
    drawn = orders.T
    highest = np.maximum.accumulate(np.where(voters, scores, -np.inf)[:, drawn], axis=1)
    lowest = np.minimum.accumulate(np.where(voters, scores, np.inf)[:, drawn], axis=1)
    led[1:] = np.where(highest == lowest, led[0], led[1:])
    return led


def choose(classes: np.ndarray, orders: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(drawn, orders): the sample with the highest score (samples,) among the first 1, 2, ... that have an answer, of
    equals the one that was drawn first; -1 while none has."""
    drawn = orders.T
    score = np.where(classes >= 0, scores, -np.inf)[drawn]
    before = np.full(drawn.shape, -np.inf)
    before[1:] = np.maximum.accumulate(score, axis=0)[:-1]
    place = np.arange(len(drawn))[:, None]
    chosen = np.maximum.accumulate(np.where(score > before, place, -1), axis=0)
    return np.where(chosen >= 0, np.take_along_axis(drawn, np.maximum(chosen, 0), axis=0), -1)


def _places(classes: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the class of each drawn sample (drawn, orders) keeps its sum, and when the class kept there was first met:
    never for those who abstain, who share the last."""
    most, rows = drawn.shape
    number = int(classes.max(initial=-1)) + 2
    at = np.where(classes < 0, number - 1, classes)[drawn] * rows + np.arange(rows)
    met = np.full(number * rows, most, np.int32)
    for place in range(most - 1, -1, -1):
        met[at[place]] = place
    met[-rows:] = most
    return at, met


def _lead_again(
    sums: np.ndarray, met: np.ndarray, rows: int, place: int, fell: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The highest sum, and when its class was first met, where the leader `fell` (votes, orders) at a place."""
    vote, row = np.nonzero(fell)
    first = met.reshape(-1, rows)[:, row]
    total = np.where(first <= place, sums.reshape(len(sums), -1, rows)[vote, :, row].T, -np.inf)
    highest = total.max(axis=0)
    leads = total >= highest - ROUNDING * np.abs(highest)
    return highest, np.where(leads, first, rows + first.max()).min(axis=0)
