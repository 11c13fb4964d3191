"""Adaptive-Consistency (Aggarwal et al., 2305.11860, section 3): a majority vote that ends once it is settled."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from strategies.sampling import GREEDY_FIRST, draw, sample_paths
from strategies.task import Candidate, Solution, Task
from strategies.votes import classify, elect, one_vote


def lead_is_real(first: int, second: int) -> float:
    """P(p > 1/2) for p ~ Beta(first + 1, second + 1): how surely the answer with `first` votes beats the one with
    `second` (2305.11860, section 3.2). By the binomial sum that equals this integral where both are whole."""
    flips = first + second + 1
    return math.ldexp(sum(math.comb(flips, heads) for heads in range(first + 1)), -flips)


class AdaptiveConsistency(BaseModel):
    """At most N samples; ends once the most frequent answer's lead over the next is sure enough."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    confidence: float = Field(0.95, gt=0.5, lt=1, description="probability at which the lead counts as settled")
    greedy_first: bool = Field(False, description=GREEDY_FIRST)

    async def solve(self, task: Task) -> Solution:
        paths = sample_paths(task.budget, greedy_first=self.greedy_first)
        candidates: list[Candidate] = []
        exhausted = settled = False
        while len(candidates) < len(paths) and not (exhausted or settled):
            # As many at once as it would take to settle the vote at the earliest: none of them can be one too many.
            start = len(candidates)
            drawn, exhausted = await draw(task, paths[start : start + self._fewest(candidates)])
            candidates += drawn
            await classify(candidates, task.answers)
            settled = lead_is_real(*_two_largest(candidates)) >= self.confidence
        chosen = elect(candidates, one_vote)
        return Solution(
            answer=chosen.answer if chosen else None,
            candidates=candidates,
            stopped="settled" if settled else "budget" if exhausted else "complete",
            chosen=chosen.path if chosen else None,
        )

    def _fewest(self, candidates: Sequence[Candidate]) -> int:
        """How many more votes for the leading answer would settle it."""
        first, second = _two_largest(candidates)
        more = 1
        while lead_is_real(first + more, second) < self.confidence:
            more += 1
        return more


def _two_largest(candidates: Sequence[Candidate]) -> tuple[int, int]:
    """Votes of the two most frequent answers; 0 where there is none."""
    counts = Counter(candidate.answer_class for candidate in candidates if candidate.answer_class >= 0)
    first, second = [*(votes for _, votes in counts.most_common(2)), 0, 0][:2]
    return first, second
