"""First finish: N samples side by side until k have ended, which vote (Agarwal et al., 2505.18149, section 3, k = 1, and
"The art of scaling test-time compute", 2512.02008, any k)."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from strategies.sampling import gather
from strategies.search import keep_lines
from strategies.task import Candidate, Solution, Task
from strategies.votes import classify, elect, one_vote

FIRST_SEGMENT = "f"
"""What the paths of all segments begin with: "f3" is the first of sample 3, "f3.1" the second."""


class FirstFinish(BaseModel):
    """N samples drawn side by side; the first k to end, in generated tokens, vote, and the others are given up."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    finishers: int = Field(1, ge=1, description="k: how many samples are waited for")
    segment: int = Field(64, ge=1, description="tokens of every sample between two looks at who has ended")

    async def solve(self, task: Task) -> Solution:
        # Who is first is a matter of tokens and not of time, so all samples are looked at when they are equally long.
        # Nothing is in flight then: giving a sample up leaves no request behind whose tokens nobody has counted.
        drawn: list[Candidate] = []
        live: dict[str, Candidate | None] = {f"{FIRST_SEGMENT}{index}": None for index in range(task.width)}
        ended: list[Candidate] = []
        exhausted = False
        while live and len(ended) < self.finishers:
            newest, cut = await self._go_on(task, live)
            exhausted = exhausted or cut
            drawn += newest
            ended += [one for one in newest if one.finish_reason == "stop"]
            live = {_next_path(one): one for one in newest if one.finish_reason == "step"}
        await classify(ended, task.answers)
        # Sorting is stable, and equally long ones ended together: of them the lower index is first.
        voters = sorted(sorted(ended, key=_length)[: self.finishers], key=_index)
        chosen = elect(voters, one_vote)
        keep_lines(drawn, voters)
        return Solution(
            answer=chosen.answer if chosen else None,
            candidates=drawn,
            stopped="budget" if exhausted and len(voters) < self.finishers else "complete" if voters else "unfinished",
            chosen=chosen.path if chosen else None,
        )

    async def _go_on(self, task: Task, live: Mapping[str, Candidate | None]) -> tuple[list[Candidate], bool]:
        """The next segment of each, and whether the budget cut any short."""
        return await gather(task, list(live), lambda path: task.generator.segment(path, live[path], self.segment))


def _index(segment: Candidate) -> int:
    return int(segment.path.removeprefix(FIRST_SEGMENT).partition(".")[0])


def _length(segment: Candidate) -> int:
    """Tokens of the sample up to here."""
    return sum(one.usage.generated_tokens for one in segment.lineage)


def _next_path(segment: Candidate) -> str:
    sample, _, number = segment.path.partition(".")
    return f"{sample}.{int(number or 0) + 1}"
