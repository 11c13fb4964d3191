"""Which arm each bin gets under each mean budget. Needs the extra `calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.allocation import allocate
from scheduler.policy import Policy
from scheduler.rehearsal import Probed, bins_of, ladder, outcome_of
from scheduler.rows import SAMPLED, Rows

OUTDONE = 2.0
"""Times its own FLOPs: of 1, 1.5, 2 and 3, all but the first were alike on the tiny models' calibration problems."""


@dataclass(frozen=True, slots=True, eq=False)
class _Bin:
    """Of one bin: its share of all queries, the options it has (None: nothing beyond the probe), and over those their
    accuracy and mean FLOPs; `gaps[a, b]` is the paired standard error of the difference of two, and `once` marks those of
    which every problem was seen once, which are no average over orders."""

    share: float
    options: list[int | None]
    accuracy: np.ndarray
    flops: np.ndarray
    gaps: np.ndarray
    once: np.ndarray


def choose(policy: Policy, rows: Rows, probed: Probed, budget: int) -> tuple[int | None, ...]:
    """The table's row: the most right answers whose mean FLOPs, the prompt's left out, are at most those of generating
    `budget` samples of the mean problem.

    Each bin may have every arm that is the cheapest within one paired standard error of a dearer one, or of itself; a
    search, of which each problem was seen once, only where it is surely better than votes. Those are shared out along the
    concave majorants of all bins.
    """
    bins = bins_of(policy.thresholds, probed.failure)
    found = [
        _measure(policy, rows, probed, bins == number, _options(policy, budget, number))
        for number in range(len(policy.thresholds) + 1)
    ]
    kept = [_cheapest_within_error(one) for one in found]
    curves = [
        [one.share * one.accuracy[option] for option in options] for one, options in zip(found, kept, strict=True)
    ]
    costs = [
        [one.share * (one.flops[option] - one.flops[0]) for option in options]
        for one, options in zip(found, kept, strict=True)
    ]
    left = budget * float(rows.unit.mean()) - sum(one.share * one.flops[0] for one in found)
    chosen = allocate(curves, costs, left)
    return tuple(one.options[options[option]] for one, options, option in zip(found, kept, chosen, strict=True))


def _options(policy: Policy, budget: float, bin_: int) -> list[int | None]:
    """No sampling arm that the probe has overtaken. A search was recorded as it runs behind the whole probe, where the
    easiest bin need not come from."""
    end = ladder(policy.probe, budget)[-1]
    behind = end == policy.probe[-1] and bin_ > 0
    return [
        None,
        *(
            number
            for number, arm in enumerate(policy.arms)
            if (arm.samples >= end if arm.strategy in SAMPLED else behind)
        ),
    ]


def _measure(policy: Policy, rows: Rows, probed: Probed, inside: np.ndarray, options: Sequence[int | None]) -> _Bin:
    count, outcomes = inside.sum(), []
    once = np.array([number is not None and policy.arms[number].strategy not in SAMPLED for number in options])
    for number in options:
        chosen = np.full(len(inside), -1 if number is None else number)
        outcomes.append(outcome_of(policy, rows, probed.stop, chosen))
    prefill = np.repeat(rows.prefill, rows.orders)
    right = np.stack([one.right for one in outcomes], axis=1) * inside[:, None]
    flops = np.stack([one.flops - prefill for one in outcomes], axis=1) * inside[:, None]
    if not count:
        empty = np.zeros(len(options))
        return _Bin(0.0, list(options), empty, empty, np.zeros((len(options), len(options))), once)
    return _Bin(
        share=float(count / len(inside)),
        options=list(options),
        accuracy=right.sum(axis=0) / count,
        flops=flops.sum(axis=0) / count,
        gaps=_paired_errors(rows.by_problem(right), rows.by_problem(inside.astype(float))),
        once=once,
    )


def _paired_errors(right: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The standard error over problems of the difference of two options' accuracies within the bin, a ratio of sums:
    `right` (problems, options) and `inside` (problems,) are means over a problem's orders."""
    total = inside.sum()
    gaps = right[:, :, None] - right[:, None, :]
    residues = gaps - gaps.sum(axis=0) / total * inside[:, None, None]
    errors: np.ndarray = np.sqrt((residues**2).sum(axis=0)) / total
    return errors


def _cheapest_within_error(one: _Bin) -> list[int]:
    """Of each option the cheapest that is as good, in order of their numbers; the first, which costs nothing, always.

    Of two that are as good the one known less well would win too often. So what was seen once is left out unless it beats
    every average of at most `OUTDONE` times its cost by more than the error.
    """
    outdone = (one.flops[:, None] <= OUTDONE * one.flops[None, :]) & ~one.once[:, None]
    beaten = one.accuracy[:, None] + one.gaps >= one.accuracy[None, :]
    known = ~one.once | ~(outdone & beaten).any(axis=0)
    alike = (one.accuracy[None, :] >= one.accuracy[:, None] - one.gaps) & known
    cost = np.where(alike & (one.flops[None, :] <= one.flops[:, None]), one.flops[None, :], np.inf)
    return sorted({0, *(int(option) for option in cost.argmin(axis=1)[known])})
