"""Beam search over steps against a process reward model (Snell et al., 2408.03314, section 5.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from strategies.aggregation import MEANING, Aggregation
from strategies.search import MOST_STEPS, Search, by_score, merge, shares
from strategies.task import Candidate, Solution, Task


class BeamSearch(BaseModel):
    """N branches; after every step the best N / M of them branch again; a weighted vote over those that ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    beam_width: int = Field(4, ge=1, description="M: children of each branch that is kept")
    aggregation: Aggregation = Field("last", description=MEANING)
    max_steps: int = Field(MOST_STEPS, ge=1, description="steps after which unfinished branches are given up")

    async def solve(self, task: Task) -> Solution:
        search, width = Search(task, self.aggregation), self._width(task)
        finished: list[Candidate] = []
        children = await search.first(range(width))
        for depth in range(1, self.max_steps + 1):
            judged = await self._judge(search, merge(children))
            ended = [node for node in judged if node.finish_reason == "stop"]
            live = by_score(node for node in judged if node.finish_reason == "step")
            finished += ended
            # Finished beams leave, the equal ones too, and nothing takes their place.
            width -= sum(node.finish_reason == "stop" for node in children)
            if not live or depth == self.max_steps:
                break
            kept = live[: math.ceil(width / self.beam_width)]
            children = await search.grow(zip(kept, shares(width, [1.0] * len(kept)), strict=True))
        return await search.vote(finished)

    def _width(self, task: Task) -> int:
        return task.width

    async def _judge(self, search: Search, children: Sequence[Candidate]) -> list[Candidate]:
        """The branches that may go on or have ended, scored."""
        return await search.score(children)
