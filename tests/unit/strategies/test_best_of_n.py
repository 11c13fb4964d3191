"""The best-scored sample."""

import pytest

from strategies.aggregation import Aggregation
from strategies.best_of_n import BestOfN
from strategies.registry import build
from strategies.task import Budget
from tests.unit.strategies.scripted import Line, scene

LINES = [
    Line("= 1", (0.1, 0.1, 0.9)),
    Line("= 2", (0.5, 0.5, 0.5)),
    Line("= 3", (1.0, 0.45, 0.8)),
    Line("= 4", (1.0, 1.0, 0.4)),
]


@pytest.mark.parametrize(("how", "answer"), [("last", "1"), ("min", "2"), ("prod", "4"), ("mean", "4")])
async def test_each_aggregation_has_its_winner(how: Aggregation, answer: str) -> None:
    act = scene(LINES)
    solution = await build("best-of-n", {"aggregation": how}).solve(act.task)
    assert (solution.answer, solution.stopped) == (answer, "complete")


async def test_last_is_the_default() -> None:
    assert (await BestOfN().solve(scene(LINES).task)).answer == "1"


async def test_ties_go_to_the_lower_index() -> None:
    solution = await BestOfN().solve(scene([Line("= 1", (0.3,)), Line("= 2", (0.5,)), Line("= 3", (0.5,))]).task)
    assert solution.chosen == "1"


async def test_votes_do_not_count() -> None:
    solution = await BestOfN().solve(scene([Line("= 1", (0.5,))] * 5 + [Line("= 2", (0.6,))]).task)
    assert solution.answer == "2"
    assert [made.answer_class for made in solution.candidates] == [0] * 5 + [1]


async def test_a_cut_or_unparsed_sample_cannot_win() -> None:
    solution = await BestOfN().solve(
        scene([Line("= 1", (1.0,), "length"), Line("I do not know", (0.9,)), Line("= 3", (0.0,))]).task
    )
    assert (solution.answer, solution.chosen) == ("3", "2")  # a score of 0.0 is a score
    assert [made.score for made in solution.candidates] == [None, 0.9, 0.0]


async def test_a_failed_score_is_not_a_low_one() -> None:
    with pytest.raises(ExceptionGroup):
        await BestOfN().solve(scene([Line("= 1", (0.1,)), Line("= 2", OSError("the verifier is gone"))]).task)


async def test_nothing_to_choose_from() -> None:
    solution = await BestOfN().solve(scene({}, budget=Budget(9, "tokens")).task)
    assert (solution.answer, solution.chosen, solution.stopped) == (None, None, "budget")
    solution = await BestOfN().solve(scene([Line("?")]).task)
    assert (solution.answer, solution.chosen, solution.stopped) == (None, None, "complete")
