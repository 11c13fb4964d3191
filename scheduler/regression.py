"""Logistic regressions that foretell a query's fate, and how far what they say can be relied on. Needs the extra
`calibrate`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.policy import Logistic

STRIPES = 10
"""Of equal width, into which predicted probabilities are sorted to see how often they came true."""


def fit_logistic(features: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Logistic:
    """Of standardised features, with an L2 penalty of one half of their squared weights; folded back into raw weights.

    Args:
        features: (rows, features).
        target: (rows,) how often it happened, 0 to 1.
        weight: (rows,) how much each row counts; rows of one problem share 1, so that the penalty is weighed against
            problems.
    """
    from sklearn.linear_model import LogisticRegression

    total = weight.sum()
    mean = weight @ features / total if total else np.zeros(features.shape[1])
    spread = np.sqrt(weight @ (features - mean) ** 2 / total) if total else np.zeros(features.shape[1])
    constant = spread <= 1e-9 * (1 + abs(mean))
    happened, not_so = weight @ target, weight @ (1 - target)
    if min(happened, not_so) <= 0 or constant.all():
        # Laplace's rule: what never happened so far may.
        odds = (happened + 1) / (not_so + 1)
        return Logistic(weights=(0.0,) * features.shape[1], intercept=float(np.log(odds)))
    scaled = (features - mean) / np.where(constant, 1.0, spread) * ~constant
    outcomes = np.concatenate([np.ones(len(target)), np.zeros(len(target))])
    shares = np.concatenate([weight * target, weight * (1 - target)])
    counted = shares > 0
    model = LogisticRegression(solver="newton-cholesky", max_iter=1000)
    model.fit(np.concatenate([scaled, scaled])[counted], outcomes[counted], sample_weight=shares[counted])
    weights = np.where(constant, 0.0, model.coef_[0] / np.where(constant, 1.0, spread))
    return Logistic(weights=tuple(weights.tolist()), intercept=float(model.intercept_[0] - weights @ mean))


def probabilities(model: Logistic, features: np.ndarray) -> np.ndarray:
    """`Logistic.probability` of many queries: (..., features) to (...)."""
    logit = model.intercept + features @ np.array(model.weights)
    found: np.ndarray = 1 / (1 + np.exp(-np.clip(logit, -35, 35)))
    return found


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often what was foretold came true: (mean prediction, how often it happened, share of all) in each stripe that
    holds any; `ece` is the mean distance of the two (expected calibration error), `brier` the mean squared error."""

    stripes: tuple[tuple[float, float, float], ...]
    ece: float
    brier: float


def reliability(predicted: np.ndarray, observed: np.ndarray) -> Reliability:
    """Of predictions (rows,) and how often it happened then (rows,), 0 to 1.

    Sources: Naeini et al. 2015 (AAAI) for the expected calibration error; Brier 1950, Monthly Weather Review 78(1).
    """
    stripe = np.minimum((predicted * STRIPES).astype(int), STRIPES - 1)
    found = []
    for number in np.unique(stripe):
        inside = stripe == number
        found.append((float(predicted[inside].mean()), float(observed[inside].mean()), float(inside.mean())))
    ece = sum(share * abs(said - came) for said, came, share in found)
    brier = (observed * (1 - predicted) ** 2 + (1 - observed) * predicted**2).mean()
    return Reliability(tuple(found), float(ece), float(brier))
