"""Rows: every order of every recorded problem, at the numbers of samples at which a policy may stop. Needs the extra
`calibrate`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from scheduler.allocation import VOTES, is_judged
from scheduler.outcomes import Recorded
from scheduler.policy import Arm
from scheduler.replay import Replay, draw_orders
from strategies.evidence import FEATURES

SAMPLED = (*VOTES, "best_of_n", "adaptive_consistency")
"""Strategies of which any number of samples can be replayed."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """R orders of each of P problems, one problem after the other: arrays (P * R, ...).

    At the numbers of samples `grid`, where scored tells whether the verifier has read them: features[scored] (rows, grid,
    features); right[scored] whether the vote is (weighted where scored); paid[scored] and seconds[scored] the canonical
    FLOPs and GPU-seconds so far; read whether any answer was; fails the share of wrong ones among the samples behind,
    NaN where there are none; length the mean generated tokens of a sample.

    Of each arm: whether its answer is right, and all its FLOPs and GPU-seconds, those of a vote from its first sample
    on, those of anything else without the probe. No FLOPs hold the prompt's prefill: that is `prefill`, by problem, as
    `unit` is, the mean of generating one sample.
    """

    grid: tuple[int, ...]
    orders: int
    features: dict[bool, np.ndarray]
    right: dict[bool, np.ndarray]
    paid: dict[bool, np.ndarray]
    seconds: dict[bool, np.ndarray]
    read: np.ndarray
    fails: np.ndarray
    length: np.ndarray
    arm_right: np.ndarray
    arm_flops: np.ndarray
    arm_seconds: np.ndarray
    prefill: np.ndarray
    unit: np.ndarray

    @property
    def problems(self) -> int:
        return len(self.unit)

    def at(self, samples: int) -> int:
        """The place of a number of samples in the grid."""
        return self.grid.index(samples)

    def by_problem(self, values: np.ndarray) -> np.ndarray:
        """The mean over a problem's orders: (rows, ...) to (problems, ...)."""
        means: np.ndarray = values.reshape(self.problems, self.orders, *values.shape[1:]).mean(axis=1)
        return means

    def of(self, chosen: np.ndarray) -> Rows:
        """Those of some problems alone, by their numbers."""
        kept = (chosen[:, None] * self.orders + np.arange(self.orders)).ravel()
        changed: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, dict):
                changed[one.name] = {key: array[kept] for key, array in value.items()}
            elif isinstance(value, np.ndarray):
                changed[one.name] = value[chosen if one.name in ("prefill", "unit") else kept]
        return replace(self, **changed)

    def telling(self, names: Collection[str]) -> Rows:
        """With these features alone; the others are 0 everywhere."""
        mask = np.array([name in names for name in FEATURES])
        return replace(self, features={scored: values * mask for scored, values in self.features.items()})

    def shuffled(self, seed: int) -> Rows:
        """With the features of another problem at each: they tell nothing any more."""
        order = np.random.default_rng(seed).permutation(self.problems)
        return replace(self, features=self.of(order).features)


def rows_of(
    recorded: Sequence[Recorded],
    arms: Sequence[Arm],
    probe: Sequence[int],
    *,
    orders: int,
    seed: int,
    greedy_first: bool = True,
) -> Rows:
    """Replay every problem in `orders` random orders.

    Raises:
        ValueError: an arm needs more samples than were recorded, or is no vote and was not run.
    """
    votes = [arm for arm in arms if arm.strategy in SAMPLED]
    grid = tuple(sorted({*probe, *(arm.samples for arm in votes if arm.strategy in VOTES)}))
    most = min(one.samples for one in recorded) - (0 if greedy_first else 1)
    if max(*grid, *(arm.samples for arm in votes)) > most:
        raise ValueError(f"{most} samples of each problem are recorded, and an arm needs more")
    parts: dict[str, list[np.ndarray]] = {}
    for number, one in enumerate(recorded):
        rng = np.random.default_rng([seed, number])
        replay = Replay(one, draw_orders(one.samples, orders, rng, greedy_first=greedy_first))
        for name, values in {**_at_points(replay, grid), **_of_arms(replay, arms)}.items():
            parts.setdefault(name, []).append(values)
    whole = {name: np.concatenate(values) for name, values in parts.items()}
    pairs = {
        name: {scored: whole.pop(f"{name} {scored}") for scored in (False, True)}
        for name in ("features", "right", "paid", "seconds")
    }
    return Rows(
        grid=grid,
        orders=orders,
        prefill=np.array([one.prefill for one in recorded]),
        unit=np.array([one.unit for one in recorded]),
        **pairs,  # type: ignore[arg-type]
        **whole,  # type: ignore[arg-type]
    )


def _at_points(replay: Replay, grid: Sequence[int]) -> dict[str, np.ndarray]:
    one = replay.one

    def each(of: np.ndarray) -> np.ndarray:
        return np.stack([replay.total(n, of) for n in grid], axis=1)

    return {
        "features False": np.stack([replay.features(n, scored=False) for n in grid], axis=1),
        "features True": np.stack([replay.features(n, scored=True) for n in grid], axis=1),
        "right False": np.stack([replay.majority(n) for n in grid], axis=1),
        "right True": np.stack([replay.weighted(n) for n in grid], axis=1),
        "paid False": each(one.drawing),
        "paid True": each(one.drawing + one.scoring),
        "seconds False": each(one.drawing_seconds),
        "seconds True": each(one.drawing_seconds + one.scoring_seconds),
        "read": np.stack([replay.read(n) for n in grid], axis=1),
        "fails": np.stack([replay.fails(n) for n in grid], axis=1),
        "length": each(one.tokens) / np.array(grid),
    }


def _of_arms(replay: Replay, arms: Sequence[Arm]) -> dict[str, np.ndarray]:
    right, flops, seconds = zip(*(_outcome(replay, number, arm) for number, arm in enumerate(arms)), strict=True)
    return {
        "arm_right": np.stack(right, axis=1),
        "arm_flops": np.stack(flops, axis=1),
        "arm_seconds": np.stack(seconds, axis=1),
    }


def _outcome(replay: Replay, number: int, arm: Arm) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether it is right, its FLOPs without a prefill, and its GPU-seconds: one for each order."""
    one, alike = replay.one, np.ones(len(replay.orders))
    if arm.strategy not in SAMPLED:
        found = one.searches.get(number)
        if found is None:
            raise ValueError(f"{arm} cannot be replayed, and was not run on problem {one.key!r}")
        return alike * found.right > 0, alike * (found.flops - one.prefill), alike * found.seconds
    flops = one.drawing + one.scoring * is_judged(arm)
    seconds = one.drawing_seconds + one.scoring_seconds * is_judged(arm)
    if arm.strategy == "adaptive_consistency":
        stops = replay.settled(arm.samples)
        right, spent, took = np.zeros(len(alike), dtype=bool), alike * 0, alike * 0
        for stop in np.unique(stops):
            here = stops == stop
            right = np.where(here, replay.majority(int(stop)), right)
            spent = np.where(here, replay.total(int(stop), flops), spent)
            took = np.where(here, replay.total(int(stop), seconds), took)
        return right, spent, took
    ways = {"majority_vote": replay.majority, "weighted_vote": replay.weighted, "best_of_n": replay.best}
    return ways[arm.strategy](arm.samples), replay.total(arm.samples, flops), replay.total(arm.samples, seconds)
