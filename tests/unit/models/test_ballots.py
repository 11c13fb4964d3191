"""Votes for every n at once against the votes of the strategies, one order and one n at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.ballots import choose, draw_orders, elect, elect_weighted
from strategies.protocols import TokenUsage
from strategies.task import Candidate
from strategies.votes import elect as elect_one
from strategies.votes import one_vote, verdict

Case = tuple[np.ndarray, np.ndarray, np.ndarray]


@some.composite
def cases(draw: some.DrawFn, *, scores: tuple[float, ...] = (0.0, 0.1, 0.25, 0.3, 1.0)) -> Case:
    """Classes, scores and orders: few of each, so that nearly everything ties somewhere."""
    n = draw(some.integers(1, 9))
    classes = np.array(draw(some.lists(some.integers(-1, 3), min_size=n, max_size=n)))
    given_ = np.array(draw(some.lists(some.sampled_from(scores), min_size=n, max_size=n)))
    orders = draw_orders(n, 3, np.random.default_rng(draw(some.integers(0, 2**31))))
    return classes, given_, orders[:, : draw(some.integers(1, n))]


def candidates(classes: np.ndarray, scores: np.ndarray, order: np.ndarray) -> list[Candidate]:
    """Those drawn, in the order drawn; `path` tells which sample each is."""
    return [
        Candidate(
            path=str(index),
            text="",
            finish_reason="stop",
            usage=TokenUsage(1, 0, 1),
            answer_class=int(classes[index]),
            answer=None if classes[index] < 0 else str(classes[index]),
            score=float(scores[index]),
        )
        for index in order
    ]


def compare(found: np.ndarray, case: Case, elected: Callable[[list[Candidate]], Candidate | None]) -> None:
    classes, scores, orders = case
    for row, order in enumerate(orders):
        for n in range(1, len(order) + 1):
            chosen = elected(candidates(classes, scores, order[:n]))
            assert found[n - 1, row] == (-1 if chosen is None else int(chosen.path))


@given(cases())
def test_a_vote_of_equals_with_a_verifier_for_its_ties(case: Case) -> None:
    classes, scores, orders = case
    compare(elect(classes, orders, then=scores)[0], case, lambda drawn: elect_one(drawn, one_vote))


@given(cases())
def test_without_a_verifier_ties_go_to_the_lower_index(case: Case) -> None:
    classes, scores, orders = case
    case = classes, np.zeros_like(scores), orders
    compare(elect(classes, orders)[0], case, lambda drawn: elect_one(drawn, one_vote))


@given(cases())
def test_a_weighted_vote(case: Case) -> None:
    classes, scores, orders = case
    plain, found, again = elect_weighted(classes, orders, np.stack([scores, scores]))
    assert (found == again).all()
    assert (plain == elect(classes, orders)[0]).all()
    compare(found, case, lambda drawn: elect_one(drawn, verdict(drawn)))


@given(cases(scores=(-1.5, -0.5, 0.0, 0.25, 2.0)))
def test_a_leader_may_fall_back_where_scores_are_negative(case: Case) -> None:
    """Exact sums, for the rewards of some models are not between 0 and 1."""
    classes, scores, orders = case
    compare(elect_weighted(classes, orders, scores[None])[1], case, lambda drawn: elect_one(drawn, verdict(drawn)))


@given(cases())
def test_the_best_scored_with_an_answer_is_chosen(case: Case) -> None:
    def best(drawn: list[Candidate]) -> Candidate | None:
        return max((one for one in drawn if one.answer is not None), key=lambda one: one.score or 0.0, default=None)

    compare(choose(case[0], case[2], case[1]), case, best)


def test_tiny_scores_are_no_ties() -> None:
    """A product of many step scores may be as small as that."""
    scores = np.array([[1e-12, 3e-12, 1e-13]])
    assert elect_weighted(np.array([0, 1, 0]), np.array([[0, 1, 2]]), scores)[1, :, 0].tolist() == [0, 1, 1]


def test_sums_that_differ_by_rounding_tie() -> None:
    assert 0.1 + 0.1 + 0.1 > 0.3
    found = elect_weighted(np.array([0, 1, 1, 1]), np.array([[0, 1, 2, 3]]), np.array([[0.3, 0.1, 0.1, 0.1]]))
    assert found[1, :, 0].tolist() == [0, 0, 0, 0]


def test_orders_are_permutations_and_all_places_are_alike() -> None:
    orders = draw_orders(8, 4000, np.random.default_rng(0))
    assert (np.sort(orders, axis=1) == np.arange(8)).all()
    assert (orders == 3).mean(axis=0) == pytest.approx(np.full(8, 1 / 8), abs=0.02)
