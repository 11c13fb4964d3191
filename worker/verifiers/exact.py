"""The oracle: reads the reference answer. For analysis only; its results are labelled so everywhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from strategies.protocols import ProblemView, QueryError, Scores, Step


class Exact:
    """1.0 for every step of a right solution, 0.0 for every step of a wrong one."""

    name = "exact"
    oracle = True
    Grade = Callable[[str, str], Awaitable[bool]]

    def __init__(self, grade: Grade) -> None:
        self._grade = grade

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        """Raises QueryError for a problem without a reference answer."""
        if problem.answer is None:
            raise QueryError("exact: the problem has no reference answer; choose another verifier")
        right = await self._grade("".join(step.text for step in steps), problem.answer)
        return Scores((1.0 if right else 0.0,) * len(steps[first:]))
