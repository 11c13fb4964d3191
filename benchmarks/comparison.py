"""What compute-optimal answering is worth: curves of every strategy on held-out problems, efficiency factors against two
baselines, and the ablations that keep them honest. All of it is replayed from recorded problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.baselines import Factors, Judge, Line, line_of, single_lines
from models.efficiency import Curve
from models.statistics import DRAWS
from scheduler.calibration import BINS, calibration_cost, fit
from scheduler.choice import choose
from scheduler.outcomes import Recorded
from scheduler.policy import Arm, Policy
from scheduler.regression import Reliability, probabilities, reliability
from scheduler.rehearsal import Probed, rehearse
from scheduler.replay import curve_of
from scheduler.rows import Rows, rows_of
from scheduler.validation import FLOORS, Followed, follow, joined

PROBE = (1, 2, 4)
SUBSETS = 1000
"""Random orders of each problem behind a headline figure; `FEWER` behind seeds and ablations."""
FEWER = 100
FITTED_ON = 32
"""Random orders of each problem that calibrators are fitted on."""
SEEDS = 5
AT_ONCE = 50
BUDGETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
VOTES = ("majority_vote", "weighted_vote")


@dataclass(frozen=True, slots=True)
class Variant:
    """An ablation: E_q in FLOPs of the two allocations, None where it has no such."""

    name: str
    policy: Factors | None
    adaptive: Factors | None


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Everything that is reported of one mix of problems; `factors` by (allocation, unit), `seeds` by (allocation, q): E_q
    in FLOPs against both baselines under each calibration seed, None where it is not reached; `reliability` of the
    predicted failures by rung, on held-out problems."""

    policy: Policy
    lines: dict[str, Line]
    factors: dict[tuple[str, str], Factors]
    seeds: dict[tuple[str, float], list[tuple[float | None, float | None]]]
    variants: list[Variant]
    reliability: dict[int, Reliability]
    calibration: list[Recorded]
    held_out: list[Recorded]
    cost: dict[str, float]


