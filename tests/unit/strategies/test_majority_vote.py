"""Self-consistency."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as some

from models.templates import load_template
from strategies.majority_vote import MajorityVote
from strategies.task import Budget, Candidate
from tests.unit.strategies.scripted import Line, scene
from worker.grading import Grader, GradingPool


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[GradingPool]:
    pool = GradingPool()
    yield pool
    await asyncio.to_thread(pool.close)


async def test_the_most_frequent_answer_wins() -> None:
    act = scene([Line("= 1"), Line("= 2"), Line("= 4/2"), Line("= 3")], verified=False)
    solution = await MajorityVote().solve(act.task)
    assert (solution.answer, solution.chosen, solution.stopped) == ("2", "1", "complete")
    assert [made.answer_class for made in solution.candidates] == [0, 1, 1, 2]


async def test_mathematically_equal_answers_are_one_vote(pool: GradingPool) -> None:
    texts = ["0.5", "1/2", r"\frac12", "7", "7", r"\frac{\sqrt{9}}{6}"]
    act = scene([Line(rf"So it is \boxed{{{text}}}.") for text in texts], verified=False)
    act.task.answers = Grader(load_template("math-boxed"), pool)
    solution = await MajorityVote().solve(act.task)
    assert (solution.answer, solution.chosen) == ("0.5", "0")
    assert [made.answer_class for made in solution.candidates] == [0, 0, 0, 1, 1, 0]


async def test_unparsed_and_cut_samples_abstain_but_are_part_of_what_was_paid() -> None:
    act = scene([Line("no"), Line("none"), Line("= 9", finish="length"), Line("= 9", finish="length"), Line("= 4")])
    solution = await MajorityVote().solve(act.task)
    assert solution.answer == "4"
    assert [made.answer_class for made in solution.candidates] == [-1, -1, -1, -1, 0]
    assert sum(made.usage.generated_tokens for made in solution.candidates) == 2 + 4 + 3 + 3 + 3


async def test_the_verifier_breaks_ties_and_is_asked_for_nothing_else() -> None:
    lines = [Line("= 1", (0.9, 0.3)), Line("= 2", (0.1, 0.4)), Line("= 3", (1.0,))]
    act = scene([*lines, Line("= 1", (0.1,)), Line("= 2", (0.2,))])
    solution = await MajorityVote().solve(act.task)
    assert solution.answer == "2"
    assert sorted(act.verifier.scored) == ["0", "1", "3", "4"]
    clear = scene([*lines, Line("= 1", (0.1,))])
    assert (await MajorityVote().solve(clear.task)).answer == "1"
    assert clear.verifier.scored == []


async def test_without_a_verifier_ties_go_to_the_lower_index() -> None:
    lines = [Line("nothing"), Line("= 2"), Line("= 1"), Line("= 1"), Line("= 2")]
    assert (await MajorityVote().solve(scene(lines, verified=False).task)).chosen == "1"


async def test_the_budget_ends_it_with_the_best_so_far() -> None:
    act = scene({"0": Line("= 1"), "1": Line("= 2"), "2": Line("= 1")}, budget=Budget(500, "tokens"), verified=False)
    solution = await MajorityVote().solve(act.task)
    assert (solution.answer, solution.stopped, len(solution.candidates)) == ("1", "budget", 3)
    nothing = await MajorityVote().solve(scene({}, budget=Budget(5, "tokens"), verified=False).task)
    assert (nothing.answer, nothing.stopped, nothing.candidates) == (None, "budget", [])


@given(some.lists(some.sampled_from(["= 1", "= 2", "= 2/2", "none"]), min_size=1, max_size=9), some.data())
async def test_it_does_not_matter_which_samples_were_made_before(texts: list[str], data: some.DataObject) -> None:
    lines = [Line(text) for text in texts]
    first = await MajorityVote().solve(scene(lines, verified=False).task)
    kept: list[Candidate] = data.draw(some.lists(some.sampled_from(first.candidates), unique_by=lambda c: c.path))
    again = scene(lines, given=kept, verified=False)
    second = await MajorityVote().solve(again.task)
    assert (second.answer, second.chosen) == (first.answer, first.chosen)
    assert set(again.generator.drawn) == {c.path for c in first.candidates} - {c.path for c in kept}
