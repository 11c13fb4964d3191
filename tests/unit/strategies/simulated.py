"""Models of known quality, one that writes whole solutions and one that goes step by step, and a verifier of known
quality that reads them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from strategies.protocols import BudgetExhausted, ProblemView, TokenUsage
from strategies.seeds import seed_for
from strategies.task import Budget, Candidate, Task
from tests.unit.strategies.scripted import Fractions

PROMPT = 10


@dataclass
class Guesser:
    """Writes whole solutions: 42 with probability `skill`, else each of `others` wrong answers as likely."""

    skill: float
    others: int = 3
    seed: int = 0

    async def sample(
        self,
        path: str,
        *,
        temperature: float | None = None,
        attempts: Sequence[Candidate] = (),
        feedback: bool = False,
    ) -> Candidate:
        dice = random.Random(seed_for(self.seed, "problem", path))
        right = dice.random() < self.skill
        text = "right = 42" if right else f"wrong = {dice.randrange(self.others)}"
        return Candidate(path, text, "stop", TokenUsage(PROMPT, 0, 4))

    async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
        raise AssertionError("samples are whole solutions")

    async def segment(
        self, path: str, parent: Candidate | None, tokens: int, *, temperature: float | None = None
    ) -> Candidate:
        raise AssertionError("samples are whole solutions")


@dataclass
class SimulatedModel:
    """A solution has as many steps as its branch's `lengths` say (default 3), of four tokens each; a step is right with
    probability `skill`, and a right one is worded in one of `wordings`, as is a wrong one. The answer is 42 if all are
    right, else one of ten others."""

    skill: float = 0.6
    lengths: Mapping[str, int] = field(default_factory=dict)
    length: int = 3
    wordings: int = 10**6
    most: int = 10**9
    cut: frozenset[str] = frozenset()
    seed: int = 0
    drawn: list[str] = field(default_factory=list)
    greedy: set[str] = field(default_factory=set)
    running: int = 0
    most_running: int = 0

    async def sample(
        self,
        path: str,
        *,
        temperature: float | None = None,
        attempts: Sequence[Candidate] = (),
        feedback: bool = False,
    ) -> Candidate:
        raise AssertionError("a search draws steps")

    async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
        if len(self.drawn) >= self.most:
            raise BudgetExhausted
        self.drawn.append(path)
        if temperature is not None:
            assert temperature == 0.0
            self.greedy.add(path)
        dice = random.Random(seed_for(self.seed, "problem", path if temperature is None else f"{path} {temperature}"))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        self.running -= 1
        depth = 1 if parent is None else len(parent.lineage) + 1
        right = dice.random() < self.skill
        text = f"{'right' if right else 'wrong'} {dice.randrange(self.wordings)}\n"
        ends = depth >= self.lengths.get(path.partition(".")[0], self.length)
        if ends:
            good = right and (parent is None or "wrong" not in parent.solution)
            text = f"{text}= {42 if good else dice.randrange(min(10, self.wordings))}"
        reason = "length" if path in self.cut else "stop" if ends else "step"
        usage = TokenUsage(PROMPT + 4 * (depth - 1), 0, 4)
        return Candidate(path, text, reason, usage, parent=parent, tokens=(1, 2, 3, 4))  # type: ignore[arg-type]


@dataclass
class SimulatedVerifier:
    """Scores a right solution .8, another .2, both give or take `noise`; `given` are scores by path. Behind `most` scores
    it fails."""

    noise: float = 0.0
    given: Mapping[str, float] = field(default_factory=dict)
    most: int = 10**9
    seed: int = 1
    scored: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    """What was read from its first step on, and not for its newest alone."""

    async def score(self, candidate: Candidate, *, last_only: bool = False) -> tuple[float, ...]:
        self.scored.append(candidate.path)
        self.whole += [] if last_only else [candidate.path]
        await asyncio.sleep(0)
        if len(self.scored) > self.most:
            raise OSError("the verifier is gone")
        line = candidate.lineage
        scores = tuple(map(self.of, line[-1:] if last_only else line))
        candidate.step_scores = (None,) * (len(line) - len(scores)) + scores
        return scores

    def of(self, node: Candidate) -> float:
        dice = random.Random(seed_for(self.seed, "verifier", node.path))
        true = 0.2 if "wrong" in node.solution else 0.8
        return self.given.get(node.path, true + self.noise * (2 * dice.random() - 1))


def searched(width: int, model: SimulatedModel | Guesser, verifier: SimulatedVerifier | None = None) -> Task:
    return Task(
        problem=ProblemView("problem", "?"),
        generator=model,
        verifier=verifier or SimulatedVerifier(),
        answers=Fractions(),
        budget=Budget(width, "samples"),
        seed=model.seed,
    )


@dataclass
class SimulatedThinker:
    """A reasoning model: each part of its thinking wants to end after 1 to `longest` tokens, its answer is 42 and takes
    `answer` tokens; the budget holds `most` parts."""

    longest: int = 20
    answer: int = 3
    most: int = 10**9
    cut: frozenset[str] = frozenset()
    seed: int = 0
    forced: dict[str, str] = field(default_factory=dict)

    async def segment(
        self,
        path: str,
        parent: Candidate | None,
        tokens: int | None,
        *,
        temperature: float | None = None,
        until: str | None = None,
        forced: str = "",
    ) -> Candidate:
        if len(self.forced) >= self.most:
            raise BudgetExhausted
        assert path not in self.forced, "drawn twice"
        self.forced[path] = forced
        dice = random.Random(seed_for(self.seed, "problem", path))
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        usage = TokenUsage(PROMPT, 0, self.answer)
        if until is None:
            return Candidate(path, f"{forced} = 42", "length" if path in self.cut else "stop", usage, parent=parent)
        assert tokens is not None
        assert tokens >= 1
        written = min(dice.randint(1, self.longest), tokens)
        reason = "length" if path in self.cut else "step"
        usage = TokenUsage(PROMPT, 0, written)
        return Candidate(path, f"{forced} hmm", reason, usage, parent=parent, tokens=(1,) * written)  # type: ignore[arg-type]

    async def sample(self, path: str, **options: object) -> Candidate:
        raise AssertionError("thinking is drawn in parts")

    step = sample
