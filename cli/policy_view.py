"""How a policy is shown: what a query gets by its budget and bin, and what that was measured to bring."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import ValidationError
from rich.table import Table

from cli import output
from models.errors import UserError
from scheduler.measured import Accuracy, Factor, Measured
from scheduler.policy import Arm, Policy

SETTLED = "the probe's vote"
FORETOLD = {"fails": "one more sample is wrong", "right": "the present answer is right"}
TARGET = "0.8"
"""Of the efficiency factor that is shown: the part of the uniform strategy's gain that is to be reached."""


def measured_of(evidence: dict[str, Any] | None, whole: str) -> Measured | None:
    """The evidence of the policy called `whole`, None for one without.

    Raises:
        UserError: it is of a form that is not known.
    """
    try:
        return Measured.model_validate(evidence) if evidence is not None else None
    except ValidationError:
        raise UserError(
            f"{whole}: its evidence was kept by another version of tts-jobs; `--json` shows it as it is"
        ) from None


def show_policy(policy: Policy, measured: Measured | None, whole: str) -> None:
    """The table with what each entry brings, and all that is known of how it came about."""
    say = output.console.print
    say(f"[bold]{output.safe(whole)}[/bold]: {output.safe(origin(policy, measured))}", soft_wrap=True)
    budgets = list(policy.table)
    columns = [("one more sample is wrong", "left"), *((f"budget {budget}", "left") for budget in budgets)]
    rows = [
        [name, *(_cell(policy, measured, budget, bin_) for budget in budgets)] for bin_, name in enumerate(bins(policy))
    ]
    if measured is not None:
        rows.append(["all", *(_all(measured, budget) for budget in budgets)])
    made = output.table(None, columns, rows)
    made.show_lines = measured is not None
    say(made)
    probe = ", ".join(map(str, policy.probe))
    say(f"probe: {probe} samples, the first one greedy; it ends early where a query looks easiest", soft_wrap=True)
    if measured is None:
        say(
            "no evidence is kept with it" if policy.calibrated else "not calibrated: a table by hand, without evidence",
            soft_wrap=True,
        )
        return
    say(_reliability(measured))
    for line in _worth(measured):
        say(line, soft_wrap=True)


def origin(policy: Policy, measured: Measured | None) -> str:
    """`tiny with tiny-prm, measured on 400 problems of FILE (template tiny), 64 samples each`."""
    models = f"{policy.generator} with {policy.verifier or 'no verifier'}"
    if measured is None:
        return models
    source = measured.source
    asked = f" of {source.dataset} (template {source.template})" if source is not None else ""
    return f"{models}, measured on {measured.problems:,} problems{asked}, {measured.samples} samples each"


def bins(policy: Policy) -> list[str]:
    """`below 30 %`, `30 to 60 %`, ..., `from 85 %`: of the probability that one more sample is wrong."""
    at = [f"{100 * one:.3g}" for one in policy.thresholds]
    if not at:
        return ["any"]
    return [f"below {at[0]} %", *(f"{low} to {high} %" for low, high in pairwise(at)), f"from {at[-1]} %"]


def arm_of(policy: Policy, budget: int, bin_: int) -> Arm | None:
    number = policy.table[budget][bin_]
    return None if number is None else policy.arms[number]


def name_of(arm: Arm | None) -> str:
    """`beam_search 16 (beam_width=4)`."""
    if arm is None:
        return SETTLED
    # Every vote behind a probe begins with its greedy sample.
    told = {name: value for name, value in arm.parameters.items() if name != "greedy_first"}
    parameters = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in told.items())
    return f"{arm} ({parameters})" if parameters else str(arm)


def interval(one: Accuracy) -> str:
    return f"{output.percent(one.accuracy)} ({100 * one.low:.1f} to {100 * one.high:.1f})"


def times(one: Factor | None) -> str:
    """`at least 1.84 (1.20 to 2.51)`, or that it is unknown because the accuracy was not reached."""
    if one is None or one.factor is None:
        return "(not reached)"
    low = "not reached" if one.low is None else f"{one.low:.2f}"
    high = "unknown" if one.high is None else f"{one.high:.2f}"
    return f"{'at least ' if one.at_least else ''}{one.factor:.2f} ({low} to {high})"


def _cell(policy: Policy, measured: Measured | None, budget: int, bin_: int) -> str:
    said = name_of(arm_of(policy, budget, bin_))
    one = measured.at(budget, bin_) if measured is not None else None
    if one is None:
        return said
    if not one.problems:
        return f"{said}\nno query"
    return f"{said}\n{interval(one)}\n{output.percent(one.share)} of the queries"


def _all(measured: Measured, budget: int) -> str:
    one = measured.budgets.get(budget)
    return "-" if one is None else f"{interval(one)}\n{output.count(one.flops)} FLOPs"


def _reliability(measured: Measured) -> Table:
    rows = [
        [
            FORETOLD.get(what, what),
            drawn,
            output.percent(one.ece),
            f"{one.brier:.3f}",
            ", ".join(f"{100 * said:.0f}: {100 * came:.0f}" for said, came, _ in one.stripes),
        ]
        for what, by_rung in measured.reliability.items()
        for drawn, one in by_rung.items()
    ]
    columns = [("foretold", "left"), ("drawn", "right"), ("error", "right"), ("Brier", "right")]
    return output.table("reliability, by cross-validation", [*columns, ("foretold: came true, %", "left")], rows)


def _worth(measured: Measured) -> Iterator[str]:
    uniform, part = output.safe(measured.uniform.strategy), f"{100 * float(TARGET):.0f} %"
    for allocation, by_target in measured.efficiency.items():
        after = measured.break_even.get(allocation)
        paid = "never pays for itself there" if after is None else f"has paid for itself after {after:,.0f} problems"
        yield (
            f"{output.safe(allocation)}: {times(by_target.get(TARGET))} times fewer FLOPs than uniform {uniform} for "
            f"{part} of what that gains by more samples; calibrating {paid}"
        )
    yield (
        f"calibrating cost {output.count(measured.cost.flops)} FLOPs and {measured.cost.gpu_seconds:.1f} GPU-seconds; "
        "accuracies are of problems left out of the fit, with 95 % intervals"
    )
