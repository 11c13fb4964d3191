"""Logistic regressions in raw weights, and the reliability of what they say."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.regression import fit_logistic, probabilities, reliability


def test_the_law_that_made_the_data_is_found_in_raw_weights() -> None:
    """Features of very different scale; the penalty is small beside 20,000 rows."""
    rng = np.random.default_rng(0)
    features = np.stack([rng.normal(5, 0.01, 20000), rng.normal(-300, 100, 20000), np.full(20000, 7.0)], axis=1)
    logit = 100 * (features[:, 0] - 5) + 0.02 * (features[:, 1] + 300) - 0.5
    target = (rng.random(20000) < 1 / (1 + np.exp(-logit))).astype(float)
    model = fit_logistic(features, target, np.ones(20000))
    assert model.weights[0] == pytest.approx(100, rel=0.1)
    assert model.weights[1] == pytest.approx(0.02, rel=0.1)
    assert model.weights[2] == 0.0  # what never varies tells nothing
    one = features[3]
    assert probabilities(model, features)[3] == pytest.approx(model.probability(one.tolist()))
    assert model.probability(one.tolist()) == pytest.approx(1 / (1 + np.exp(-logit[3])), abs=0.05)


def test_a_share_counts_as_so_many_outcomes() -> None:
    """A row that happened three times in four is the same as four rows of a quarter of its weight."""
    rng = np.random.default_rng(1)
    features, share = rng.normal(size=(200, 2)), rng.choice([0.25, 0.5, 0.75], size=200)
    whole = fit_logistic(features, share, np.ones(200))
    split = np.concatenate([share > third for third in (0.1, 0.3, 0.6, 0.9)]).astype(float)
    parts = fit_logistic(np.tile(features, (4, 1)), split, np.full(800, 0.25))
    assert whole.weights == pytest.approx(parts.weights)
    assert whole.intercept == pytest.approx(parts.intercept)


def test_orders_of_one_problem_do_not_make_it_many() -> None:
    """The penalty is weighed against problems: a hundred orders that share one weight say what one row does."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(30, 2))
    target = (features[:, 0] > 0).astype(float)
    once = fit_logistic(features, target, np.ones(30))
    often = fit_logistic(np.repeat(features, 100, axis=0), np.repeat(target, 100), np.full(3000, 0.01))
    assert once.weights == pytest.approx(often.weights, rel=1e-6)


def test_what_always_happened_may_yet_not() -> None:
    model = fit_logistic(np.random.default_rng(0).normal(size=(9, 3)), np.ones(9), np.ones(9))
    assert model.weights == (0.0, 0.0, 0.0)
    assert model.probability((1.0, 2.0, 3.0)) == pytest.approx(10 / 11)


def test_nothing_known_is_an_even_chance() -> None:
    model = fit_logistic(np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    assert model.probability((1.0, 2.0, 3.0)) == 0.5


def test_reliability_by_hand() -> None:
    found = reliability(np.array([0.05, 0.15, 0.15, 0.95]), np.array([0.0, 0.5, 1.0, 1.0]))
    assert found.stripes == (
        (pytest.approx(0.05), 0.0, 0.25),
        (pytest.approx(0.15), 0.75, 0.5),
        (pytest.approx(0.95), 1.0, 0.25),
    )
    assert found.ece == pytest.approx(0.25 * 0.05 + 0.5 * 0.6 + 0.25 * 0.05)
    # .5 of a sample: half the squared distance to either outcome.
    assert found.brier == pytest.approx((0.05**2 + (0.5 * 0.85**2 + 0.5 * 0.15**2) + 0.85**2 + 0.05**2) / 4)


def test_a_perfect_forecast_of_chances_has_no_calibration_error() -> None:
    said = np.array([0.0, 0.3, 1.0])
    assert reliability(said, said).ece == pytest.approx(0)
    assert reliability(np.array([1.0]), np.array([1.0])).stripes == ((1.0, 1.0, 1.0),)
