"""Calibration: from recorded outcomes to a policy and the evidence for it. Needs the extra `calibrate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from models.efficiency import Curve, Efficiency, efficiency_factor
from scheduler.allocation import VOTES, is_judged
from scheduler.choice import choose
from scheduler.outcomes import Recorded
from scheduler.policy import SEED_PROBE, Arm, Policy, Rung
from scheduler.regression import fit_logistic, probabilities
from scheduler.rehearsal import climb
from scheduler.replay import curve_of
from scheduler.rows import SAMPLED, Rows, rows_of
from scheduler.validation import Validated, cross_validate, entries, ratio_interval, rung_reliability

ORDERS = 32
"""Random orders of each problem's samples that calibrators are fitted on."""

BINS = 5
"""As many as Snell et al. have (2408.03314, section 3.2). Their bounds are quantiles of the predicted failure, unless given;
more bins hold too few problems to tell their arms apart."""

FOLDS = 5

TARGETS = (0.5, 0.8, 0.9)
"""Of efficiency factors: which part of what uniform weighted best-of-N gains over a single sample is to be reached."""


def calibrate(
    recorded: Sequence[Recorded],
    arms: Sequence[Arm],
    generator: tuple[str, str],
    verifier: tuple[str, str] | None,
    budgets: Sequence[int],
    *,
    probe: Sequence[int] = SEED_PROBE,
    thresholds: Sequence[float] | None = None,
    orders: int = ORDERS,
    seed: int = 0,
) -> tuple[Policy, dict[str, Any]]:
    """A policy fitted on all problems, and its evidence, estimated by cross-validation.

    Args:
        generator, verifier: names with identities.
        arms: every arm is a sampling strategy, or was run on every problem (`Recorded.searches`, by its number here). A
            search's job had `samples` less the probe's last rung, for that is what is left to it.
        budgets: mean budgets a query, in samples, of each of which the table gets a row; sorted and without doubles.
        thresholds: between the bins; by quantiles unless given.

    Raises:
        ValueError: an arm has no outcomes, or one is judged and there is no verifier.
    """
    if verifier is None and any(is_judged(arm) for arm in arms):
        raise ValueError("an arm is judged, and there is no verifier")

    def fitted(some: Rows) -> Policy:
        return fit(some, arms, generator, verifier, budgets, probe=probe, thresholds=thresholds)

    rows = rows_of(recorded, arms, probe, orders=orders, seed=seed)
    policy = fitted(rows)
    validated = cross_validate(recorded, rows, fitted, FOLDS, seed)
    return policy, _evidence(policy, validated, recorded, rows, seed)


def fit(
    rows: Rows,
    arms: Sequence[Arm],
    generator: tuple[str, str],
    verifier: tuple[str, str] | None,
    budgets: Sequence[int],
    *,
    probe: Sequence[int] = SEED_PROBE,
    thresholds: Sequence[float] | None = None,
) -> Policy:
    """The policy alone: calibrators, then thresholds, then the table. Arguments as of `calibrate`."""
    unit = rows.unit.mean()
    policy = Policy(
        generator=generator[0],
        generator_identity=generator[1],
        verifier=verifier[0] if verifier else None,
        verifier_identity=verifier[1] if verifier else None,
        thresholds=tuple(thresholds or ()),
        probe=tuple(probe),
        arms=tuple(arms),
        costs=tuple(float(cost) for cost in rows.arm_flops.mean(axis=0) / unit),
        scoring=float(_scoring(rows) / unit),
        table={1: (None,) * (len(thresholds or ()) + 1)},
        rungs=tuple(_rungs(rows, arms, probe)),
    )
    if thresholds is None:
        policy = policy.model_copy(update={"thresholds": _quantiles(policy, rows)})
    table = {budget: choose(policy, rows, climb(policy, rows, budget), budget) for budget in budgets}
    return policy.model_copy(update={"table": table})


def _quantiles(policy: Policy, rows: Rows) -> tuple[float, ...]:
    """What cuts the predictions behind the whole probe into bins of equal size, none of them twice."""
    last = next(rung for rung in policy.rungs if rung.drawn == policy.probe[-1] and not rung.scored)
    failure = probabilities(last.fails, rows.features[False][:, rows.at(last.drawn)])
    cuts = np.quantile(failure, np.arange(1, BINS) / BINS)
    return tuple(sorted({float(cut) for cut in cuts if 0 < cut < 1}))


def _scoring(rows: Rows) -> float:
    """Mean FLOPs of scoring one sample."""
    return float((rows.paid[True] - rows.paid[False])[:, -1].mean() / rows.grid[-1])


