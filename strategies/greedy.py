"""One sample at temperature 0."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from strategies.sampling import GREEDY_PATH as GREEDY_PATH
from strategies.sampling import draw
from strategies.task import Solution, Task
from strategies.votes import classify


class Greedy(BaseModel):
    """One sample at temperature 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    async def solve(self, task: Task) -> Solution:
        candidates, exhausted = await draw(task, [GREEDY_PATH])
        await classify(candidates, task.answers)
        answer = candidates[0].answer if candidates else None
        return Solution(answer, candidates, "budget" if exhausted else "complete", GREEDY_PATH if candidates else None)
