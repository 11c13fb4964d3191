"""Self-consistency (Wang et al., 2203.11171): N samples, the most frequent answer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from strategies.sampling import GREEDY_FIRST, draw_samples, score_all
from strategies.task import Solution, Task
from strategies.votes import classify, elect, leaders, one_vote


class MajorityVote(BaseModel):
    """N samples; answers grouped by equivalence; most votes wins.

    Where the task has a verifier, it scores the tied classes, and only those.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    greedy_first: bool = Field(False, description=GREEDY_FIRST)

    async def solve(self, task: Task) -> Solution:
        candidates, exhausted = await draw_samples(task, greedy_first=self.greedy_first)
        await classify(candidates, task.answers)
        tied = leaders(candidates, one_vote)
        if task.verifier is not None and len(tied) > 1:
            await score_all(task, [candidate for members in tied for candidate in members], "last")
        chosen = elect(candidates, one_vote)
        return Solution(
            answer=chosen.answer if chosen else None,
            candidates=candidates,
            stopped="budget" if exhausted else "complete",
            chosen=chosen.path if chosen else None,
        )
