"""Every completion is filed under the problem it was drawn for, in whatever order completions arrive.

A published run of another system mixed them up: 2.6 % right where the same completions, put in order, are 41.6 %.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
import pytest_asyncio

from strategies.protocols import Completion, Message, Prefix, Sampling, TokenUsage
from tests.unit.worker.attempts import work
from tests.unit.worker.scripted import COSTS
from worker.engines.request import draw
from worker.grading import GradingPool
from worker.meter import SharedEngine
from worker.solver import Attempt
from worker.verifiers import Verifiers


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[GradingPool]:
    pool = GradingPool()
    yield pool
    await asyncio.to_thread(pool.close)


async def test_completions_come_in_the_order_of_their_seeds() -> None:
    """The last one asked for answers first."""
    answered: list[int] = []

    async def complete(
        prefix: Prefix, stop: Sequence[str], max_tokens: int, sampling: Sampling, seed: int
    ) -> Completion:
        for _ in range(20 - seed):
            await asyncio.sleep(0)
        answered.append(seed)
        return Completion(str(seed), "stop", TokenUsage(1, 0, 1))

    seeds = range(9)
    slots = asyncio.Semaphore(9)
    drawn = await draw(complete, slots, Prefix((1,)), stop=[], max_tokens=9, sampling=Sampling(), seeds=seeds)
    assert answered == sorted(seeds, reverse=True)
    assert [completion.text for completion in drawn] == [str(seed) for seed in seeds]


class Echo:
    """Answers with the number in its prompt, sooner or later."""

    name, capacity, context_length = "echo", 64, 4096

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        return Prefix(messages=tuple(messages))

    async def generate(
        self,
        prefix: Prefix,
        *,
        n: int,
        stop: Sequence[str],
        max_tokens: int,
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Completion]:
        for _ in range(random.Random(seeds[0]).randrange(30)):
            await asyncio.sleep(0)
        problem = next(message.content for message in prefix.messages or () if message.role == "user")
        number = problem.partition("number ")[2].split()[0]
        return [Completion(rf"\boxed{{{number}}}", "stop", TokenUsage(int(number), 0, 5))]

    async def close(self) -> None: ...


@pytest.mark.parametrize("strategy", ["majority_vote", "adaptive_consistency", "sequential_revision"])
async def test_queries_side_by_side_on_one_engine_keep_their_completions(strategy: str, pool: GradingPool) -> None:
    engine = SharedEngine.around(Echo())
    works = []
    for number in range(20, 32):
        one = work(strategy, answer=str(number))
        claim = replace(one.claim, query_id=number, problem_id=number, attempt_id=number)
        works.append(replace(one, claim=claim, key=f"p{number}", prompt=f"Say number {number} ."))
    outcomes = await asyncio.gather(*(Attempt(one, engine, COSTS, pool, Verifiers()).run(5) for one in works))
    for one, outcome in zip(works, outcomes, strict=True):
        assert outcome.claim == one.claim
        assert (outcome.answer, outcome.correct) == (one.answer, True)
        assert outcome.candidates
        assert {row["prompt_tokens"] for row in outcome.candidates} == {int(one.answer or 0)}
