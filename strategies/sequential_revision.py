"""Sequential revisions: chains of attempts, each made in sight of those before it (Snell et al., 2408.03314, section 6)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from strategies.aggregation import MEANING, Aggregation
from strategies.sampling import gather, sample_count, score_all
from strategies.task import Budget, Candidate, Solution, Task
from strategies.votes import classify, elect, one_vote, verdict

SHOWN = 4
"""A revision sees at most so many of the attempts before it."""

REVISION = "r"
"""What the paths of revisions begin with: "r2.1" revises the whole sample "2" for the first time."""

_PATH = re.compile(rf"(?:(\d+)|{REVISION}(\d+)\.(\d+))", re.ASCII)


def path_of(chain: int, position: int) -> str:
    """Where an attempt is found: the first of a chain is a plain sample, which other strategies draw as well."""
    return f"{REVISION}{chain}.{position}" if position else str(chain)


def place_of(path: str) -> tuple[int, int] | None:
    """The chain and the position in it of the attempt at `path`; None for the path of anything else."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    first, chain, position = found.groups()
    return (int(chain), int(position)) if first is None else (int(first), 0)


class SequentialRevision(BaseModel):
    """Chains of attempts, each revising the last four before it; the best of each chain, then the best of those."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    chains: int | None = Field(None, ge=1, description="chains side by side; unless given, N / length")
    length: int = Field(4, ge=1, description="attempts in a chain")
    select: Literal["verifier", "vote"] | None = Field(
        None, description="what chooses, in a chain and among them: verifier (where there is one) or vote"
    )
    feedback: bool = Field(False, description="name the step that the verifier scores lowest behind each attempt")
    aggregation: Aggregation = Field("last", description=MEANING)

    def shape(self, budget: Budget, width: int) -> tuple[int, int]:
        """Chains and their length: together never more than N attempts. `width` as in `strategies.task.Task`."""
        most = width if self.chains is None else sample_count(budget)
        chains = min(max(1, most // self.length) if self.chains is None else self.chains, most)
        return chains, min(self.length, most // chains)

    def shown(self) -> list[int]:
        """How many attempts are shown at each position of a chain, at most."""
        return [min(position, SHOWN) for position in range(self.length)]

    async def solve(self, task: Task) -> Solution:
        chains, length = self.shape(task.budget, task.width)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._revise(task, chain, length)) for chain in range(chains)]
        made = [task.result() for task in tasks]
        attempts = [attempt for chain, _ in made for attempt in chain]
        await classify(attempts, task.answers)
        by_score = task.verifier is not None and self.select != "vote"
        if by_score:
            await score_all(task, attempts, self.aggregation)
        best = [found for found in (_best(chain, by_score) for chain, _ in made) if found is not None]
        chosen = _best(best, by_score)
        return Solution(
            answer=chosen.answer if chosen else None,
            candidates=attempts,
            stopped="budget" if any(exhausted for _, exhausted in made) else "complete",
            chosen=chosen.path if chosen else None,
        )

    async def _revise(self, task: Task, chain: int, length: int) -> tuple[list[Candidate], bool]:
        """One chain, at its own pace, and whether the budget ended it. What was cut is no attempt to be shown."""
        attempts: list[Candidate] = []
        for position in range(length):
            shown = [one for one in attempts if one.finish_reason == "stop" and one.text.strip()][-SHOWN:]
            if self.feedback:
                await self._judge(task, shown)
            again = partial(task.generator.sample, attempts=shown, feedback=self.feedback)
            drawn, exhausted = await gather(task, [path_of(chain, position)], again)
            attempts += drawn
            if exhausted:
                return attempts, True
        return attempts, False

    async def _judge(self, task: Task, attempts: Sequence[Candidate]) -> None:
        """Have every step of the attempts scored, for feedback names the weakest of them."""
        assert task.verifier is not None, "feedback is a verifier's"
        for attempt in attempts:
            if attempt.step_scores is None or None in attempt.step_scores:
                await task.verifier.score(attempt)


def _best(attempts: Sequence[Candidate], by_score: bool) -> Candidate | None:
    """The answer with the most votes or the largest sum of scores, in the attempt that scores it highest."""
    winner = elect(attempts, verdict(attempts) if by_score else one_vote)
    if winner is None:
        return None
    alike = [attempt for attempt in attempts if attempt.answer_class == winner.answer_class]
    # max returns the first of equals, which is the lower index.
    return max(alike, key=lambda attempt: attempt.score or 0.0)
