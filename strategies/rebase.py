"""REBASE: reward-balanced search (Wu et al., 2408.00724, section 3.2 and appendix A)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from strategies.aggregation import MEANING, Aggregation
from strategies.search import MOST_STEPS, Search, shares
from strategies.task import Candidate, Solution, Task


class Rebase(BaseModel):
    """N branches, after every step divided anew over the live ones by softmax of their scores; a weighted vote."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    balance: float = Field(0.2, gt=0, description="temperature of the softmax over scores")
    aggregation: Aggregation = Field("last", description=MEANING)
    max_steps: int = Field(MOST_STEPS, ge=1, description="steps after which unfinished branches are given up")

    async def solve(self, task: Task) -> Solution:
        search, left = Search(task, self.aggregation), task.width
        finished: list[Candidate] = []
        children = await search.first(range(left))
        for depth in range(1, self.max_steps + 1):
            judged = await search.score(children)
            ended = [node for node in judged if node.finish_reason == "stop"]
            live = [node for node in judged if node.finish_reason == "step"]
            finished += ended
            left -= len(ended)
            if not live or depth == self.max_steps:
                break
            children = await search.grow(zip(live, shares(left, self._weights(live)), strict=True))
        return await search.vote(finished)

    def _weights(self, live: Sequence[Candidate]) -> list[float]:
        """Softmax weights, up to a factor; the largest score is taken off first so that none overflows."""
        scores = [node.score or 0.0 for node in live]
        return [math.exp((score - max(scores)) / self.balance) for score in scores]
