"""Best-of-N weighted: a vote in which each candidate weighs what the verifier thinks of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from strategies.aggregation import MEANING, Aggregation
from strategies.sampling import GREEDY_FIRST, draw_samples, score_all
from strategies.task import Candidate, Solution, Task
from strategies.votes import classify, elect, verdict


class WeightedVote(BaseModel):
    """N samples; the answer whose candidates' verifier scores sum highest (Snell et al., 2408.03314, section 5.1)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    aggregation: Aggregation = Field("last", description=MEANING)
    keep_top: float = Field(1.0, gt=0, le=1, description="first keep only this best-scored fraction")
    greedy_first: bool = Field(False, description=GREEDY_FIRST)

    async def solve(self, task: Task) -> Solution:
        candidates, exhausted = await draw_samples(task, greedy_first=self.greedy_first)
        await classify(candidates, task.answers)
        await score_all(task, candidates, self.aggregation)
        voters = _best(candidates, self.keep_top)
        chosen = elect(voters, verdict(voters))
        return Solution(
            answer=chosen.answer if chosen else None,
            candidates=candidates,
            stopped="budget" if exhausted else "complete",
            chosen=chosen.path if chosen else None,
        )


def _best(candidates: Sequence[Candidate], fraction: float) -> list[Candidate]:
    """The best-scored ceil(fraction * n) of the n candidates with an answer and a score, in index order."""
    scored = [(candidate.score, index) for index, candidate in enumerate(candidates) if candidate.answer is not None]
    ranked = sorted(((-score, index) for score, index in scored if score is not None))
    # The product is rounded, and 0.07 * 100 is a little more than 7.
    keep = math.ceil(round(fraction * len(ranked), 9))
    return [candidates[index] for index in sorted(index for _, index in ranked[: max(keep, 1)])]
