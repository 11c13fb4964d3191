"""Best-of-N weighted."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strategies.majority_vote import MajorityVote
from strategies.registry import build
from strategies.task import Budget
from strategies.weighted_vote import WeightedVote
from tests.unit.strategies.scripted import Line, scene


async def test_the_largest_sum_of_scores_wins() -> None:
    lines = [
        Line("= 1", (0.9,)),
        Line("= 1/2", (0.5,)),
        Line("= 3", (0.1,)),
        Line("= 0.5", (0.6,)),
        Line("= 3", (0.1,)),
    ]
    solution = await WeightedVote().solve(scene([*lines, Line("= 3", (0.1,))]).task)
    assert (solution.answer, solution.chosen, solution.stopped) == ("1/2", "1", "complete")


@pytest.mark.parametrize(("how", "answer"), [("last", "1"), ("min", "2")])
async def test_the_aggregation_is_a_parameter(how: str, answer: str) -> None:
    lines = [Line("= 1", (0.1, 0.9)), Line("= 2", (0.6, 0.6))]
    assert (await build("weighted_vote", {"aggregation": how}).solve(scene(lines).task)).answer == answer


@given(
    some.lists(some.sampled_from(["= 1", "= 2", "= 4/2", "= 3", "none"]), min_size=1, max_size=12),
    some.sampled_from([0.0, 0.1, 0.3, 1 / 3, 0.7, 1.0, 5e-324]),
)
async def test_it_is_the_majority_vote_when_all_scores_are_equal(texts: list[str], score: float) -> None:
    lines = [Line(text, (score,)) for text in texts]
    weighted, majority = await WeightedVote().solve(scene(lines).task), await MajorityVote().solve(scene(lines).task)
    assert (weighted.answer, weighted.chosen) == (majority.answer, majority.chosen)


async def test_equal_sums_go_to_the_lower_index() -> None:
    lines = [Line("= 1", (0.3,)), Line("= 2", (0.1,)), Line("= 2", (0.2,)), Line("= 3", (0.7,)), Line("= 3", (0.1,))]
    assert (await WeightedVote().solve(scene(lines[:3]).task)).answer == "2"  # 0.1 + 0.2 is more than 0.3 in floats
    lines = [Line("= 1", (0.5,)), Line("= 2", (0.25,)), Line("= 2", (0.25,))]
    assert (await WeightedVote().solve(scene(lines).task)).answer == "1"
    assert (await WeightedVote().solve(scene(lines[::-1]).task)).answer == "2"


@pytest.mark.parametrize(("keep_top", "answer"), [(1.0, "1"), (0.6, "2"), (0.5, "2"), (0.2, "3"), (0.01, "3")])
async def test_only_the_best_scored_vote(keep_top: float, answer: str) -> None:
    lines = [Line("= 1", (0.4,)), Line("= 2", (0.5,)), Line("= 1", (0.4,)), Line("= 2", (0.5,)), Line("= 3", (0.6,))]
    solution = await build("weighted_vote", {"keep_top": keep_top}).solve(scene([*lines, Line("= 1", (0.3,))]).task)
    assert solution.answer == answer
    assert len(solution.candidates) == 6  # all are paid and kept


async def test_what_is_kept_is_counted_exactly_and_the_lower_index_goes_first() -> None:
    # 0.07 * 100 is a little more than 7 in floats, but an eighth vote would make it a tie that "2" wins.
    assert math.ceil(0.07 * 100) == 8
    lines = [Line("= 2", (0.5,))] * 3 + [Line("= 1", (0.5,))] * 4 + [Line("= 2", (0.5,))] * 93
    assert (await build("weighted_vote", {"keep_top": 0.07}).solve(scene(lines).task)).answer == "1"


@pytest.mark.parametrize(("keep_top", "answer"), [(1e-12, "1"), (0.25, "1"), (0.5, "1"), (0.51, "2"), (0.75, "2")])
async def test_what_is_kept_is_rounded_up(keep_top: float, answer: str) -> None:
    """Of four the best two disagree, and the third outvotes the best."""
    lines = [Line("= 1", (0.9,)), Line("= 2", (0.8,)), Line("= 2", (0.7,)), Line("= 3", (0.1,))]
    assert (await build("weighted_vote", {"keep_top": keep_top}).solve(scene(lines).task)).answer == answer


async def test_who_has_no_answer_takes_no_place_among_the_best() -> None:
    lines = [Line("I do not know", (1.0,)), Line("= 1", (0.2,)), Line("= 2", (0.9,), "length"), Line("= 2", (0.1,))]
    for keep_top in (0.3, 0.5):
        assert (await build("weighted_vote", {"keep_top": keep_top}).solve(scene(lines).task)).answer == "1"


async def test_no_votes_no_answer() -> None:
    assert (await WeightedVote().solve(scene([Line("?"), Line("!")]).task)).answer is None
    solution = await WeightedVote().solve(scene({}, budget=Budget(9, "usd")).task)
    assert (solution.answer, solution.stopped) == (None, "budget")
