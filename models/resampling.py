"""Bootstraps over problems, for many settings at once: every resample takes a problem with all of its values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from models.statistics import DRAWS

AT_ONCE = 100
"""Resamples that are worked on together, or fewer where there are many problems."""

MOST = 4_000_000
"""Numbers that a batch of resamples holds."""


class Interval(NamedTuple):
    """A value with its 95 % percentile interval; an end is None where it is not bounded."""

    value: float
    low: float | None
    high: float | None

    @property
    def is_positive(self) -> bool:
        return self.low is not None and self.low > 0

    @property
    def is_negative(self) -> bool:
        return self.high is not None and self.high < 0


def resamples(problems: int, draws: int = DRAWS, seed: int = 0) -> Iterator[np.ndarray]:
    """Batches (some draws, problems): which share of a resample each problem makes up.

    Equal seeds give equal resamples, however they are cut into batches.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, min(AT_ONCE, MOST // problems))
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        yield rng.multinomial(problems, np.full(problems, 1 / problems), size=size) / problems


def resampled_means(*tables: np.ndarray, draws: int = DRAWS, seed: int = 0) -> list[np.ndarray]:
    """For each table (problems, settings) its means (draws, settings), all under the same resamples."""
    batches = [[shares @ table for table in tables] for shares in resamples(len(tables[0]), draws, seed)]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def interval(value: float, drawn: np.ndarray) -> Interval:
    """`value` with the 2.5 % and 97.5 % quantiles of what was drawn (draws,); infinite ends are None."""
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    return Interval(float(value), *(float(end) if np.isfinite(end) else None for end in (low, high)))
