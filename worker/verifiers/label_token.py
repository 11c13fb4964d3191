"""Process reward models that answer with a label token behind every step (Math-Shepherd, 2312.08935, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from strategies.protocols import NextTokens, ProblemView, QueryError, Reader, Scores, Step


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """How a candidate is written for the model: the problem, a line, and every step with `tag` behind it.

    `right` and `wrong` are the labels. Tag and labels are one token each.
    """

    tag: str
    right: str
    wrong: str

    def write(self, problem: str, steps: Sequence[Step]) -> str:
        """A tag in the problem or in a step would be read as one of ours, so it is left out there."""
        lines = [problem, *(step.text.strip() + "\n" for step in steps)]
        clean = [line.replace(self.tag, "") for line in lines]
        return clean[0] + "\n" + "".join(line.removesuffix("\n") + self.tag + "\n" for line in clean[1:])


TINY_PRM = LabelFormat(tag="@", right="+", wrong="-")


class LabelToken:
    """A step's score is P(right) / (P(right) + P(wrong)) for the token behind its tag."""

    oracle = False

    def __init__(self, name: str, reader: Reader, form: LabelFormat) -> None:
        self.name = name
        self._reader = reader
        self._format = form
        self._ids: tuple[int, ...] = ()

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        """Raises QueryError where the candidate does not fit the model's context or neither label is likely."""
        tag, right, wrong = self._ids = self._ids or await self._token_ids()
        tokens = await self._reader.tokenize(self._format.write(problem.prompt, steps))
        tags = [place for place, token in enumerate(tokens) if token == tag]
        if len(tags) != len(steps):
            raise QueryError(
                f"{self.name}: {len(tags)} tags were read behind {len(steps)} steps; give another verifier"
            )
        # One after the other: each pass then begins where the one before it ended.
        passes = [await self._reader.next_logprobs(tokens[: place + 1], (right, wrong)) for place in tags[first:]]
        return Scores(tuple(map(self._score, passes)), tuple(one.usage for one in passes))

    async def _token_ids(self) -> tuple[int, ...]:
        """The ids of tag and labels: what each adds to the end of a text."""
        before = await self._reader.tokenize("1")
        found = []
        for text in (self._format.tag, self._format.right, self._format.wrong):
            after = await self._reader.tokenize("1" + text)
            if len(after) != len(before) + 1:
                raise QueryError(
                    f"{self.name}: {text!r} is not one token of this model; give the verifier's own weights"
                )
            found.append(after[-1])
        return tuple(found)

    def _score(self, seen: NextTokens) -> float:
        right, wrong = map(math.exp, seen.logprobs)
        if right + wrong == 0.0:
            raise QueryError(f"{self.name}: the model answers with neither label; give the verifier's own weights")
        return right / (right + wrong)
