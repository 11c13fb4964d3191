"""The SQL of every amount that reports add up over usage rows. The alias of the table is `u`."""

from __future__ import annotations


def _whole(column: str, amount: str = "") -> str:
    """The sum of `amount`, the column itself unless given; NULL, unknown, as soon as the column is in one row, and 0 over none."""
    return f"CASE WHEN COUNT(u.id) = COUNT({column}) THEN COALESCE(SUM({amount or column}), 0) END"


def _part(column: str, condition: str) -> str:
    """The sum over the rows of which the condition holds: unknown as soon as the column is unknown in one of them."""
    unknown = f"SUM(CASE WHEN {condition} AND {column} IS NULL THEN 1 ELSE 0 END)"
    return f"CASE WHEN {unknown} = 0 THEN COALESCE(SUM(CASE WHEN {condition} THEN {column} END), 0) END"


AMOUNTS = {
    "prompt_tokens": _whole("u.prompt_tokens"),
    "cached_tokens": _whole("u.cached_tokens"),
    "generated_tokens": _whole("u.generated_tokens"),
    "scored_tokens": _whole("u.scored_tokens"),
    "total_tokens": _whole("u.canonical_prompt_tokens + u.generated_tokens + u.scored_tokens"),
    "reused_tokens": _part("u.generated_tokens", "u.reused"),
    "discarded_tokens": _part("u.generated_tokens", "u.disposition = 'discarded'"),
    "wasted_tokens": _part("u.generated_tokens", "u.disposition = 'wasted'"),
    "flops": _whole("u.flops", "CASE WHEN u.reused THEN 0 ELSE u.flops END"),
    "flops_canonical": _whole(
        "u.flops_canonical", "CASE WHEN u.disposition = 'wasted' THEN 0 ELSE u.flops_canonical END"
    ),
    "verifier_flops": _part("u.flops_canonical", "u.phase = 'score' AND u.disposition <> 'wasted'"),
    "flops_2nd": _whole("u.flops_2nd"),
    "gpu_seconds": _whole("u.gpu_seconds"),
    "spent_gpu_seconds": _part("u.gpu_seconds", "NOT u.reused"),
    "verifier_gpu_seconds": _part("u.gpu_seconds", "u.phase = 'score'"),
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
    "usd": _whole("u.dollars"),
    "gpu-seconds": AMOUNTS["gpu_seconds"],
}
"""Unit -> the SQL of a cost that two jobs are compared by."""
