import math
import random
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.statistics import best_of_k, mcnemar, paired_bootstrap, pass_at_k, wilson


def test_wilson_by_hand() -> None:
    # 8 of 10: (8 + 1.9208 -+ 1.96 * sqrt(8 * 2 / 10 + 0.9604)) / (10 + 3.8416)
    half = 1.96 * math.sqrt(1.6 + 0.9604)
    assert wilson(8, 10) == pytest.approx(((9.9208 - half) / 13.8416, (9.9208 + half) / 13.8416))
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_wilson_at_the_ends() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(0, 10) == pytest.approx((0.0, 3.8416 / 13.8416))
    assert wilson(10, 10) == pytest.approx((10 / 13.8416, 1.0))
    assert wilson(10, 10)[1] == 1.0


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_rate_and_mirrors(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_share_of_subsets_that_hold_a_right_one(n: int) -> None:
    for c, k in product(range(n + 1), range(1, n + 1)):
        subsets = list(combinations([True] * c + [False] * (n - c), k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_keeps_its_digits() -> None:
    assert pass_at_k(10**6, 1, 1) == 1e-6
    assert pass_at_k(5000, 1, 2500) == 0.5
    assert pass_at_k(5000, 0, 2500) == 0.0


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=7))
def test_best_of_k_is_the_mean_over_all_subsets(candidates: list[tuple[int, bool]]) -> None:
    scores = [score for score, _ in candidates]
    right = [correct for _, correct in candidates]
    for k in range(1, len(candidates) + 1):
        outcomes = []
        for subset in combinations(candidates, k):
            top = max(score for score, _ in subset)
            tied = [correct for score, correct in subset if score == top]
            outcomes.append(sum(tied) / len(tied))
        assert best_of_k(scores, right, k) == pytest.approx(sum(outcomes) / len(outcomes))


def test_best_of_k_without_ties_is_the_ranked_sum() -> None:
    scores, right, n, k = [0.1, 0.9, 0.4, 0.7, 0.2], [1, 0, 1, 1, 0], 5, 2
    ranked = [correct for _, correct in sorted(zip(scores, right, strict=True), reverse=True)]
    weights = [math.comb(n - 1 - rank, k - 1) / math.comb(n, k) for rank in range(n)]
    assert best_of_k(scores, right, k) == pytest.approx(sum(y * w for y, w in zip(ranked, weights, strict=True)))


def test_a_perfect_score_makes_best_of_k_pass_at_k() -> None:
    right = [1.0] * 3 + [0.0] * 61
    assert best_of_k(right, right, 16) == pytest.approx(pass_at_k(64, 3, 16))
    assert best_of_k([0.5] * 64, right, 16) == pytest.approx(3 / 64)


def test_paired_bootstrap_is_seeded_and_antisymmetric() -> None:
    rng = random.Random(7)
    b = [float(rng.random() < 0.5) for _ in range(200)]
    a = [1.0 if rng.random() < 0.2 else value for value in b]
    difference, low, high = paired_bootstrap(a, b, seed=1)
    assert difference == pytest.approx(sum(a) / 200 - sum(b) / 200)
    assert 0 < low < difference < high
    assert paired_bootstrap(a, b, seed=1) == (difference, low, high)
    assert paired_bootstrap(b, a, seed=1) == pytest.approx((-difference, -high, -low))


def test_paired_bootstrap_matches_the_normal_interval() -> None:
    rng = random.Random(3)
    gaps = [rng.gauss(0.1, 1.0) for _ in range(400)]
    mean = sum(gaps) / 400
    error = math.sqrt(sum((gap - mean) ** 2 for gap in gaps)) / 400
    _, low, high = paired_bootstrap(gaps, [0.0] * 400, seed=5)
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.02)


def test_paired_bootstrap_enumerated() -> None:
    # Two problems, gaps 1 and 0: the resampled mean is 0, 1/2 or 1 with chances 1/4, 1/2 and 1/4.
    assert paired_bootstrap([1.0, 1.0], [0.0, 1.0], seed=0) == (0.5, 0.0, 1.0)
    assert paired_bootstrap([1.0, 1.0], [1.0, 1.0], seed=0) == (0.0, 0.0, 0.0)


@given(st.integers(0, 7), st.integers(0, 7))
def test_mcnemar_is_the_share_of_outcomes_as_extreme(b: int, c: int) -> None:
    n = b + c
    far = abs(b - c)
    flips = [sum(outcome) for outcome in product((0, 1), repeat=n)]
    assert mcnemar(b, c) == pytest.approx(sum(abs(2 * heads - n) >= far for heads in flips) / len(flips))


def test_mcnemar_of_many() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(1, 9) == pytest.approx(2 * 11 / 1024)
    assert mcnemar(5000, 5000) == 1.0
    assert mcnemar(4900, 5100) == pytest.approx(math.erfc(199 / math.sqrt(2 * 10000)), rel=1e-3)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(2, 1)
    for n, c, k in [(3, 4, 1), (3, 1, 0), (3, 1, 4)]:
        with pytest.raises(ValueError, match="must hold"):
            pass_at_k(n, c, k)
    with pytest.raises(ValueError, match="must hold"):
        best_of_k([0.5], [1, 0], 1)
    with pytest.raises(ValueError, match="not a number"):
        best_of_k([math.nan, 0.5], [1, 0], 1)
    with pytest.raises(ValueError, match="same problems"):
        paired_bootstrap([1.0], [1.0, 0.0], seed=0)
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 3)
