"""What differs between two policies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from cli.policy_view import arm_of, bins, interval, name_of
from scheduler.measured import Measured
from scheduler.policy import Policy

Side = tuple[Policy, Measured | None, str]
"""A policy, its evidence and its whole name."""

Said = tuple[str | None, ...]
"""What each side has to say of one thing."""


def differing_facts(pair: Sequence[Side]) -> list[tuple[str, Said]]:
    """All that is no entry of the table, by name, where the two differ."""
    facts = [_facts(policy, measured) for policy, measured, _ in pair]
    both = [(what, tuple(one[what] for one in facts)) for what in facts[0]]
    return [(what, said) for what, said in both if len(set(said)) > 1]


def differing_entries(pair: Sequence[Side]) -> list[tuple[tuple[int, int], Said]]:
    """By budget and bin, what each gives there and what that was measured to bring, where those differ."""
    places = sorted(
        {(budget, bin_) for policy, _, _ in pair for budget, row in policy.table.items() for bin_ in range(len(row))}
    )
    both = [(place, tuple(_entry(policy, measured, *place) for policy, measured, _ in pair)) for place in places]
    return [(place, said) for place, said in both if len(set(said)) > 1]


def accuracies_of(pair: Sequence[Side]) -> list[tuple[int, Said]]:
    """By budget, the measured accuracy of all queries."""
    budgets = sorted({budget for policy, _, _ in pair for budget in policy.table})
    return [(budget, tuple(_accuracy(measured, budget) for _, measured, _ in pair)) for budget in budgets]


def _facts(policy: Policy, measured: Measured | None) -> dict[str, str | None]:
    fitted = policy.model_dump(mode="json", include={"rungs", "costs", "scoring"})
    source = measured.source if measured is not None else None
    return {
        "generator": policy.generator,
        "weights of the generator": policy.generator_identity,
        "verifier": policy.verifier,
        "weights of the verifier": policy.verifier_identity,
        "probe": ", ".join(map(str, policy.probe)),
        "bins": "\n".join(bins(policy)),
        "arms": "\n".join(map(name_of, policy.arms)),
        "calibrators and costs": hashlib.sha256(json.dumps(fitted, sort_keys=True).encode()).hexdigest()[:12],
        "dataset": source.dataset if source is not None else None,
        "template": source.template if source is not None else None,
        "problems": str(measured.problems) if measured is not None else None,
        "samples each": str(measured.samples) if measured is not None else None,
    }


def _entry(policy: Policy, measured: Measured | None, budget: int, bin_: int) -> str | None:
    """None where the policy has no such entry."""
    if budget not in policy.table or bin_ >= len(policy.table[budget]):
        return None
    one = measured.at(budget, bin_) if measured is not None else None
    said = name_of(arm_of(policy, budget, bin_))
    return said if one is None or not one.problems else f"{said}: {interval(one)}"


def _accuracy(measured: Measured | None, budget: int) -> str | None:
    one = measured.budgets.get(budget) if measured is not None else None
    return None if one is None else interval(one)
