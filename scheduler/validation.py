"""Cross-validation: what a policy brings on problems that it was not fitted on. Needs the extra `calibrate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from models.efficiency import Curve
from models.statistics import DRAWS
from scheduler.outcomes import Recorded
from scheduler.policy import Policy
from scheduler.regression import Reliability, probabilities, reliability
from scheduler.rehearsal import bins_of, climb, outcome_of, rehearse, walk
from scheduler.rows import Rows

FLOORS = np.geomspace(1e-1, 1e-7, 61)
"""Gains per generated token down to which a job serves its queries: the settings of `adaptive`."""


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What a policy brought on some problems, in canonical FLOPs and in GPU-seconds: `policy` at each mean budget of its
    table, `adaptive` down to each of `FLOORS`."""

    policy: Curve
    policy_seconds: Curve
    adaptive: Curve
    adaptive_seconds: Curve


@dataclass(frozen=True, slots=True)
class Entry:
    """One bin under one budget: the arm (None: the probe's vote is the answer), the share of queries in the bin, in how
    many problems' orders it was met, and the accuracy there with its 95 % interval (bootstrap over problems)."""

    bin: int
    arm: int | None
    share: float
    problems: int
    accuracy: float
    low: float
    high: float


def follow(policy: Policy, rows: Rows) -> Followed:
    """A policy on rows that it was not fitted on."""
    by_budget = [rehearse(policy, rows, budget) for budget in policy.table]
    accuracy, flops, seconds = (
        np.stack([rows.by_problem(getattr(one, name)) for one in by_budget], axis=1)
        for name in ("right", "flops", "seconds")
    )
    shared = walk(policy, rows).until(FLOORS)
    gained, spent, took = (rows.by_problem(values) for values in (shared.right, shared.flops, shared.seconds))
    return Followed(Curve(accuracy, flops), Curve(accuracy, seconds), Curve(gained, spent), Curve(gained, took))


@dataclass(frozen=True, slots=True, eq=False)
class Validated:
    """Every problem under the policy of the fold that it was left out of, in order. `folds` has that policy and its
    problems."""

    followed: Followed
    folds: list[tuple[Policy, np.ndarray]]


def cross_validate(
    recorded: Sequence[Recorded], rows: Rows, fit: Callable[[Rows], Policy], folds: int, seed: int
) -> Validated:
    """Bins, calibrators and table are fitted anew without each fold; problems of the same text share one."""
    parts, made = [], []
    for left_out in _folds(recorded, folds, seed):
        kept = np.setdiff1d(np.arange(rows.problems), left_out)
        policy = fit(rows.of(kept))
        parts.append(follow(policy, rows.of(left_out)))
        made.append((policy, left_out))
    return Validated(joined(parts, np.argsort(np.concatenate([left_out for _, left_out in made]))), made)


def joined(parts: Sequence[Followed], order: np.ndarray | None = None) -> Followed:
    """What was brought on the problems of all parts, in the order given (by their numbers, one part after the other)."""

    def whole(name: str) -> Curve:
        curves: list[Curve] = [getattr(part, name) for part in parts]
        accuracy, cost = (
            np.concatenate(column) for column in zip(*((one.accuracy, one.cost) for one in curves), strict=True)
        )
        return Curve(accuracy, cost) if order is None else Curve(accuracy[order], cost[order])

    return Followed(*(whole(one.name) for one in fields(Followed)))


def _folds(recorded: Sequence[Recorded], folds: int, seed: int) -> Iterator[np.ndarray]:
    texts = sorted({one.text for one in recorded})
    order = np.random.default_rng(seed).permutation(len(texts))
    fold = {texts[place]: number % folds for number, place in enumerate(order)}
    home = np.array([fold[one.text] for one in recorded])
    for number in range(min(folds, len(texts))):
        yield np.flatnonzero(home == number)


def rung_reliability(validated: Validated, rows: Rows) -> dict[str, dict[int, Reliability]]:
    """At each rung of the probe, of what the folds foretold of their problems: that one more sample `fails`, and that the
    present answer is `right`."""
    found: dict[str, dict[int, Reliability]] = {"fails": {}, "right": {}}
    probe = validated.folds[0][0].probe
    for drawn in probe:
        place = rows.at(drawn)
        said: dict[str, list[np.ndarray]] = {"fails": [], "right": []}
        came: dict[str, list[np.ndarray]] = {"fails": [], "right": []}
        for policy, left_out in validated.folds:
            part = rows.of(left_out)
            rung = next(one for one in policy.rungs if one.drawn == drawn and not one.scored)
            known = ~np.isnan(part.fails[:, place])
            features = part.features[False][known, place]
            said["fails"].append(probabilities(rung.fails, features))
            said["right"].append(probabilities(rung.right, features))
            came["fails"].append(part.fails[known, place])
            came["right"].append(part.right[False][known, place].astype(float))
        for name in found:
            found[name][drawn] = reliability(np.concatenate(said[name]), np.concatenate(came[name]))
    return found


def entries(policy: Policy, validated: Validated, rows: Rows, budget: int) -> list[Entry]:
    """What each entry of the policy's table brings, every problem in the bin that its fold's calibrators put it into."""
    bins, right = np.zeros(len(rows.read), dtype=int), np.zeros(len(rows.read), dtype=bool)
    row = np.array([-1 if number is None else number for number in policy.table[budget]])
    for fold, left_out in validated.folds:
        part = rows.of(left_out)
        asked = policy.model_copy(update={"rungs": fold.rungs})
        probed = climb(asked, part, budget)
        places = (left_out[:, None] * rows.orders + np.arange(rows.orders)).ravel()
        bins[places] = bins_of(policy.thresholds, probed.failure)
        right[places] = outcome_of(asked, part, probed.stop, row[bins[places]]).right
    found = []
    for number, arm in enumerate(policy.table[budget]):
        inside = bins == number
        here, hits = rows.by_problem(inside.astype(float)), rows.by_problem((inside & right).astype(float))
        accuracy, low, high = ratio_interval(hits, here)
        found.append(Entry(number, arm, float(inside.mean()), int((here > 0).sum()), accuracy, low, high))
    return found


def ratio_interval(hits: np.ndarray, here: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """sum(hits) / sum(here) and its 95 % interval, a bootstrap over problems; zeros where nothing is there."""
    if not here.sum():
        return 0.0, 0.0, 0.0
    problems = len(here)
    shares = np.random.default_rng(seed).multinomial(problems, np.full(problems, 1 / problems), size=DRAWS)
    total = shares @ here
    low, high = np.quantile((shares @ hits)[total > 0] / total[total > 0], [0.025, 0.975])
    return float(hits.sum() / here.sum()), float(low), float(high)
