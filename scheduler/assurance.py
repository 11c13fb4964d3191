"""How sure each answer of a job is, what that foretells of the job, and which answers a person should look at.

Needs the extra `calibrate` where a calibrator is fitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.answers import Answers
from models.errors import UserError
from scheduler.regression import Reliability, fit_logistic, probabilities, reliability

FEWEST = 20
"""Graded answers that a calibrator needs at least."""

FOLDS = 5
REFITS = 200
"""Calibrators that are fitted to resampled problems for the interval of the predicted accuracy."""

OUTCOMES = 10
"""Times that each of them has the answers turn out right or wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Assurance:
    """The probability that each answer is right (queries,): 0 where there is none, NaN where nothing foretells it.

    low, high: 95 % interval of the share of right answers among those foretold, whose mean is `accuracy`. validated: of
    the calibrator on problems it was not fitted to; None where none was fitted.
    """

    right: np.ndarray
    accuracy: float
    low: float
    high: float
    validated: Reliability | None


def foretold(answers: Answers, seed: int = 0) -> Assurance:
    """By what the job's policy said of each answer, with the chance of the outcomes alone in the interval."""
    right = np.where(answers.answered, answers.confidence, 0.0)
    return _assured(right, right[None], None, np.random.default_rng(seed))


def calibrated(answers: Answers, known: Answers, seed: int = 0) -> Assurance:
    """By a logistic regression on the graded answers of another job; what a policy has foretold stays.

    The interval holds the chance of the outcomes, and of the calibration problems by refitting to resampled ones.

    Raises:
        UserError: there are too few graded answers to calibrate on.
    """
    learnt = known.answered & ~np.isnan(known.right)
    if np.count_nonzero(learnt) < FEWEST:
        raise UserError(
            f"--calibrated-on: that job has {np.count_nonzero(learnt)} graded answers; name one with at least {FEWEST}"
        )
    rng = np.random.default_rng(seed)
    # What is unknown in one of the jobs tells nothing of the other.
    usable = ~(np.isnan(known.signs[learnt]).any(axis=0) | np.isnan(answers.signs[answers.answered]).any(axis=0))
    signs, right = np.where(usable, known.signs[learnt], 0.0), known.right[learnt]
    asked = np.where(usable, answers.signs, 0.0)

    def said(weight: np.ndarray) -> np.ndarray:
        chance = probabilities(fit_logistic(signs, right, weight), asked)
        chance = np.where(np.isnan(answers.confidence), chance, answers.confidence)
        return np.where(answers.answered, chance, 0.0)

    _, number = np.unique(known.problem[learnt], return_inverse=True)
    problems = int(number.max()) + 1
    resampled = rng.multinomial(problems, np.full(problems, 1 / problems), size=REFITS).astype(float)
    refitted = np.stack([said(counts[number]) for counts in resampled])
    return _assured(said(np.ones(len(right))), refitted, _validate(signs, right, number, rng), rng)


def _validate(signs: np.ndarray, right: np.ndarray, number: np.ndarray, rng: np.random.Generator) -> Reliability:
    """Each problem by a calibrator that was fitted without it; equal problems share a fold."""
    fold = (rng.permutation(int(number.max()) + 1) % FOLDS)[number]
    said = np.zeros(len(right))
    for one in range(FOLDS):
        inside = fold == one
        if inside.any():
            model = fit_logistic(signs[~inside], right[~inside], np.ones(np.count_nonzero(~inside)))
            said[inside] = probabilities(model, signs[inside])
    return reliability(said, right)


def _assured(
    right: np.ndarray, draws: np.ndarray, validated: Reliability | None, rng: np.random.Generator
) -> Assurance:
    known = ~np.isnan(right)
    if not known.any():
        raise UserError("nothing foretells how sure its answers are; name a graded job with --calibrated-on JOB")
    draws = draws[:, known]
    turned_out = rng.normal(
        draws.mean(axis=1)[:, None],
        (np.sqrt((draws * (1 - draws)).sum(axis=1)) / draws.shape[1])[:, None],
        (len(draws), max(OUTCOMES, 2000 // len(draws))),
    )
    low, high = np.clip(np.quantile(turned_out, [0.025, 0.975]), 0, 1)
    return Assurance(right, float(right[known].mean()), float(low), float(high), validated)


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """Answers given in turn, the surest first: which (queries,), and the foretold share of wrong ones among the first so
    many; `truth` is the share there really is, None without references. `aurc` is the mean of the risks over all
    coverages (Geifman et al. 2019, arXiv:1805.08206, section 2), of `truth` where that is known."""

    order: np.ndarray
    risk: np.ndarray
    truth: np.ndarray | None

    @property
    def aurc(self) -> float:
        return float(self.risk.mean())

    @property
    def true_aurc(self) -> float | None:
        return None if self.truth is None else float(self.truth.mean())

    def automatic(self, risk: float) -> int:
        """The most of the surest answers of which no larger share is foretold to be wrong."""
        within = np.nonzero(self.risk <= risk + 1e-12)[0]
        return int(within[-1]) + 1 if len(within) else 0

    def points(self, most: int = 200) -> Iterator[dict[str, float | None]]:
        """At most so many coverages with their risks, evenly spread; the last is all."""
        count = len(self.order)
        for place in np.unique(np.linspace(1, count, min(most, count)).round().astype(int)) - 1:
            truth = None if self.truth is None else float(self.truth[place])
            yield {"coverage": (place + 1) / count, "risk": float(self.risk[place]), "true_risk": truth}


def risk_coverage(answers: Answers, right: np.ndarray) -> RiskCoverage:
    """Of the answers that there are and of which something is foretold; those of equal sureness in their own order."""
    given = np.nonzero(answers.answered & ~np.isnan(right))[0]
    order = given[np.argsort(-right[given], kind="stable")]
    counted = np.arange(1, len(order) + 1)
    truth = answers.right[order]
    known = len(order) > 0 and not np.isnan(truth).any()
    return RiskCoverage(order, (1 - right[order]).cumsum() / counted, (1 - truth).cumsum() / counted if known else None)
