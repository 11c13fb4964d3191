"""Diverse verifier tree search: beam searches that never compare their branches (Beeching et al., 2024, "Scaling
test-time compute with open models", section "DVTS")."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, ConfigDict, Field

from strategies.aggregation import MEANING, Aggregation
from strategies.search import MOST_STEPS, Search, by_score, merge, shares
from strategies.task import Candidate, Solution, Task


class Dvts(BaseModel):
    """N / M separate trees; each goes on from the best of M next steps; a weighted vote over where they ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    beam_width: int = Field(4, ge=1, description="M: next steps that a tree chooses from")
    aggregation: Aggregation = Field("last", description=MEANING)
    max_steps: int = Field(MOST_STEPS, ge=1, description="steps after which an unfinished tree is given up")

    async def solve(self, task: Task) -> Solution:
        search = Search(task, self.aggregation)
        trees = max(1, task.width // self.beam_width)
        # Where M does not divide N, some trees choose from one step more.
        widths = shares(task.width, [1.0] * trees)
        firsts = [sum(widths[:tree]) for tree in range(trees)]
        async with asyncio.TaskGroup() as group:
            grown = [
                group.create_task(self._climb(search, range(first, first + width)))
                for first, width in zip(firsts, widths, strict=True)
            ]
        return await search.vote([leaf for tree in grown for leaf in tree.result()])

    async def _climb(self, search: Search, firsts: range) -> list[Candidate]:
        """One tree, rooted in the first steps of these numbers: what ended among its last children.

        Where all that was drawn last was cut, as it is where the budget ends, the children before are the last.
        """
        last: list[Candidate] = []
        children = await search.first(firsts)
        for depth in range(1, self.max_steps + 1):
            judged = await search.score(merge(children))
            if not judged:
                break
            last, best = judged, by_score(judged)[0]
            if best.finish_reason == "stop" or depth == self.max_steps:
                break
            children = await search.grow([(best, len(firsts))])
        return [node for node in last if node.finish_reason == "stop"]
