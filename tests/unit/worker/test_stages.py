"""A query that is answered in stages: what a stage leaves for the decision behind it, and what the next one takes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from strategies.protocols import ProblemView, Scores, Step, TokenUsage
from strategies.task import Candidate
from tests.unit.worker.attempts import boxed, made, run, spent, work
from tests.unit.worker.scripted import COSTS, ScriptedEngine
from worker.grading import GradingPool
from worker.ledger import Ledger
from worker.meter import SharedEngine
from worker.solver import Attempt
from worker.verifiers import Verifiers

PLAN = {"a policy": "is here"}
PROBE: dict[str, Any] = {"parameters": {"greedy_first": True}, "plan": PLAN, "final": False}


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[GradingPool]:
    pool = GradingPool()
    yield pool
    await asyncio.to_thread(pool.close)


class Reader:
    """A verifier that is a model and counts whom it reads."""

    name = "reader"
    oracle = False

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.read = 0

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        self.read += 1
        return Scores((self.scores[self.read - 1],) * len(steps[first:]), (TokenUsage(30, None, 0),))


class Shelf(Verifiers):
    """Finds `reader` whatever is asked for."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    async def find(self, *asked: Any) -> Any:
        return self.reader, replace(COSTS, model="reader")


async def test_a_stage_that_is_not_the_last_leaves_evidence_and_the_answer_of_now(pool: GradingPool) -> None:
    outcome, _, _ = await run(work(budget=(2, "samples"), **PROBE), boxed("4", "5"), pool)
    assert (outcome.state, outcome.answer, outcome.correct, outcome.stopped) == ("staged", "4", True, None)
    assert (outcome.votes, outcome.voters) == (1, 2)
    assert outcome.evidence is not None
    assert [outcome.evidence[name] for name in ("drawn", "leading", "second", "unread", "score")] == [2, 1, 1, 0, None]
    assert (outcome.evidence["generated"], outcome.evidence["prompt"]) == (10, 7)
    assert [row["path"] for row in outcome.candidates] == ["greedy", "0"]


async def test_the_last_stage_leaves_no_evidence(pool: GradingPool) -> None:
    outcome, _, _ = await run(work(**{**PROBE, "final": True}), boxed("4"), pool)
    assert (outcome.state, outcome.stopped, outcome.evidence) == ("done", "complete", None)


async def test_the_next_stage_draws_and_pays_only_what_is_not_there_yet(pool: GradingPool) -> None:
    own = ["greedy", "0"]
    job = work(candidates=[made(path, "5", length=9) for path in own], own=own, staged=own, **PROBE)
    outcome, attempt, engine = await run_carrying(job, boxed("4"), pool)
    assert [row["path"] for row in outcome.candidates] == ["greedy", "0", "1", "2"]
    assert (len(engine.asked), spent(outcome)) == (2, 10)
    assert attempt.ledger.generated() == 28
    assert outcome.evidence is not None
    assert outcome.evidence["drawn"] == 4
    assert outcome.sequential_tokens == 5, "the stages before have been waited for already"


async def run_carrying(job: Any, reply: Any, pool: GradingPool, verifiers: Verifiers | None = None) -> Any:
    engine = ScriptedEngine(reply)
    attempt = Attempt(job, SharedEngine.around(engine), COSTS, pool, verifiers or Verifiers())
    return await attempt.run(5), attempt, engine


async def test_a_plain_vote_pays_no_verifier_for_its_ties(pool: GradingPool) -> None:
    shelf = Shelf(Reader(0.5, 0.5))
    outcome, _, _ = await run_carrying(
        work(budget=(2, "samples"), verifier="reader", **PROBE), boxed("4", "5"), pool, shelf
    )
    assert (outcome.state, outcome.answer, shelf.reader.read) == ("staged", "4", 0)
    without = work(budget=(2, "samples"), verifier="reader")
    outcome, _, _ = await run_carrying(without, boxed("4", "5"), pool, shelf)
    assert (outcome.state, shelf.reader.read) == ("done", 2)


async def test_scores_of_an_earlier_stage_are_kept_and_not_paid_again(pool: GradingPool) -> None:
    shelf = Shelf(Reader(0.5, 0.75))
    own = ["greedy", "0"]
    scored = [replace(made(path, "5"), score=0.25, step_scores=(None, 0.25)) for path in own]
    job = work("weighted_vote", verifier="reader", candidates=scored, own=own, staged=own, **PROBE)
    outcome, attempt, _ = await run_carrying(job, boxed("4"), pool, shelf)
    assert (outcome.state, outcome.answer, shelf.reader.read) == ("staged", "4", 2)
    assert [row["score"] for row in outcome.candidates] == [0.25, 0.25, 0.5, 0.75]
    assert [row["calls"] for row in outcome.usage if row["phase"] == "score"] == [2]
    assert outcome.evidence is not None
    assert outcome.evidence["score"] == pytest.approx(0.625)
    # Four samples behind one prompt, two scorings of now, and what the two of before took at least.
    assert attempt.ledger.spent("tokens") == 7 + 4 * 5 + 2 * 30 + 2 * (7 + 5 + 1)


@pytest.mark.parametrize(
    ("scores", "every_step", "held"),
    [((None, 0.5), False, False), ((None, 0.5), True, True), ((0.5, 0.5), True, False), (None, False, True)],
)
def test_nothing_is_held_back_for_scores_that_are_there(
    scores: tuple[float | None, ...] | None, every_step: bool, held: bool
) -> None:
    costs = replace(COSTS, verifier=replace(COSTS, model="reader"), every_step=every_step)
    own = Candidate("0", "text", "stop", TokenUsage(7, 0, 5), step_scores=scores)
    ledger = Ledger(costs, prompt_charged=True)
    ledger.carry(own)
    assert ledger.spent("tokens") == 12 + 1 + (costs.most_scored(7, 5) if held else 12)


async def test_a_stage_keeps_all_its_candidates_whatever_the_tree_is_to_leave(pool: GradingPool) -> None:
    job = work(budget=(2, "samples"), **PROBE)
    less = job.context.specification.model_copy(update={"keep_tree": "none"})
    job = replace(job, context=replace(job.context, specification=less))
    outcome, _, _ = await run(job, boxed("4", "5"), pool)
    assert [row["path"] for row in outcome.candidates] == ["greedy", "0"]
    job = replace(job, claim=replace(job.claim, final=True))
    outcome, _, _ = await run_carrying(job, boxed("4", "5"), pool)
    assert [row["path"] for row in outcome.candidates] == ["greedy"]
