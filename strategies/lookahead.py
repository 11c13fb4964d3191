"""Lookahead search: beam search that values a step by where it leads (Snell et al., 2408.03314, section 5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from strategies.beam_search import BeamSearch
from strategies.search import Search, is_whole
from strategies.task import Candidate, Task


class Lookahead(BeamSearch):
    """Beam search whose steps are scored after a greedy rollout of up to k more; at N samples, N / (k + 1) branches."""

    lookahead: int = Field(3, ge=0, description="k: steps of the rollout")

    def _width(self, task: Task) -> int:
        return max(1, task.width // (self.lookahead + 1))

    async def _judge(self, search: Search, children: Sequence[Candidate]) -> list[Candidate]:
        """By the score of the rollout's last step; rollouts are charged and thrown away."""
        live = [child for child in children if is_whole(child)]
        ends = await search.roll_out(live, self.lookahead)
        await search.score(list({end.path: end for end in ends}.values()))
        for child, end in zip(live, ends, strict=True):
            child.score = end.score
        return live
