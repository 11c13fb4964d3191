"""Budget forcing (Muennighoff et al., "s1: Simple test-time scaling", 2501.19393, section 3.1): a reasoning model's
thinking is held between a minimum and a maximum of tokens."""

from __future__ import annotations

import asyncio
from functools import partial

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from strategies.sampling import gather
from strategies.task import Candidate, Solution, Task
from strategies.votes import classify, elect, one_vote

THOUGHT = "t"
"""What the paths of all parts begin with: "t3" is the first of sample 3's thinking, "t3.1" what comes next."""

THINKING, END_OF_THINKING = "<think>", "</think>"
WAIT = "Wait"
ENDED = f"{END_OF_THINKING}\n\n"
CUT = f"\n{END_OF_THINKING}\n\nThe final answer is"
"""What takes the place of an end that comes too early; what stands between thinking and answer; the same where thinking
had to be cut, so that the model answers at once."""

EFFORTS: dict[str, dict[str, int]] = {
    "low": {"minimum": 0, "maximum": 1024, "waits": 0},
    "medium": {"minimum": 512, "maximum": 4096, "waits": 2},
    "high": {"minimum": 2048, "maximum": 16384, "waits": 4},
}
"""The parameters that `--effort` stands for."""


class BudgetForcing(BaseModel):
    """N samples of a reasoning model, whose thinking is held between a minimum and a maximum; most votes wins."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    minimum: int = Field(EFFORTS["medium"]["minimum"], ge=0, description="tokens of thinking before it may end")
    maximum: int = Field(EFFORTS["medium"]["maximum"], ge=1, description="tokens of thinking after which it must end")
    waits: int = Field(
        EFFORTS["medium"]["waits"], ge=0, description=f'how often at most "{WAIT}" takes the place of an early end'
    )

    @field_validator("maximum")
    @classmethod
    def _not_below_the_minimum(cls, maximum: int, info: ValidationInfo) -> int:
        if maximum < info.data.get("minimum", 0):
            raise ValueError(f"it must not be less than minimum, which is {info.data['minimum']}")
        return maximum

    async def solve(self, task: Task) -> Solution:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._sample(task, number)) for number in range(task.width)]
        made = [one.result() for one in tasks]
        ended = [parts[-1] for parts, _ in made if parts and parts[-1].finish_reason == "stop"]
        await classify(ended, task.answers)
        chosen = elect(ended, one_vote)
        return Solution(
            answer=chosen.answer if chosen else None,
            candidates=[part for parts, _ in made for part in parts],
            stopped="budget" if any(exhausted for _, exhausted in made) else "complete",
            chosen=chosen.path if chosen else None,
        )

    async def _sample(self, task: Task, number: int) -> tuple[list[Candidate], bool]:
        """The parts of one sample, the answer last, and whether the budget ended it. Which part comes next depends on
        the lengths of those before it alone, so that a resumed query goes on as it would have."""
        parts: list[Candidate] = []
        thought, waits, forced = 0, 0, ""
        while True:
            exhausted = await _go_on(
                task, number, parts, tokens=self.maximum - thought, until=END_OF_THINKING, forced=forced
            )
            if exhausted or parts[-1].finish_reason != "step":
                return parts, exhausted
            thought += parts[-1].usage.generated_tokens
            if thought >= self.minimum or waits == self.waits:
                break
            waits, forced = waits + 1, WAIT
        forced = CUT if thought >= self.maximum else ENDED
        exhausted = await _go_on(task, number, parts, tokens=None, until=None, forced=forced)
        return parts, exhausted


async def _go_on(
    task: Task, number: int, parts: list[Candidate], *, tokens: int | None, until: str | None, forced: str
) -> bool:
    """Add the next part of a sample to `parts`, if the budget lets it, and tell whether the budget ended it."""
    path = f"{THOUGHT}{number}" + (f".{len(parts)}" if parts else "")
    parent = parts[-1] if parts else None
    draw = partial(task.generator.segment, parent=parent, tokens=tokens, until=until, forced=forced)
    drawn, exhausted = await gather(task, [path], draw)
    parts += drawn
    return exhausted
