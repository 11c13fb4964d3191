"""What the step-wise searches share: children drawn side by side, scored step by step, and the final vote."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from strategies.aggregation import Aggregation, aggregate
from strategies.sampling import gather, score_of
from strategies.task import Candidate, Solution, Task
from strategies.votes import classify, elect, verdict

MOST_STEPS = 40
"""A search gives up branches that are longer."""

FIRST_STEP = "s"
"""What the paths of all steps begin with: "s0" is not the whole sample "0"."""

Place = tuple[Candidate, int]
"""A parent and how many children it is to have."""


class Search:
    """One query's tree. `nodes` holds every candidate made for it; `exhausted` tells that the budget ran out. A branch is
    worth what `aggregation` makes of the scores of its steps so far."""

    def __init__(self, task: Task, aggregation: Aggregation) -> None:
        assert task.verifier is not None, "the strategy needs a verifier"
        self.task = task
        self.verifier = task.verifier
        self.aggregation = aggregation
        self.nodes: list[Candidate] = []
        self.exhausted = False

    async def grow(self, places: Iterable[Place]) -> list[Candidate]:
        """One step behind every place, all drawn concurrently; in the order of the places, without those that did not
        fit the budget."""
        return await self._draw(
            {f"{parent.path}.{index}": parent for parent, count in places for index in range(count)}
        )

    async def first(self, numbers: Iterable[int]) -> list[Candidate]:
        """First steps of these numbers, as `grow`."""
        return await self._draw({f"{FIRST_STEP}{number}": None for number in numbers})

    async def roll_out(self, nodes: Sequence[Candidate], steps: int) -> list[Candidate]:
        """Where up to `steps` of the likeliest steps lead from each node; a rollout cut short ends with its last whole
        step, which may be the node itself."""
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(self._roll(node, steps)) for node in nodes]
        return [end.result() for end in ends]

    async def _roll(self, node: Candidate, steps: int) -> Candidate:
        for _ in range(steps):
            if node.finish_reason != "step":
                break
            further = [
                child for child in await self._draw({f"{node.path}.g": node}, temperature=0.0) if is_whole(child)
            ]
            if not further:
                break
            node = further[0]
        return node

    async def _draw(self, parents: Mapping[str, Candidate | None], temperature: float | None = None) -> list[Candidate]:
        children, exhausted = await gather(
            self.task,
            list(parents),
            lambda path: self.task.generator.step(path, parents[path], temperature=temperature),
        )
        self.nodes += children
        self.exhausted = self.exhausted or exhausted
        return children

    async def score(self, children: Sequence[Candidate]) -> list[Candidate]:
        """The children that ended, or whose step did, each with its score. Of branches scored at every step only the
        newest one is read.

        A truncated step is not an end, and nobody can judge a step that is not there: such branches end here.
        """
        judged = [child for child in children if is_whole(child)]

        async def judge(child: Candidate) -> None:
            child.score = await self._worth(child)

        async with asyncio.TaskGroup() as group:
            for child in judged:
                group.create_task(judge(child))
        return judged

    async def _worth(self, child: Candidate) -> float:
        if self.aggregation == "last":
            return await score_of(self.verifier, child, "last")
        before = [node.step_scores[-1] if node.step_scores else None for node in child.lineage[:-1]]
        known = [score for score in before if score is not None]
        if len(known) < len(before):  # a rollout's steps were not judged one by one
            return await score_of(self.verifier, child, self.aggregation)
        return aggregate([*known, await score_of(self.verifier, child, "last")], self.aggregation)

    async def vote(self, finished: Sequence[Candidate]) -> Solution:
        """The answer whose finished branches' scores sum highest, as in `weighted_vote`."""
        await self.classify()
        return self.answer(elect(finished, verdict(finished)), finished)

    async def classify(self) -> None:
        """Group the answers of all that ended, whether it is to vote or not: each is graded."""
        await classify([node for node in self.nodes if node.finish_reason == "stop"], self.task.answers)

    def answer(self, chosen: Candidate | None, finished: Sequence[Candidate]) -> Solution:
        """The search's result with `chosen` as what it answers; what led to none of `finished` is discarded."""
        keep_lines(self.nodes, finished)
        return Solution(
            answer=chosen.answer if chosen else None,
            candidates=self.nodes,
            stopped="budget" if self.exhausted else "complete" if finished else "unfinished",
            chosen=chosen.path if chosen else None,
        )


def keep_lines(nodes: Iterable[Candidate], ends: Iterable[Candidate]) -> None:
    """Mark as kept those of `nodes` that lead to one of `ends`, and the others as discarded."""
    led = {id(node) for end in ends for node in end.lineage}
    for node in nodes:
        node.kept = id(node) in led


def is_whole(child: Candidate) -> bool:
    """Whether a step, and perhaps with it the solution, came to its end and says something."""
    return child.finish_reason in ("stop", "step") and bool(child.text.strip())


def merge(siblings: Sequence[Candidate]) -> list[Candidate]:
    """The first of each set of children of one parent that say the same."""
    first: dict[tuple[int, str, str], Candidate] = {}
    for child in siblings:
        first.setdefault((id(child.parent), child.text, child.finish_reason), child)
    return list(first.values())


def by_score(nodes: Iterable[Candidate]) -> list[Candidate]:
    """Best first; of equals the one drawn first."""
    return sorted(nodes, key=lambda node: -(node.score or 0.0))


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """`total` divided in proportion to `weights`, exactly: each its whole part, what is left to the largest remainders,
    of equal ones to the first (Hamilton's method).

    Raises:
        ValueError: no weight is greater than zero.
    """
    # Exact, or what remains of equal quotas would differ by how floats are rounded.
    exact = list(map(Fraction, weights))
    whole = sum(exact)
    if not whole > 0:
        raise ValueError("nothing to divide by: no weight is greater than zero")
    quotas = [total * weight / whole for weight in exact]
    found = [math.floor(quota) for quota in quotas]
    left = total - sum(found)
    for index in sorted(range(len(quotas)), key=lambda i: found[i] - quotas[i])[:left]:
        found[index] += 1
    return found
