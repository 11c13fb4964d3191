"""Strategies as a library, on a real model: no queue, no database, parts of one's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from models.errors import UserError
from strategies.best_of_n import BestOfN
from strategies.protocols import QueryError, Scores, TokenUsage
from tests.packages import blocks
from worker.library import Solver

PROBLEM = "(62+98)+(7+62)"


@pytest.fixture
def brief() -> dict[str, Any]:
    """The module of docs/library.md."""
    names: dict[str, Any] = {"__name__": "brief"}
    exec("\n".join(block for block in blocks("python") if block.startswith("# brief.py")), names)
    return names


async def test_parts_of_ones_own_need_no_package(brief: dict[str, Any]) -> None:
    async with Solver("tiny", verifier=brief["Brevity"](), answers=brief["LastDigit"]()) as solver:
        best, shortest = await asyncio.gather(
            solver.solve(PROBLEM, BestOfN(aggregation="min"), reference="9"),
            solver.solve(PROBLEM, brief["Shortest"](), reference="9"),
        )
    scores = [one.score for one in best.candidates if one.score is not None]
    chosen = {one.path: one for one in best.candidates}[best.chosen or ""]
    assert chosen.score == max(scores)
    assert best.answer == chosen.text[-1]
    assert best.correct == (best.answer == "9")
    lengths = {one.path: one.usage.generated_tokens for one in shortest.candidates}
    assert lengths[shortest.chosen or ""] == min(lengths.values())
    assert [one.text for one in shortest.candidates] == [one.text for one in best.candidates], "the seed decides"
    for solved in (best, shortest):
        (row,) = solved.usage
        assert row["generated_tokens"] == sum(one.usage.generated_tokens for one in solved.candidates)
        assert row["flops"] > 0


class Asking:
    """A verifier that asks some model elsewhere."""

    name = "asking"
    oracle = False

    async def score(self, problem: Any, steps: Any, *, first: int = 0) -> Scores:
        return Scores((0.5,) * len(steps[first:]), (TokenUsage(40, None, 0),))


async def test_what_a_verifier_of_ones_own_reads_is_booked_and_its_flops_are_unknown() -> None:
    async with Solver("tiny", verifier=Asking()) as solver:
        solved = await solver.solve(PROBLEM, "best_of_n", budget="2")
    _, scored = solved.usage
    assert (scored["phase"], scored["model"], scored["calls"]) == ("score", "asking", 2)
    assert (scored["prompt_tokens"], scored["scored_tokens"], scored["flops"]) == (80, 80, None)


async def test_the_same_budgets_hold() -> None:
    async with Solver("tiny", sampling={"max_tokens": 64}) as solver:
        solved = await solver.solve(PROBLEM, budget="150tokens")
    assert sum(row["canonical_prompt_tokens"] + row["generated_tokens"] for row in solved.usage) <= 150
    assert solved.stopped == "budget"


async def test_what_cannot_be_is_a_sentence() -> None:
    with pytest.raises(UserError, match="--generator: unknown model 'nobody'"):
        Solver("nobody")
    async with Solver("tiny") as solver:
        with pytest.raises(UserError, match="unknown strategy 'luck'"):
            await solver.solve(PROBLEM, "luck")
        with pytest.raises(UserError, match="compute_optimal plans the stages of a job's queries, and here is no job"):
            await solver.solve(PROBLEM, "compute-optimal")
        with pytest.raises(UserError, match="best_of_n needs a verifier"):
            await solver.solve(PROBLEM, "best_of_n")
        with pytest.raises(UserError, match="'some' is not a budget"):
            await solver.solve(PROBLEM, budget="some")
    async with Solver("tiny", answers="nobodys") as solver:
        with pytest.raises(QueryError, match="nobodys: no installed package provides this grader"):
            await solver.solve(PROBLEM)
