"""Monte Carlo tree search over steps: UCT (Kocsis & Szepesvari, 2006) or PUCT (Silver et al., 2017, "Mastering the game
of Go without human knowledge"), the values from a process reward model or from rollouts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from strategies.aggregation import MEANING, Aggregation
from strategies.search import MOST_STEPS, Search, is_whole, merge
from strategies.task import Candidate, Solution, Task

IDLE_ROUNDS = 3
"""Rounds without a new token after which every branch worth visiting has ended."""


@dataclass(slots=True, eq=False)
class Node:
    """A place in the tree: `visits` and the sum of the values backed up through it; the root has no candidate.

    What is behind a place is drawn once, even if nothing comes of it: its paths and so its seeds would be the same.
    """

    candidate: Candidate | None = None
    parent: Node | None = None
    prior: float = 1.0
    visits: int = 0
    total: float = 0.0
    expanded: bool = False
    children: list[Node] = field(default_factory=list)

    def back_up(self, visits: int, value: float) -> None:
        """Add to this node and all above it; `value` is a sum over `visits`."""
        node: Node | None = self
        while node is not None:
            node.visits += visits
            node.total += value
            node = node.parent


def uct(node: Node, above: Node, exploration: float) -> float:
    """mean + c * sqrt(ln N / n); infinite before the first visit."""
    if not node.visits:
        return math.inf
    return node.total / node.visits + exploration * math.sqrt(math.log(above.visits) / node.visits)


def puct(node: Node, above: Node, exploration: float) -> float:
    """mean + c * prior * sqrt(N) / (1 + n); the mean of no visits is 0."""
    mean = node.total / node.visits if node.visits else 0.0
    return mean + exploration * node.prior * math.sqrt(above.visits) / (1 + node.visits)


class Mcts(BaseModel):
    """Expands the most promising steps so far until N branches have ended; a weighted vote over those."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    formula: Literal["uct", "puct"] = Field("uct", description="what is most promising: uct or puct")
    exploration: float = Field(1.41, ge=0, description="c: the weight of what was visited little")
    children: int = Field(4, ge=1, description="steps drawn at each expansion")
    parallel: int = Field(4, ge=1, description="expansions at a time, kept apart by virtual losses")
    value: Literal["prm", "rollout"] = Field(
        "prm", description="a step's value: its score, or that of a greedy rollout"
    )
    answer: Literal["vote", "most_visited"] = Field("vote", description="the weighted vote, or the most visited branch")
    aggregation: Aggregation = Field("last", description=MEANING)
    max_steps: int = Field(MOST_STEPS, ge=1, description="steps after which a branch is given up")

    async def solve(self, task: Task) -> Solution:
        search, root = Search(task, self.aggregation), Node()
        finished: list[Candidate] = []
        idle = 0
        while len(finished) < task.width and idle < IDLE_ROUNDS and not search.exhausted:
            growing = [node for node in self._select(root, self.parallel) if self._can_grow(node)]
            idle = 0 if growing else idle + 1
            await self._expand(search, growing)
            finished = [node for node in search.nodes if node.finish_reason == "stop" and node.score is not None]
        if self.answer == "vote":
            return await search.vote(finished)
        leaf = _most_visited(root)
        return search.answer(leaf if leaf in finished else None, finished)

    def _can_grow(self, node: Node) -> bool:
        if node.expanded:
            return False
        candidate = node.candidate
        return candidate is None or (candidate.finish_reason == "step" and len(candidate.lineage) < self.max_steps)

    def _select(self, root: Node, count: int) -> list[Node]:
        """The leaves that as many descents reach, each seeing the ones before it as lost; every leaf once."""
        formula = uct if self.formula == "uct" else puct
        found: list[Node] = []
        for _ in range(count):
            node = root
            while node.children:
                # max returns the first of equals, which is the one drawn first.
                node = max(node.children, key=lambda child: formula(child, child.parent or root, self.exploration))
            node.back_up(1, 0.0)
            found.append(node)
        for node in found:
            # A branch that has ended, or that nothing can be added to, is visited once more; others are expanded.
            node.back_up(-1, 0.0)
            if not self._can_grow(node) and node.visits:
                node.back_up(1, node.total / node.visits)
        return list(dict.fromkeys(found))

    async def _expand(self, search: Search, nodes: Sequence[Node]) -> None:
        """Children for all of `nodes` at once, valued and backed up in their order."""
        firsts = await search.first(range(self.children)) if any(node.candidate is None for node in nodes) else []
        grown = await search.grow([(node.candidate, self.children) for node in nodes if node.candidate is not None])
        drawn = [child for child in merge([*firsts, *grown]) if is_whole(child)]
        values = await self._values(search, drawn)
        for node in nodes:
            node.expanded = True
            own = [child for child in drawn if child.parent is node.candidate]
            for child, prior in zip(own, _priors(own), strict=True):
                node.children.append(Node(child, node, prior))
                node.children[-1].back_up(1, values[child.path])
            if not own:
                node.back_up(1, 0.0)  # nothing comes of it

    async def _values(self, search: Search, drawn: Sequence[Candidate]) -> dict[str, float]:
        """In [0, 1], by path."""
        ends = await search.roll_out(drawn, self.max_steps) if self.value == "rollout" else list(drawn)
        await search.score(list({end.path: end for end in ends}.values()))
        return {child.path: end.score or 0.0 for child, end in zip(drawn, ends, strict=True)}


def _priors(siblings: Sequence[Candidate]) -> list[float]:
    """The softmax of the steps' mean token log-probabilities; equal where the engine gives none."""
    odds = [math.exp(child.step_logprobs[-1]) if child.step_logprobs else 1.0 for child in siblings]
    whole = sum(odds)
    return [one / whole if whole else 1.0 / len(odds) for one in odds]


def _most_visited(root: Node) -> Candidate | None:
    node = root
    while node.children:
        node = max(node.children, key=lambda child: child.visits)
    return node.candidate
