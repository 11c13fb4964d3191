"""How sure answers are: a law that made the data is found, and what is not known is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.answers import SIGNS, Answers
from models.errors import UserError
from scheduler.assurance import calibrated, foretold, risk_coverage


def answers(count: int, seed: int) -> tuple[Answers, np.ndarray]:
    """Answers that are right the more often the larger their share of the votes is, and the chance of each."""
    rng = np.random.default_rng(seed)
    signs = np.full((count, len(SIGNS)), np.nan)
    signs[:, :4] = rng.random((count, 4))
    chance = 1 / (1 + np.exp(-8 * (signs[:, 0] - 0.5)))
    unknown = np.full(count, np.nan)
    right = (rng.random(count) < chance).astype(float)
    made = Answers(np.arange(count) + 1, np.arange(count), np.ones(count, dtype=bool), right, unknown, signs)
    return made, chance


def test_the_law_is_learnt_and_foretells_the_accuracy() -> None:
    known, _ = answers(600, 0)
    asked, chance = answers(400, 1)
    found = calibrated(replace(asked, right=np.full(400, np.nan)), known)
    assert found.right == pytest.approx(chance, abs=0.15)
    assert found.low < asked.right.mean() < found.high
    assert found.accuracy == pytest.approx(chance.mean(), abs=0.04)
    assert 0.02 < found.high - found.accuracy < 0.1
    assert found.validated is not None
    assert found.validated.ece < 0.08
    assert found.validated.brier < 0.2


def test_few_problems_to_learn_from_make_a_wider_interval() -> None:
    asked, _ = answers(400, 1)
    few, many = (calibrated(asked, answers(count, 2)[0]) for count in (40, 2000))
    assert few.high - few.low > 1.3 * (many.high - many.low)


def test_validation_is_on_problems_left_out() -> None:
    """Signs that tell nothing: whoever looks at his own problems finds a law in them."""
    known, _ = answers(60, 3)
    rng = np.random.default_rng(0)
    blind = replace(known, right=(rng.random(60) < 0.5).astype(float))
    found = calibrated(known, blind)
    assert found.validated is not None
    assert found.validated.brier > 0.24


def test_what_one_of_both_jobs_lacks_tells_nothing() -> None:
    known, _ = answers(200, 0)
    asked, _ = answers(50, 1)
    known.signs[:, SIGNS.index("score")] = known.right
    assert calibrated(asked, known).right == pytest.approx(calibrated(asked, answers(200, 0)[0]).right)


def test_no_answer_is_not_right_and_a_policy_knows_better() -> None:
    known, _ = answers(200, 0)
    asked, _ = answers(3, 1)
    asked = replace(asked, answered=np.array([True, False, True]), confidence=np.array([0.25, np.nan, np.nan]))
    found = calibrated(asked, known)
    assert found.right[:2].tolist() == [0.25, 0.0]
    assert 0 < found.right[2] < 1
    alone = foretold(asked)
    assert np.isnan(alone.right[2])
    assert (alone.accuracy, alone.validated) == (0.125, None)


def test_too_little_to_learn_from_is_a_sentence() -> None:
    known, _ = answers(19, 0)
    with pytest.raises(UserError, match="19 graded answers; name one with at least 20"):
        calibrated(known, known)
    with pytest.raises(UserError, match="--calibrated-on JOB"):
        foretold(known)


def test_the_surest_are_answered_first() -> None:
    asked, _ = answers(4, 0)
    asked = replace(asked, answered=np.array([True, True, False, True]), right=np.array([1.0, 0.0, 0.0, 1.0]))
    curve = risk_coverage(asked, np.array([0.9, 0.4, 0.0, 0.8]))
    assert curve.order.tolist() == [0, 3, 1]
    assert curve.risk == pytest.approx([0.1, 0.15, 0.3])
    assert curve.truth == pytest.approx([0, 0, 1 / 3])
    assert curve.aurc == pytest.approx(0.55 / 3)
    assert curve.true_aurc == pytest.approx(1 / 9)
    assert [curve.automatic(risk) for risk in (0.05, 0.1, 0.15, 0.2, 1.0)] == [0, 1, 2, 2, 3]
    assert [point["coverage"] for point in curve.points(2)] == pytest.approx([1 / 3, 1])
    unknown = risk_coverage(replace(asked, right=np.full(4, np.nan)), np.array([0.9, 0.4, 0.0, 0.8]))
    assert unknown.truth is unknown.true_aurc is None
