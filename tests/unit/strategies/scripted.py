"""A task whose completions and scores are written down beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from strategies.protocols import BudgetExhausted, FinishReason, ProblemView, TokenUsage
from strategies.task import Budget, Candidate, Task


@dataclass(frozen=True)
class Line:
    """What the model says at one path, and what the verifier thinks of it (an exception fails the call)."""

    text: str
    scores: tuple[float, ...] | Exception = (0.5,)
    finish: FinishReason = "stop"


def candidate(path: str, line: Line) -> Candidate:
    return Candidate(path, line.text, line.finish, TokenUsage(10, 0, max(1, len(line.text))))


class ScriptedGenerator:
    """Later paths answer first; a path without a line does not fit the budget."""

    def __init__(self, lines: Mapping[str, Line | Exception]) -> None:
        self.lines = lines
        self.drawn: dict[str, float | None] = {}

    async def sample(
        self,
        path: str,
        *,
        temperature: float | None = None,
        attempts: Sequence[Candidate] = (),
        feedback: bool = False,
    ) -> Candidate:
        for _ in range(len(self.lines) - len(self.drawn)):
            await asyncio.sleep(0)
        line = self.lines.get(path)
        if line is None:
            raise BudgetExhausted
        self.drawn[path] = temperature
        if isinstance(line, Exception):
            raise line
        return candidate(path, line)


class ScriptedVerifier:
    def __init__(self, lines: Mapping[str, Line | Exception]) -> None:
        self.lines = lines
        self.scored: list[str] = []

    async def score(self, candidate: Candidate, *, last_only: bool = False) -> tuple[float, ...]:
        self.scored.append(candidate.path)
        await asyncio.sleep(0)
        line = self.lines[candidate.path]
        assert isinstance(line, Line)
        if isinstance(line.scores, Exception):
            raise line.scores
        first = len(line.scores) - 1 if last_only else 0
        candidate.step_scores = (None,) * first + line.scores[first:]
        return line.scores[first:]


class Fractions:
    """The answer is what follows the last "="; 1/2 and 0.5 are the same."""

    async def extract(self, text: str) -> str | None:
        return text.rpartition("=")[2].strip() or None if "=" in text else None

    async def equivalent(self, left: str, right: str) -> bool:
        return Fraction(left) == Fraction(right)


@dataclass
class Scene:
    task: Task
    generator: ScriptedGenerator
    verifier: ScriptedVerifier


def scene(
    lines: Sequence[Line | Exception] | Mapping[str, Line | Exception],
    *,
    budget: Budget | None = None,
    given: Sequence[Candidate] = (),
    verified: bool = True,
) -> Scene:
    """Lines in the order of their paths "0", "1", ...; the budget is as many samples unless told."""
    script = lines if isinstance(lines, Mapping) else {str(index): line for index, line in enumerate(lines)}
    generator, verifier = ScriptedGenerator(script), ScriptedVerifier(script)
    task = Task(
        problem=ProblemView("p", "1/2 = ?"),
        generator=generator,
        verifier=verifier if verified else None,
        answers=Fractions(),
        budget=budget or Budget(len(script), "samples"),
        seed=0,
        candidates=list(given),
    )
    return Scene(task, generator, verifier)
