"""The SQL of every amount that reports add up over usage rows. The alias of the table is `u`."""

from __future__ import annotations


def known_sum(column: str, amount: str = "") -> str:
    """The sum of `amount`, the column itself unless given; NULL, unknown, as soon as the column is in one row, and 0 over none."""
    return f"CASE WHEN COUNT(u.id) = COUNT({column}) THEN COALESCE(SUM({amount or column}), 0) END"


def _own(column: str) -> str:
    """What this job ran itself: what another job had paid for adds nothing."""
    return known_sum(column, f"CASE WHEN u.reused THEN 0 ELSE {column} END")


def _where(column: str, condition: str) -> str:
    return known_sum(column, f"CASE WHEN {condition} THEN {column} ELSE 0 END")


_TOTAL_TOKENS = "u.canonical_prompt_tokens + u.generated_tokens + u.scored_tokens"

AMOUNTS = {
    "prompt_tokens": known_sum("u.prompt_tokens"),
    "cached_tokens": known_sum("u.cached_tokens"),
    "generated_tokens": known_sum("u.generated_tokens"),
    "scored_tokens": known_sum("u.scored_tokens"),
    "total_tokens": known_sum(_TOTAL_TOKENS),
    "reused_tokens": _where("u.generated_tokens", "u.reused"),
    "discarded_tokens": _where("u.generated_tokens", "u.disposition = 'discarded'"),
    "wasted_tokens": _where("u.generated_tokens", "u.disposition = 'wasted'"),
    "flops": _own("u.flops"),
    "flops_canonical": _where("u.flops_canonical", "u.disposition <> 'wasted'"),
    "verifier_flops": _where("u.flops_canonical", "u.disposition <> 'wasted' AND u.phase = 'score'"),
    "flops_2nd": known_sum("u.flops_2nd"),
    "gpu_seconds": known_sum("u.gpu_seconds"),
    "spent_gpu_seconds": _own("u.gpu_seconds"),
    "verifier_gpu_seconds": _where("u.gpu_seconds", "u.phase = 'score'"),
    "dollars": "SUM(u.dollars)",
    "spent_dollars": "SUM(CASE WHEN u.reused THEN 0 ELSE u.dollars END)",
    "unpriced": "COUNT(u.id) - COUNT(u.dollars)",
    "bounds": "COALESCE(SUM(CASE WHEN u.at_least THEN 1 ELSE 0 END), 0)",
}
"""Column of a report -> its SQL. Reused work counts as what it first cost, except in `flops` and what is `spent`; the
view `cost_accuracy` defines the same."""

COMPARED = {
    "flops": AMOUNTS["flops_canonical"],
    "tokens": AMOUNTS["total_tokens"],
    "usd": known_sum("u.dollars"),
    "gpu-seconds": AMOUNTS["gpu_seconds"],
}
"""Unit -> the SQL of a cost that two jobs are compared by."""
