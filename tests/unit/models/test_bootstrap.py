"""Means over a stream of problems, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from models import bootstrap
from models.bootstrap import Bootstrap
from models.statistics import paired_bootstrap


def streamed(figures: np.ndarray, **options: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    made = Bootstrap(len(figures), **options)
    for row in figures:
        made.add(row)
    return made.result()


def test_it_is_the_bootstrap_of_all_problems_at_once() -> None:
    """The same interval but for chance, as `paired_bootstrap` against nothing."""
    values = np.random.default_rng(1).random((300, 2))
    mean, low, high = streamed(values)
    assert mean == pytest.approx(values.mean(axis=0))
    for column in range(2):
        _, below, above = paired_bootstrap(values[:, column].tolist(), [0.0] * 300, seed=5)
        assert (low[column], high[column]) == (pytest.approx(below, abs=0.004), pytest.approx(above, abs=0.004))


def test_every_resample_takes_as_many_problems_as_there_are() -> None:
    mean, low, high = streamed(np.ones((37, 1)))
    assert (mean[0], low[0], high[0]) == (1.0, 1.0, 1.0)


def test_how_many_are_held_back_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).random((50, 3))
    whole = streamed(values)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 7)
    assert np.array(streamed(values)) == pytest.approx(np.array(whole))


def test_equal_seeds_resample_the_same_problems() -> None:
    values = np.random.default_rng(3).random((20, 1))
    assert streamed(values, seed=4)[1] == streamed(values, seed=4)[1]
    assert streamed(values, seed=4)[1] != streamed(values, seed=5)[1]


def test_what_is_unknown_of_one_problem_is_unknown_on_the_mean_and_spoils_nothing_else() -> None:
    values = np.ones((9, 2))
    values[3, 0] = np.nan
    mean, _, high = streamed(values)
    assert np.isnan(mean[0])
    assert (mean[1], high[1]) == (1.0, 1.0)


def test_more_or_fewer_problems_than_were_said_are_refused() -> None:
    made = Bootstrap(1)
    with pytest.raises(ValueError, match="still to come"):
        made.result()
    made.add(np.ones(1))
    with pytest.raises(ValueError, match="only 1"):
        made.add(np.ones(1))
