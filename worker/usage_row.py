"""One row of the ledger, and how rows add up."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(slots=True)
class UsageRow:
    """One row of the `usage` table, without its keys; the columns are explained there."""

    phase: str
    model: str
    disposition: str = "kept"
    reused: bool = False
    at_least: bool = False
    calls: int = 0
    samples: int = 0
    prompt_tokens: int = 0
    canonical_prompt_tokens: int = 0
    cached_tokens: int | None = 0
    generated_tokens: int = 0
    scored_tokens: int = 0
    flops: float | None = 0.0
    flops_canonical: float | None = 0.0
    flops_2nd: float | None = 0.0
    gpu_seconds: float = 0.0
    dollars: float | None = None

    def add(self, other: UsageRow) -> None:
        """Sum another row into this one; a sum with something unknown is unknown."""
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _PERHAPS_UNKNOWN:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, None if mine is None or theirs is None else mine + theirs)
        if other.dollars is not None:
            self.dollars = (self.dollars or 0.0) + other.dollars
        self.at_least = self.at_least or other.at_least


_COUNTED = (
    "calls",
    "samples",
    "prompt_tokens",
    "canonical_prompt_tokens",
    "generated_tokens",
    "scored_tokens",
    "gpu_seconds",
)
_PERHAPS_UNKNOWN = ("cached_tokens", "flops", "flops_canonical", "flops_2nd")

Rows = dict[tuple[str, str, str, bool], UsageRow]
"""By phase, model, disposition and reuse."""


def add_to(rows: Rows, row: UsageRow) -> None:
    """Sum a row into the one of its kind."""
    key = (row.phase, row.model, row.disposition, row.reused)
    if key in rows:
        rows[key].add(row)
    else:
        rows[key] = replace(row)
