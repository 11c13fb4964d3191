"""Best-of-N: N samples, the one the verifier scores highest (Lightman et al., 2305.20050, section 2)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from strategies.aggregation import MEANING, Aggregation
from strategies.sampling import GREEDY_FIRST, draw_samples, score_all
from strategies.task import Solution, Task
from strategies.votes import classify


class BestOfN(BaseModel):
    """N samples, the highest verifier score wins; a candidate without an answer abstains."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    aggregation: Aggregation = Field("last", description=MEANING)
    greedy_first: bool = Field(False, description=GREEDY_FIRST)

    async def solve(self, task: Task) -> Solution:
        candidates, exhausted = await draw_samples(task, greedy_first=self.greedy_first)
        await classify(candidates, task.answers)
        await score_all(task, candidates, self.aggregation)
        scored = [
            (candidate.score, candidate)
            for candidate in candidates
            if candidate.score is not None and candidate.answer is not None
        ]
        # max returns the first of equals, which is the lower index.
        chosen = max(scored, key=lambda pair: pair[0])[1] if scored else None
        return Solution(
            answer=chosen.answer if chosen else None,
            candidates=candidates,
            stopped="budget" if exhausted else "complete",
            chosen=chosen.path if chosen else None,
        )
