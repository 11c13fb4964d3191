"""Means over problems with their intervals, of problems that come one after the other and are not kept."""

from __future__ import annotations

import numpy as np

from models.statistics import DRAWS

AT_ONCE = 256
"""Problems that are held back and counted together."""


class Bootstrap:
    """The means of several figures over `problems` problems, with 95 % percentile intervals: each of `draws` resamples
    takes as many problems with replacement, each with all of its figures (Efron & Tibshirani 1993, section 13.3).

    How often a resample takes a problem is drawn when the problem comes, binomial in what the resample has left to take;
    together they are multinomial, as if all problems had been there. Equal seeds resample the same problems, so that two
    runs over the same ones can be compared draw by draw.
    """

    def __init__(self, problems: int, *, draws: int = DRAWS, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._coming = self.problems = problems
        self._left = np.full(draws, problems)
        self._waiting: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []
        self._sums: np.ndarray | None = None
        self._total: np.ndarray | None = None

    def add(self, figures: np.ndarray) -> None:
        """The next problem's figures (figures,).

        Raises:
            ValueError: there are more than were said to come.
        """
        if not self._coming:
            raise ValueError(f"only {self.problems} problems were to come")
        taken = self._rng.binomial(self._left, 1 / self._coming)
        self._coming -= 1
        self._left = self._left - taken
        self._counts.append(taken)
        self._waiting.append(figures)
        if len(self._waiting) == AT_ONCE:
            self._count()

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The means and both ends of their intervals, (figures,) each.

        Raises:
            ValueError: not all problems have come.
        """
        if self._coming:
            raise ValueError(f"{self._coming} problems are still to come")
        self._count()
        assert self._sums is not None
        assert self._total is not None
        low, high = np.quantile(self._sums / self.problems, [0.025, 0.975], axis=0)
        return self._total / self.problems, low, high

    def _count(self) -> None:
        if self._waiting:
            figures = np.stack(self._waiting)
            sums = np.stack(self._counts, axis=1).astype(float) @ figures
            self._sums = sums if self._sums is None else self._sums + sums
            total = figures.sum(axis=0)
            self._total = total if self._total is None else self._total + total
            self._waiting, self._counts = [], []
