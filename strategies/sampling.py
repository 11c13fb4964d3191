"""Drawing independent complete solutions: the ground of every sampling strategy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from strategies.aggregation import Aggregation, aggregate
from strategies.protocols import BudgetExhausted
from strategies.task import Budget, Candidate, Task

MOST_SAMPLES = 256
"""An upper bound on the samples of one query whose budget is not counted in samples."""


def sample_count(budget: Budget) -> int:
    """N, the nominal width: the budget itself in samples, else as many as the meter will let through."""
    return int(budget.amount) if budget.unit == "samples" else MOST_SAMPLES


async def draw(task: Task, paths: list[str], *, temperature: float | None = None) -> tuple[list[Candidate], bool]:
    """The candidates at `paths`: those already made are taken over, the missing ones drawn concurrently.

    Returns them in the order of `paths` with their answers extracted, and whether the budget cut the list short.
    A truncated candidate has no answer: what was cut is not finished.
    """
    return await gather(task, paths, lambda path: task.generator.sample(path, temperature=temperature))


async def gather(
    task: Task, paths: Sequence[str], make: Callable[[str], Awaitable[Candidate]]
) -> tuple[list[Candidate], bool]:
    """`draw` with any way to make the candidate at a path."""
    made = {candidate.path: candidate for candidate in task.candidates}
    exhausted = False

    async def one(path: str) -> Candidate | None:
        nonlocal exhausted
        candidate = made.get(path)
        if candidate is None:
            try:
                candidate = await make(path)
            except BudgetExhausted:
                exhausted = True
                return None
        finished = candidate.finish_reason == "stop"
        candidate.answer = await task.answers.extract(candidate.solution) if finished else None
        return candidate

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(path)) for path in paths]
    drawn = [candidate for candidate in (task.result() for task in tasks) if candidate is not None]
    return drawn, exhausted or any(candidate.finish_reason == "clipped" for candidate in drawn)


async def draw_samples(task: Task) -> tuple[list[Candidate], bool]:
    """N independent samples at the job's own temperature, at paths "0", "1", ..."""
    return await draw(task, [str(index) for index in range(sample_count(task.budget))])


async def score_all(task: Task, candidates: list[Candidate], how: Aggregation) -> None:
    """Score every finished candidate concurrently; a failed score fails the attempt, it is never 0.0.

    A truncated candidate or one without text is not scored: it can neither win nor vote.
    """
    verifier = task.verifier
    assert verifier is not None, "the strategy needs a verifier"

    async def one(candidate: Candidate) -> None:
        candidate.score = aggregate(await verifier.score(candidate, last_only=how == "last"), how)

    async with asyncio.TaskGroup() as group:
        for candidate in candidates:
            if candidate.finish_reason == "stop" and candidate.text.strip():
                group.create_task(one(candidate))
