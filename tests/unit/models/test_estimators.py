"""Closed forms for every k against those for one k, and against all subsets one by one."""

from __future__ import annotations

from itertools import combinations
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.estimators import at_least, best_of, g_pass_at, mg_pass_at, pass_at
from models.statistics import best_of_k, pass_at_k


@given(some.integers(1, 40), some.data())
def test_pass_at_every_k(n: int, data: some.DataObject) -> None:
    right = data.draw(some.integers(0, n))
    assert pass_at(n, right) == pytest.approx([pass_at_k(n, right, k) for k in range(1, n + 1)], abs=1e-12)


@given(
    some.lists(some.tuples(some.sampled_from([-np.inf, 0.0, 0.5, 0.7, 1.0]), some.booleans()), min_size=1, max_size=12)
)
def test_best_of_every_k(samples: list[tuple[float, bool]]) -> None:
    scores, right = [score for score, _ in samples], [correct for _, correct in samples]
    one_by_one = [best_of_k(scores, [float(one) for one in right], k) for k in range(1, len(samples) + 1)]
    assert best_of(np.array(scores), np.array(right)) == pytest.approx(one_by_one, abs=1e-12)


@given(some.integers(1, 9), some.data(), some.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_g_pass_counts_subsets(n: int, data: some.DataObject, tau: float) -> None:
    right = data.draw(some.integers(0, n))
    samples = [True] * right + [False] * (n - right)
    for k in range(1, n + 1):
        hits = [sum(subset) for subset in combinations(samples, k)]
        share = sum(hit >= max(ceil(tau * k), 1) for hit in hits) / len(hits)
        assert g_pass_at(n, right, tau)[k - 1] == pytest.approx(share, abs=1e-12)
        above = sum(sum(hit >= i for hit in hits) / len(hits) for i in range(ceil(k / 2) + 1, k + 1))
        assert mg_pass_at(n, right)[k - 1] == pytest.approx(2 / k * above, abs=1e-12)


def test_by_hand() -> None:
    """Two of four are right. Of the six pairs one has both, one has neither."""
    assert pass_at(4, 2)[1] == pytest.approx(5 / 6)
    assert g_pass_at(4, 2, 0.5)[1] == pytest.approx(5 / 6)
    assert g_pass_at(4, 2, 1.0)[1] == pytest.approx(1 / 6)
    assert mg_pass_at(4, 2).tolist() == pytest.approx([0, 1 / 6, 0, 0])
    # Three right of four: all triples have two or more of them, one has all three; above one half are 2/3 (not: i = 3).
    assert mg_pass_at(4, 3)[2] == pytest.approx(2 / 3 * 1 / 4)


def test_the_first_threshold_is_any_at_all() -> None:
    assert g_pass_at(8, 3, 0.0) == pytest.approx(pass_at(8, 3))


def test_many_samples_keep_their_digits() -> None:
    assert pass_at(256, 1) == pytest.approx(np.arange(1, 257) / 256)
    assert g_pass_at(256, 128, 0.5)[255] == pytest.approx(1.0)
    assert at_least(256, 128)[255, 128:130] == pytest.approx([1.0, 0.0])
