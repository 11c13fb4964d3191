"""How well a verifier finds the first wrong step of a solution (ProcessBench, Zheng et al. 2024, arXiv:2412.06559)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

ALL_RIGHT = -1
"""The label of a solution without a wrong step; any other label is the index of the first wrong one."""


class Marked(NamedTuple):
    """A solution's label, and its scores, one for each step; without scores the verifier could not read it."""

    label: int
    scores: Sequence[float] | None


class Quality(NamedTuple):
    """How many of the erroneous and of the correct solutions were judged as people judged them."""

    found: int
    erroneous: int
    passed: int
    correct: int

    @property
    def f1(self) -> float:
        """The harmonic mean of the two accuracies; 0 where one of them is."""
        wrong, right = self.found / self.erroneous, self.passed / self.correct
        return 2 * wrong * right / (wrong + right) if wrong + right else 0.0


def first_error(scores: Sequence[float], threshold: float) -> int:
    """The index of the first step whose score is below `threshold`, `ALL_RIGHT` where there is none."""
    return next((index for index, score in enumerate(scores) if score < threshold), ALL_RIGHT)


def quality(marked: Sequence[Marked], threshold: float) -> Quality:
    """What a threshold is worth; a solution without scores counts as judged wrongly.

    Raises:
        ValueError: there is no erroneous or no correct solution, so that the F1 is not defined.
    """
    hits = [one.scores is not None and first_error(one.scores, threshold) == one.label for one in marked]
    correct = [one.label == ALL_RIGHT for one in marked]
    if all(correct) or not any(correct):
        raise ValueError("the F1 needs solutions with a wrong step and solutions without one")
    passed = sum(hit for hit, right in zip(hits, correct, strict=True) if right)
    return Quality(sum(hits) - passed, len(marked) - sum(correct), passed, sum(correct))


def best_threshold(marked: Sequence[Marked]) -> float:
    """The threshold with the highest F1 on these solutions, of equal ones the lowest.

    A solution is judged rightly from just above the score of its first wrong step up to the lowest score before that,
    so the F1 falls only behind such a lowest score: no other threshold can be better than all of these.

    Raises:
        ValueError: as `quality`.
    """
    highest = (min(_before(one), default=math.inf) for one in marked if one.scores)
    return max(sorted(set(highest) | {0.0}), key=lambda threshold: quality(marked, threshold).f1)


def _before(one: Marked) -> Sequence[float]:
    """The scores of the steps that people found right, up to the first wrong one."""
    scores = one.scores or ()
    return scores if one.label == ALL_RIGHT else scores[: one.label]
