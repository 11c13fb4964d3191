"""Process reward models that answer with a label token behind every step (Math-Shepherd, 2312.08935, section 3.2)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from strategies.protocols import Message, NextTokens, ProblemView, QueryError, Reader, Scores, Step
from worker.prefixes import added

NUMBERED = re.compile(r"\W*Step \d+")


class Marks:
    """The ids of a model's tags and labels, looked up once: what each adds to the end of a text."""

    def __init__(self, name: str, reader: Reader) -> None:
        self.name = name
        self._reader = reader
        self._ids: dict[str, int] = {}

    async def id(self, text: str) -> int:
        """Raises QueryError where the text is not one token."""
        if text not in self._ids:
            tokens = await added(self._reader, text)
            if len(tokens) != 1:
                raise QueryError(
                    f"{self.name}: {text!r} is not one token of this model; give the verifier's own weights"
                )
            self._ids[text] = tokens[0]
        return self._ids[text]


class LabelFormat(Protocol):
    """How a candidate is written for the model, and where it answers. `right` and `wrong` are one token each."""

    @property
    def right(self) -> str: ...

    @property
    def wrong(self) -> str: ...

    async def prefixes(
        self, reader: Reader, marks: Marks, problem: str, steps: Sequence[Step], first: int
    ) -> list[tuple[int, ...]]:
        """The tokens behind which the label of each of steps[first:] stands."""
        ...


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A plain text: the problem, `opening`, and a line for every step with `tag`, one token, behind it.

    `numbered` steps begin with "Step 1: ", "Step 2: ", ..., which is put before those that do not.
    """

    tag: str
    right: str
    wrong: str
    opening: str = "\n"
    numbered: bool = False

    def write(self, problem: str, steps: Sequence[Step]) -> str:
        """A tag in the problem or in a step would be read as one of ours, so it is left out there."""
        lines = [step.text.replace(self.tag, "").strip() for step in steps]
        if self.numbered:
            lines = [line if NUMBERED.match(line) else f"Step {number}: {line}" for number, line in enumerate(lines, 1)]
        return problem.replace(self.tag, "") + self.opening + "".join(line + self.tag + "\n" for line in lines)

    async def prefixes(
        self, reader: Reader, marks: Marks, problem: str, steps: Sequence[Step], first: int
    ) -> list[tuple[int, ...]]:
        """Raises QueryError where the text does not hold one tag for each step."""
        tag = await marks.id(self.tag)
        tokens = await reader.tokenize(self.write(problem, steps))
        tags = [place for place, token in enumerate(tokens) if token == tag]
        if len(tags) != len(steps):
            raise QueryError(
                f"{marks.name}: {len(tags)} tags were read behind {len(steps)} steps; give another verifier"
            )
        return [tokens[: place + 1] for place in tags[first:]]


@dataclass(frozen=True, slots=True)
class LabelledTurns:
    """A chat: the user writes the problem and the first step, then one step a turn; the assistant answers each with a
    label, `right` wherever it has answered before."""

    right: str
    wrong: str

    async def prefixes(
        self, reader: Reader, marks: Marks, problem: str, steps: Sequence[Step], first: int
    ) -> list[tuple[int, ...]]:
        turns: list[Message] = []
        found = []
        for place, step in enumerate(steps):
            text = step.text.strip()
            turns.append(Message("user", text if place else f"{problem} {text}"))
            if place >= first:
                found.append((await reader.encode(turns)).tokens or ())
            turns.append(Message("assistant", self.right))
        return found


TINY_PRM = TaggedText(tag="@", right="+", wrong="-")
MATH_SHEPHERD = TaggedText(tag=" ки", right=" +", wrong=" -", opening=" ", numbered=True)
RLHFLOW = LabelledTurns(right="+", wrong="-")


class LabelToken:
    """A step's score is P(right) / (P(right) + P(wrong)) for the token behind it."""

    oracle = False

    def __init__(self, name: str, reader: Reader, form: LabelFormat) -> None:
        self.name = name
        self._reader = reader
        self._format = form
        self._marks = Marks(name, reader)

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        """Raises QueryError where the candidate does not fit the model's context or neither label is likely."""
        right, wrong = await self._marks.id(self._format.right), await self._marks.id(self._format.wrong)
        prefixes = await self._format.prefixes(self._reader, self._marks, problem.prompt, steps, first)
        passes = await self._reader.next_logprobs(prefixes, (right, wrong))
        return Scores(tuple(map(self._score, passes)), tuple(one.usage for one in passes))

    def _score(self, seen: NextTokens) -> float:
        right, wrong = map(math.exp, seen.logprobs)
        if right + wrong == 0.0:
            raise QueryError(f"{self.name}: the model answers with neither label; give the verifier's own weights")
        return right / (right + wrong)