def _rungs(rows: Rows, arms: Sequence[Arm], probe: Sequence[int]) -> Iterator[Rung]:
    """One for each number of samples at which a query may stand; with scores only where an arm asks for them."""
    judged = any(arm.strategy in VOTES and is_judged(arm) for arm in arms)
    for scored in (False, True) if judged else (False,):
        for place, drawn in enumerate(rows.grid):
            # Where no answer could be read, nothing counts as scored.
            weight = np.where(rows.read[:, place] | (not scored), 1 / rows.orders, 0.0)
            features, fails = rows.features[scored][:, place], rows.fails[:, place]
            known = ~np.isnan(fails)
            yield Rung(
                drawn=drawn,
                scored=scored,
                fails=fit_logistic(features[known], fails[known], weight[known]),
                right=fit_logistic(features, rows.right[scored][:, place].astype(float), weight),
                arms={
                    number: fit_logistic(features, rows.arm_right[:, number].astype(float), weight)
                    for number, arm in enumerate(arms)
                    if _can_follow(arm, drawn, probe, scored=scored)
                },
            )


def _can_follow(arm: Arm, drawn: int, probe: Sequence[int], *, scored: bool) -> bool:
    """Whether an arm can still be granted. What is scored is voted on with its scores; a search was recorded as it runs
    behind the whole probe; other samplings end a query, and have no place among grants."""
    if arm.strategy not in SAMPLED:
        return drawn == probe[-1]
    if arm.strategy not in VOTES or (scored and not is_judged(arm)):
        return False
    return arm.samples > drawn or (arm.samples == drawn and is_judged(arm) and not scored)


def _evidence(
    policy: Policy, validated: Validated, recorded: Sequence[Recorded], rows: Rows, seed: int
) -> dict[str, Any]:
    """All that is reported of a calibration, as JSON; costs are canonical FLOPs a query unless they are named otherwise."""
    most = max(recorded[0].samples // 2, 1)
    judged = policy.verifier is not None
    strategy = "weighted_vote" if judged else "majority_vote"
    uniform = curve_of(recorded, strategy, most, greedy_first=False, seed=seed)
    base = Curve(uniform["accuracy"], uniform["flops"])
    followed = validated.followed
    factors = {
        name: {str(q): efficiency_factor(base, ours, q, seed=seed) for q in TARGETS}
        for name, ours in (("policy", followed.policy), ("adaptive", followed.adaptive))
    }
    spent = calibration_cost(recorded)
    return {
        "problems": len(recorded),
        "samples": recorded[0].samples,
        "orders": rows.orders,
        "folds": len(validated.folds),
        "seed": seed,
        "sample_flops": float(rows.unit.mean()),
        "cost": spent,
        "budgets": {
            str(budget): {
                **_mean(followed.policy, place),
                "gpu_seconds": float(followed.policy_seconds.cost[:, place].mean()),
                "bins": [asdict(one) for one in entries(policy, validated, rows, budget)],
            }
            for place, budget in enumerate(policy.table)
        },
        "adaptive": [_mean(followed.adaptive, place) for place in _distinct(followed.adaptive)],
        "uniform": {"strategy": strategy, "curve": [_mean(base, place) for place in range(most)]},
        "efficiency": {name: {q: asdict(one) for q, one in by_q.items()} for name, by_q in factors.items()},
        "break_even": {name: break_even(spent["flops"], by_q["0.8"]) for name, by_q in factors.items()},
        "reliability": {
            name: {str(drawn): asdict(one) for drawn, one in by_rung.items()}
            for name, by_rung in rung_reliability(validated, rows).items()
        },
    }


def _mean(curve: Curve, place: int) -> dict[str, float]:
    accuracy, low, high = ratio_interval(curve.accuracy[:, place], np.ones(len(curve.accuracy)))
    return {"accuracy": accuracy, "low": low, "high": high, "flops": float(curve.cost[:, place].mean())}


def _distinct(curve: Curve) -> list[int]:
    """The settings that cost more than the one before."""
    cost = curve.cost.mean(axis=0)
    return [place for place in range(len(cost)) if place == 0 or cost[place] > cost[place - 1]]


def calibration_cost(recorded: Sequence[Recorded]) -> dict[str, float]:
    """What drawing, scoring and searching took, in canonical FLOPs and GPU-seconds."""
    searches = [found for one in recorded for found in one.searches.values()]
    sampled = sum(float(one.prefill + one.drawing.sum() + one.scoring.sum()) for one in recorded)
    seconds = sum(float(one.drawing_seconds.sum() + one.scoring_seconds.sum()) for one in recorded)
    return {
        "flops": sampled + sum(one.flops for one in searches),
        "gpu_seconds": seconds + sum(one.seconds for one in searches),
    }


def break_even(cost: float, factor: Efficiency) -> float | None:
    """After how many problems what is saved on each has paid for the calibration; None where nothing is saved."""
    if factor.base is None or factor.ours is None or factor.base <= factor.ours:
        return None
    return cost / (factor.base - factor.ours)