def arms_of(samples: int, searches: Sequence[tuple[str, int]]) -> list[Arm]:
    """All that a policy may choose from: the searches in their order, with the width they ran at; votes of up to half of
    the samples, of which random subsets still differ."""
    behind = [Arm(strategy=strategy, samples=width + PROBE[-1]) for strategy, width in searches]
    sizes = [n for n in (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64) if n <= samples // 2]
    return [*behind, *(Arm(strategy=name, samples=n) for name in VOTES for n in sizes)]


def compare(
    calibration: Sequence[Recorded],
    held_out: Sequence[Recorded],
    searches: Sequence[tuple[str, int]],
    *,
    subsets: int = SUBSETS,
    draws: int = DRAWS,
) -> Comparison:
    """`searches`: strategy and width of those whose outcomes were recorded under their place here. `subsets` random orders
    of the samples are behind headline figures, `draws` resamples behind intervals."""
    most = min(one.samples for one in calibration) // 2
    arms = arms_of(2 * most, searches)
    known = single_lines(calibration, most, searches, FEWER)
    lines = single_lines(held_out, most, searches, subsets)
    judge = Judge(known, dict(lines), draws)
    rows = rows_of(calibration, arms, PROBE, orders=FITTED_ON, seed=0)
    policy = fitted(rows, arms)
    ours = follow_all(policy, held_out, arms, subsets)
    lines |= _our_lines(policy, ours)
    stopping = curve_of(held_out, "adaptive_consistency", most, greedy_first=True, orders=subsets)
    lines["adaptive_consistency"] = line_of(stopping)
    return Comparison(
        policy=policy,
        lines=lines,
        factors={
            (name, unit): judge.factors(lines[name].cost(unit), unit)
            for name in ("policy", "adaptive")
            for unit in ("flops", "seconds")
        },
        seeds=_seeds(calibration, held_out, arms, judge),
        variants=_variants(rows, calibration, held_out, arms, judge, lines),
        reliability=_reliability(policy, rows_of(held_out, arms, PROBE, orders=FEWER, seed=97)),
        calibration=list(calibration),
        held_out=list(held_out),
        cost=calibration_cost(calibration),
    )


def _our_lines(policy: Policy, ours: Followed) -> dict[str, Line]:
    floors = [f"{floor:.1e}" for floor in FLOORS]
    return {
        "policy": Line([str(budget) for budget in policy.table], ours.policy, ours.policy_seconds),
        "adaptive": Line(floors, ours.adaptive, ours.adaptive_seconds),
    }


def fitted(rows: Rows, arms: Sequence[Arm], probe: Sequence[int] = PROBE) -> Policy:
    return fit(rows, arms, ("tiny", ""), ("tiny-prm", ""), BUDGETS, probe=probe)


def follow_all(policy: Policy, recorded: Sequence[Recorded], arms: Sequence[Arm], orders: int) -> Followed:
    """A few problems at a time: a thousand orders of all of them would not fit into memory."""
    parts = [recorded[start : start + AT_ONCE] for start in range(0, len(recorded), AT_ONCE)]
    return joined(
        [follow(policy, rows_of(part, arms, PROBE, orders=orders, seed=7 + i)) for i, part in enumerate(parts)]
    )


def _reliability(policy: Policy, rows: Rows) -> dict[int, Reliability]:
    found = {}
    for rung in policy.rungs:
        if not rung.scored and rung.drawn in PROBE:
            place = rows.at(rung.drawn)
            said = probabilities(rung.fails, rows.features[False][:, place])
            found[rung.drawn] = reliability(said, rows.fails[:, place])
    return found


def _seeds(
    calibration: Sequence[Recorded], held_out: Sequence[Recorded], arms: Sequence[Arm], judge: Judge
) -> dict[tuple[str, float], list[tuple[float | None, float | None]]]:
    """Each seed calibrates on another four fifths of the problems, in other orders."""
    found: dict[tuple[str, float], list[tuple[float | None, float | None]]] = {}
    tested = rows_of(held_out, arms, PROBE, orders=FEWER, seed=99)
    for seed in range(1, SEEDS + 1):
        rows = rows_of(calibration, arms, PROBE, orders=FITTED_ON, seed=seed)
        chosen = np.random.default_rng(seed).permutation(len(calibration))[: max(4 * len(calibration) // 5, 1)]
        ours = follow(fitted(rows.of(np.sort(chosen)), arms), tested)
        for name, curve in (("policy", ours.policy), ("adaptive", ours.adaptive)):
            for q, (first, second, _) in judge.factors(curve).by_q.items():
                found.setdefault((name, q), []).append((first.factor, second.factor))
    return found


def _variants(
    rows: Rows,
    calibration: Sequence[Recorded],
    held_out: Sequence[Recorded],
    arms: Sequence[Arm],
    judge: Judge,
    lines: dict[str, Line],
) -> list[Variant]:
    tested = rows_of(held_out, arms, PROBE, orders=FEWER, seed=98)

    def changed(name: str, one: Callable[[Rows], Rows], other: Callable[[Rows], Rows]) -> Variant:
        ours = follow(fitted(one(rows), arms), other(tested))
        return Variant(name, judge.factors(ours.policy), judge.factors(ours.adaptive))

    def only(strategy: str) -> Variant:
        few = [arm for arm in arms if arm.strategy == strategy]
        ours = follow(
            fitted(rows_of(calibration, few, PROBE, orders=FITTED_ON, seed=0), few),
            rows_of(held_out, few, PROBE, orders=FEWER, seed=98),
        )
        return Variant(f"N alone, by {strategy}", judge.factors(ours.policy), judge.factors(ours.adaptive))

    return [
        changed("predicted, as above", lambda known: known, lambda known: known),
        Variant("oracle bins", judge.factors(_oracle(calibration, held_out, arms)), None),
        Variant(
            "early stopping alone (adaptive consistency)", judge.factors(lines["adaptive_consistency"].flops), None
        ),
        *(only(strategy) for strategy in VOTES),
        changed(
            "prompt length alone", lambda known: known.telling({"prompt"}), lambda known: known.telling({"prompt"})
        ),
        changed("evidence shuffled over problems", lambda known: known.shuffled(1), lambda known: known.shuffled(2)),
    ]


def _oracle(calibration: Sequence[Recorded], held_out: Sequence[Recorded], arms: Sequence[Arm]) -> Curve:
    """Bins by the true share of wrong samples, in one half of them; answers are made of the other half. Nothing is probed
    but for the greedy sample, with which every vote begins."""
    most = calibration[0].samples // 2
    few = [arm for arm in arms if arm.strategy not in VOTES or arm.samples <= most]
    halves = [[half(one, 1) for one in recorded] for recorded in (calibration, held_out)]
    rows, tested = (
        rows_of(recorded, few, (1,), orders=orders, seed=0)
        for recorded, orders in zip(halves, (FITTED_ON, FEWER), strict=True)
    )
    truth, true = (
        np.repeat([1 - half(one, 0).right[1:].mean() for one in recorded], part.orders)
        for recorded, part in ((calibration, rows), (held_out, tested))
    )
    cuts = sorted({float(cut) for cut in np.quantile(truth, np.arange(1, BINS) / BINS) if 0 < cut < 1})
    policy = fit(rows, few, ("tiny", ""), ("tiny-prm", ""), BUDGETS, probe=(1,), thresholds=cuts)
    known, met = (Probed(values, np.zeros(len(values), dtype=int)) for values in (truth, true))
    policy = policy.model_copy(update={"table": {budget: choose(policy, rows, known, budget) for budget in BUDGETS}})
    outcomes = [rehearse(policy, tested, budget, met) for budget in BUDGETS]
    right, flops = (
        np.stack([tested.by_problem(getattr(one, name)) for one in outcomes], axis=1) for name in ("right", "flops")
    )
    return Curve(right, flops)


def half(one: Recorded, which: int) -> Recorded:
    """The greedy sample and every other one of the rest."""
    kept = np.array([0, *range(1 + which, one.samples, 2)])
    changed = {
        name: getattr(one, name)[kept]
        for name in (
            "answer_class", "right", "score", "logprob", "weakest", "tokens", "drawing", "scoring", "drawing_seconds",
            "scoring_seconds",
        )
    }  # fmt: skip
    return replace(one, **changed)
