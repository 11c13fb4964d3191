"""The two baselines: weighted best-of-N, and the best single strategy; both spend the same on every problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.efficiency import Curve, Efficiency, efficiency_factor
from scheduler.calibration import TARGETS
from scheduler.outcomes import Recorded
from scheduler.replay import curve_of

UNIFORM = "weighted_vote"
"""The first baseline: weighted best-of-N, the same N for every problem."""

SINGLES: dict[str, tuple[str, bool]] = {
    "weighted_vote": ("weighted_vote", False),
    "weighted_vote, greedy first": ("weighted_vote", True),
    "majority_vote": ("majority_vote", False),
    "majority_vote, greedy first": ("majority_vote", True),
    "best_of_n": ("best_of_n", False),
}
"""What the second baseline is chosen among, beside greedy and the searches: the strategy, and whether the greedy sample is
the first of its N."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One strategy: what its settings are called, and what each brought, in canonical FLOPs and in GPU-seconds."""

    settings: list[str]
    flops: Curve
    seconds: Curve

    def cost(self, unit: str) -> Curve:
        return self.flops if unit == "flops" else self.seconds


@dataclass(frozen=True, slots=True)
class Factors:
    """E_q against both baselines, in one unit: by q, the factor against the first, against the second, and which single
    strategy that was."""

    by_q: dict[float, tuple[Efficiency, Efficiency, str]]


def single_lines(
    recorded: Sequence[Recorded], most: int, searches: Sequence[tuple[str, int]], orders: int
) -> dict[str, Line]:
    """Every strategy that spends the same on each problem, sampling at every N; `searches` as of `compare`."""
    found = {
        name: line_of(curve_of(recorded, strategy, most, greedy_first=first, orders=orders))
        for name, (strategy, first) in SINGLES.items()
    }
    first = found["majority_vote, greedy first"]
    found["greedy"] = Line(
        ["1"], *(Curve(one.accuracy[:, :1], one.cost[:, :1]) for one in (first.flops, first.seconds))
    )
    for strategy in dict(searches):
        widths = {number: width for number, (name, width) in enumerate(searches) if name == strategy}
        ran = [[one.searches[number] for number in widths] for one in recorded]
        right, flops, seconds = (
            np.array([[float(getattr(one, name)) for one in row] for row in ran])
            for name in ("right", "flops", "seconds")
        )
        names = [str(width) for width in widths.values()]
        found[strategy] = Line(names, Curve(right, flops), Curve(right, seconds))
    return found


def line_of(found: dict[str, np.ndarray]) -> Line:
    names = [str(n + 1) for n in range(found["accuracy"].shape[1])]
    return Line(names, Curve(found["accuracy"], found["flops"]), Curve(found["accuracy"], found["seconds"]))


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Compares with both baselines: `held_out` has their curves, `known` those on calibration problems, by which the second
    is chosen."""

    known: dict[str, Line]
    held_out: dict[str, Line]
    draws: int

    def factors(self, ours: Curve, unit: str = "flops") -> Factors:
        reference = self.held_out[UNIFORM].cost(unit)
        found = {}
        for q in TARGETS:
            name = self.best_single(q, unit)
            found[q] = (
                efficiency_factor(reference, ours, q, draws=self.draws),
                efficiency_factor(self.held_out[name].cost(unit), ours, q, reference=reference, draws=self.draws),
                name,
            )
        return Factors(found)

    def best_single(self, q: float, unit: str) -> str:
        """The strategy that reaches the accuracy in question for the least on calibration problems, of those that reach
        it on held-out ones at all: nothing can be compared with one that does not."""

        def cost(lines: dict[str, Line], name: str) -> float | None:
            return efficiency_factor(lines[UNIFORM].cost(unit), lines[name].cost(unit), q, draws=1).ours

        reached = {name: cost(self.known, name) for name in self.known if cost(self.held_out, name) is not None}
        return min((least, name) for name, least in reached.items() if least is not None)[1]
