"""Drawing independent complete solutions: the ground of every sampling strategy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from strategies.aggregation import Aggregation, aggregate
from strategies.protocols import BudgetExhausted
from strategies.task import Budget, Candidate, MeteredVerifier, Task

GREEDY_PATH = "greedy"
"""Where the one sample at temperature 0 is found."""

GREEDY_FIRST = "the first of the N samples is the greedy one, at temperature 0"
"""What the parameter `greedy_first` does, of every strategy that draws independent samples."""

MOST_SAMPLES = 256
"""An upper bound on the samples of one query whose budget is not counted in samples."""


def sample_count(budget: Budget) -> int:
    """N, the nominal width: the budget itself in samples, else as many as the meter will let through."""
    return int(budget.amount) if budget.unit == "samples" else MOST_SAMPLES


def sample_paths(budget: Budget, *, greedy_first: bool = False) -> list[str]:
    """Where N samples are found: "0", "1", ...; or, in the same number, the greedy one and then "0", "1", ..."""
    count = sample_count(budget)
    return [GREEDY_PATH, *map(str, range(count - 1))] if greedy_first else [*map(str, range(count))]


async def draw(task: Task, paths: Sequence[str]) -> tuple[list[Candidate], bool]:
    """The candidates at `paths`: those already made are taken over, the missing ones drawn concurrently, at temperature
    0 where the path says so and else at the job's own.

    Returns them in the order of `paths` with their answers extracted, and whether the budget cut the list short.
    A truncated candidate has no answer: what was cut is not finished.
    """
    return await gather(
        task, paths, lambda path: task.generator.sample(path, temperature=0.0 if path == GREEDY_PATH else None)
    )


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


async def draw_samples(task: Task, *, greedy_first: bool = False) -> tuple[list[Candidate], bool]:
    """N samples, in the order of `sample_paths`."""
    return await draw(task, sample_paths(task.budget, greedy_first=greedy_first))


async def score_of(verifier: MeteredVerifier, candidate: Candidate, how: Aggregation) -> float:
    """The candidate's one score. The verifier is asked for step scores only where those that it needs are not there yet:
    an earlier stage or attempt may have paid for them."""
    there = candidate.step_scores or ()
    needed = there[-1:] if how == "last" else there
    scores = tuple(score for score in needed if score is not None)
    if not scores or len(scores) < len(needed):
        scores = await verifier.score(candidate, last_only=how == "last")
    return aggregate(scores, how)


async def score_all(task: Task, candidates: list[Candidate], how: Aggregation) -> None:
    """Score every finished candidate concurrently; a failed score fails the attempt, it is never 0.0.

    A truncated candidate or one without text is not scored: it can neither win nor vote.
    """
    verifier = task.verifier
    assert verifier is not None, "the strategy needs a verifier"

    async def one(candidate: Candidate) -> None:
        candidate.score = await score_of(verifier, candidate, how)

    async with asyncio.TaskGroup() as group:
        for candidate in candidates:
            if candidate.finish_reason == "stop" and candidate.text.strip():
                group.create_task(one(candidate))
