"""One score per candidate."""

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strategies.aggregation import Aggregation, aggregate

SCORES = [0.9, 0.2, 0.5]


@pytest.mark.parametrize(("how", "score"), [("last", 0.5), ("min", 0.2), ("prod", 0.09), ("mean", 1.6 / 3)])
def test_each_aggregation(how: Aggregation, score: float) -> None:
    assert aggregate(SCORES, how) == pytest.approx(score)


@pytest.mark.parametrize("how", get_args(Aggregation))
def test_a_candidate_without_steps_has_no_score(how: Aggregation) -> None:
    with pytest.raises(ValueError, match="no step scores"):
        aggregate([], how)


@given(some.lists(some.floats(0, 1), min_size=1, max_size=20), some.sampled_from(get_args(Aggregation)))
def test_a_score_stays_a_probability(scores: list[float], how: Aggregation) -> None:
    score = aggregate(scores, how)
    assert 0.0 <= score <= 1.0
    assert not math.isnan(score)
    assert aggregate(scores, "prod") <= aggregate(scores, "min") <= aggregate(scores, "last")


@given(some.floats(0, 1), some.sampled_from(get_args(Aggregation)))
def test_one_step_is_its_own_aggregate(score: float, how: Aggregation) -> None:
    assert aggregate([score], how) == score
