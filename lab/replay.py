"""What would have come of N samples, from many stored ones: votes, best-of-N and how well a score chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.statistics import best_of_k, pass_at_k

SUBSETS = 1000
BOOTSTRAPS = 2000


@dataclass(frozen=True, slots=True)
class Samples:
    """The candidates of one problem: `answers[i]` is None where none was written, `score[i]` is the verifier's in [0, 1],
    `logprob[i]` the generator's own mean over its tokens, in nats; `derivations` differ among the first eight right
    ones (0: fewer are right)."""

    level: int
    length: int
    greedy: bool
    answers: list[str | None]
    right: list[bool]
    score: list[float]
    logprob: list[float]
    derivations: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over problems with its 95 % interval (bootstrap over problems)."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def figure(values: Sequence[float]) -> Figure:
    array = np.asarray(values, dtype=float)
    draws = np.random.default_rng(0).integers(len(array), size=(BOOTSTRAPS, len(array)))
    low, high = np.quantile(array[draws].mean(axis=1), [0.025, 0.975])
    return Figure(float(array.mean()), float(low), float(high))


def passed(one: Samples, n: int) -> float:
    return pass_at_k(len(one.right), sum(one.right), n)


def best(one: Samples, n: int) -> float:
    return best_of_k(one.score, [float(right) for right in one.right], n)


def vote(answers: Sequence[str | None], right: Sequence[bool], n: int, weights: Sequence[float] | None = None) -> float:
    """The expected correctness of a (weighted) vote among n of these samples: the mean over random subsets without
    replacement. A tie goes to the answer that was drawn first."""
    names = sorted({answer for answer in answers if answer is not None})
    if not names:
        return 0.0
    truth = {answer for answer, correct in zip(answers, right, strict=True) if correct}
    classes = np.array([names.index(answer) if answer is not None else len(names) for answer in answers])
    weight = np.ones(len(classes)) if weights is None else np.asarray(weights)
    rng = np.random.default_rng(0)
    order = rng.permuted(np.tile(np.arange(len(classes)), (SUBSETS, 1)), axis=1)[:, :n]
    drawn, totals = classes[order], np.zeros((SUBSETS, len(names) + 1))
    # What was drawn earlier counts a hair more: that breaks ties towards it.
    np.add.at(totals, (np.arange(SUBSETS)[:, None], drawn), weight[order] + 1e-9 * (n - np.arange(n)) / n)
    winners = totals[:, : len(names)].argmax(axis=1)
    return float(np.isin(winners, [names.index(answer) for answer in truth if answer is not None]).mean())


def majority_vote(one: Samples, n: int) -> float:
    return vote(one.answers, one.right, n)


def weighted_vote(one: Samples, n: int) -> float:
    """Every sample's verifier score is its weight."""
    return vote(one.answers, one.right, n, one.score)


def auc(one: Samples, score: Callable[[Samples], list[float]]) -> float | None:
    """How often a right candidate of the problem outranks a wrong one; None where it has not both."""
    if all(one.right) or not any(one.right):
        return None
    return separation(score(one), one.right)


def separation(scores: Sequence[float], right: Sequence[bool]) -> float:
    """The area under the ROC curve, by ranks; ties count half."""
    truth = np.asarray(right)
    _, places, counts = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[places]
    hits = int(truth.sum())
    return float((ranks[truth].sum() - hits * (hits + 1) / 2) / (hits * (len(truth) - hits)))


def explained_by_length(samples: Sequence[Samples]) -> float:
    """R^2 of a cubic in the prompt's length, predicting pass@1."""
    length = np.array([one.length for one in samples], dtype=float)
    rate = np.array([np.mean(one.right) for one in samples])
    fitted = np.polynomial.Polynomial.fit(length, rate, 3)(length)
    return float(1 - ((rate - fitted) ** 2).sum() / ((rate - rate.mean()) ** 2).sum())
