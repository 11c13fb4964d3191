"""A generator as its own judge, or another's: it is asked whether a solution is right, and how sure it is of Yes is the
score ("Language models (mostly) know what they know", 2207.05221: P(True))."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from models.judging import NO, QUESTION, SHOWN, YES
from strategies.protocols import Message, NextTokens, ProblemView, QueryError, Reader, Scores, Step
from worker.prefixes import added, shared


class Judge:
    """A step's score is P(yes) / (P(yes) + P(no)) for the token that answers the question behind it."""

    oracle = False

    def __init__(self, name: str, model: Reader) -> None:
        self.name = name
        self._model = model
        self._answers: tuple[tuple[int, ...], tuple[int, ...]] | None = None
        self._tail = 0

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        """Raises QueryError where the solution does not fit the model's context or neither answer is likely."""
        yes, no = self._answers = self._answers or (await self._spelled(YES), await self._spelled(NO))
        self._tail = self._tail or await self._question_tokens()
        solutions = ["".join(step.text for step in steps[: last + 1]) for last in range(first, len(steps))]
        prefixes = [await self._asked(problem.prompt, solution, QUESTION) for solution in solutions]
        passes = await self._model.next_logprobs(prefixes, (*yes, *no))
        scores = tuple(self._score(seen, len(yes)) for seen in passes)
        return Scores(scores, tuple(one.usage for one in passes), self._tail)

    async def _asked(self, problem: str, solution: str, question: str) -> tuple[int, ...]:
        said = SHOWN.format(problem=problem, solution=solution.strip()) + question
        prefix = await self._model.encode([Message("user", said)])
        assert prefix.tokens is not None, "an engine that can be read from takes token ids"
        return prefix.tokens

    async def _spelled(self, spellings: Iterable[str]) -> tuple[int, ...]:
        """The ids of those spellings of an answer that are one token, each once."""
        found = [await added(self._model, text) for text in spellings]
        ids = tuple(dict.fromkeys(tokens[0] for tokens in found if len(tokens) == 1))
        if not ids:
            raise QueryError(f"{self.name}: Yes and No are no tokens of this model, so it cannot judge; give another")
        return ids

    async def _question_tokens(self) -> int:
        """How many tokens stand behind the last step: the question, and what the chat template ends with."""
        asked, unasked = [await self._asked("1", "1", question) for question in (QUESTION, "")]
        return len(asked) - shared(asked, unasked)

    def _score(self, seen: NextTokens, yes: int) -> float:
        chances = [math.exp(one) for one in seen.logprobs]
        right, wrong = math.fsum(chances[:yes]), math.fsum(chances[yes:])
        if right + wrong == 0.0:
            raise QueryError(f"{self.name}: the model answers neither Yes nor No; give another verifier")
        return right / (right + wrong)
