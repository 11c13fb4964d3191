"""Whether the generator or the choice limits an accuracy, by hand and on any problems."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.selection import SAMPLING, Kind, selection
from strategies.registry import STRATEGIES

kinds = st.dictionaries(
    st.tuples(st.booleans(), st.integers(1, 6), st.integers(0, 6)).map(
        lambda one: Kind(one[0] and one[2] > 0, one[1], min(one[1], one[2]))
    ),
    st.integers(1, 9),
    min_size=1,
)


def test_by_hand() -> None:
    # pass@1 = (2/4 + 1/4 + 4/4) / 3 = 7/12, pass@4 = 1, accuracy = 2/3: (2/3 - 7/12) / (1 - 7/12) = 1/5.
    found = selection({Kind(True, 4, 2): 1, Kind(False, 4, 1): 1, Kind(True, 4, 4): 1})
    assert found is not None
    assert (found.problems, found.samples) == (3, 4)
    assert (found.accuracy, found.pass_at_1, found.pass_at_n) == pytest.approx((2 / 3, 7 / 12, 1.0))
    assert found.efficiency == pytest.approx(0.2)
    assert (found.missed, found.unsolved) == pytest.approx((1 / 3, 0.0))


def test_the_interval_holds_the_figure_and_narrows_with_the_problems() -> None:
    few, many = (
        selection({Kind(True, 4, 2): 6 * n, Kind(False, 4, 2): 4 * n, Kind(False, 4, 0): 5 * n}) for n in (4, 400)
    )
    assert few is not None
    assert many is not None
    assert few.efficiency == many.efficiency == pytest.approx((6 - 5) / (10 - 5))
    assert few.low is not None
    assert few.high is not None
    assert many.low is not None
    assert many.high is not None
    assert few.low < many.low < 0.2 < many.high < few.high
    # Of the 4,000 problems on which a choice matters p = 60 % were chosen right: efficiency 2p - 1, sd 2 sqrt(p(1-p)/4000).
    assert many.high - many.low == pytest.approx(2 * 1.96 * 2 * (0.24 / 4000) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    ("found", "limit", "words"),
    [
        ({Kind(True, 4, 2): 50, Kind(False, 4, 0): 50}, "generator", "the generator is the limit: on 50.0 % of the problems no sample is right, on 0.0 %"),
        ({Kind(True, 4, 2): 50, Kind(False, 4, 2): 50}, "selection", "the vote is the limit: on 50.0 % a right one was there and not chosen, on 0.0 %"),
        ({Kind(False, 4, 2): 50, Kind(False, 4, 0): 50}, "both", "the generator and the vote cannot be told apart as the limit"),
        ({Kind(True, 4, 2): 50}, None, "nothing is lost"),
        ({Kind(False, 1, 0): 30, Kind(True, 1, 1): 70}, "generator", "one sample a problem, and 30.0 % of them are wrong"),
    ],
)  # fmt: skip
def test_what_limits_is_said_in_words(found: dict[Kind, int], limit: str | None, words: str) -> None:
    made = selection(found)
    assert made is not None
    assert made.limit == limit
    assert words in made.sentence("the vote")


def test_where_no_choice_matters_there_is_no_efficiency() -> None:
    made = selection({Kind(True, 4, 4): 3, Kind(False, 4, 0): 3})
    assert made is not None
    assert (made.efficiency, made.low, made.high) == (None, None, None)


def test_too_few_problems_have_no_interval() -> None:
    made = selection({Kind(True, 4, 1): 1, Kind(False, 4, 0): 9})
    assert made is not None
    assert (made.efficiency, made.low, made.high) == (1.0, None, None)


def test_what_is_no_problem_is_refused() -> None:
    assert selection({}) is None
    for kind in (Kind(True, 0, 0), Kind(True, 2, 3)):
        with pytest.raises(ValueError, match="needs samples"):
            selection({kind: 1})


@given(kinds)
def test_it_is_what_the_problems_one_by_one_give(found: dict[Kind, int]) -> None:
    problems = list(Counter(found).elements())
    made = selection(found)
    assert made is not None
    first = sum(one.right_samples / one.samples for one in problems) / len(problems)
    best = sum(one.right_samples > 0 for one in problems) / len(problems)
    right = sum(one.right for one in problems) / len(problems)
    assert (made.problems, made.pass_at_1, made.pass_at_n) == pytest.approx((len(problems), first, best))
    assert made.pass_at_1 <= made.pass_at_n + 1e-12
    if made.efficiency is not None:
        assert made.efficiency == pytest.approx((right - first) / (best - first))
        assert made.efficiency <= 1 + 1e-9
        if made.low is not None and made.high is not None:
            assert made.low < made.high <= 1 + 1e-9


def test_the_sampling_strategies_are_those_that_the_registry_calls_so() -> None:
    assert set(SAMPLING) == {entry.name for entry in STRATEGIES.values() if entry.samples} | {"greedy"}
