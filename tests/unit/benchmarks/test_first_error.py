"""Finding the first wrong step: cases worked by hand, and that no threshold is better than the chosen one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from benchmarks.first_error import Marked, best_threshold, first_error, quality

HAND = [
    Marked(-1, [0.9, 0.8]),
    Marked(-1, [0.9, 0.4]),
    Marked(1, [0.9, 0.3, 0.2]),
    Marked(0, [0.5, 0.9]),
    Marked(2, [0.9, 0.35, 0.1]),
]


@pytest.mark.parametrize(
    ("scores", "threshold", "found"),
    [
        ([0.9, 0.8, 0.7], 0.5, -1),
        ([0.9, 0.4, 0.1], 0.5, 1),
        ([0.5, 0.9], 0.5, -1),  # at the threshold is not below it
        ([0.49, 0.9], 0.5, 0),
    ],
)
def test_the_first_step_below_the_threshold_is_the_error(scores: list[float], threshold: float, found: int) -> None:
    assert first_error(scores, threshold) == found


@pytest.mark.parametrize(
    ("threshold", "counts", "f1"),
    [
        (0.35, (2, 3, 2, 2), 2 * (2 / 3) * 1 / (2 / 3 + 1)),  # the third and the fifth; both correct ones pass
        (0.40, (1, 3, 2, 2), 2 * (1 / 3) * 1 / (1 / 3 + 1)),  # the fifth is now found one step too early
        (0.60, (2, 3, 1, 2), 2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)),
        (0.00, (0, 3, 2, 2), 0.0),
        (1.00, (1, 3, 0, 2), 0.0),
    ],
)
def test_the_f1_by_hand(threshold: float, counts: tuple[int, int, int, int], f1: float) -> None:
    assert quality(HAND, threshold) == counts
    assert quality(HAND, threshold).f1 == pytest.approx(f1)


def test_the_best_threshold_by_hand() -> None:
    assert best_threshold(HAND) == 0.35


def test_what_could_not_be_read_is_not_found() -> None:
    marked = [Marked(-1, None), Marked(-1, [0.9]), Marked(0, None), Marked(0, [0.1])]
    assert quality(marked, 0.5) == (1, 2, 1, 2)
    assert quality(marked, 0.5).f1 == 0.5


@pytest.mark.parametrize("label", [-1, 0])
def test_one_kind_alone_has_no_f1(label: int) -> None:
    with pytest.raises(ValueError, match="solutions with a wrong step and solutions without one"):
        quality([Marked(label, [0.5])], 0.5)


@some.composite
def solutions(draw: some.DrawFn) -> list[Marked]:
    scored = draw(some.lists(some.lists(some.sampled_from([0, 0.1, 0.2, 0.5, 0.9, 1]), min_size=1), max_size=8))
    both = [Marked(label, [draw(some.floats(0, 1))]) for label in (-1, 0)]
    return both + [Marked(draw(some.integers(-1, len(scores) - 1)), scores) for scores in scored]


@given(solutions(), some.floats(-0.1, 1.1))
def test_no_threshold_is_better_than_the_best(marked: list[Marked], other: float) -> None:
    assert quality(marked, best_threshold(marked)).f1 >= quality(marked, other).f1
