"""Reward models that are classifiers: a head in the place of the vocabulary's gives labels or a value."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

from strategies.protocols import Message, Pooled, Pooler, ProblemView, QueryError, Scores, Step

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
"""What Qwen2.5-Math-PRM was trained behind (its model card)."""

TAG = "<extra_0>"

Written = tuple[tuple[int, ...], list[int]]
"""(token ids of a candidate, the place of each step's score in them)"""


class StepFormat(Protocol):
    """How a candidate is written for the model, and at which tokens it scores the steps."""

    async def write(self, name: str, pooler: Pooler, problem: str, steps: Sequence[Step]) -> Written: ...


class TaggedChat:
    """A chat with a fixed system prompt; the answer is the steps with a tag behind each (Qwen2.5-Math-PRM)."""

    async def write(self, name: str, pooler: Pooler, problem: str, steps: Sequence[Step]) -> Written:
        """A tag in the problem or in a step would be read as one of ours, so it is left out there."""
        tag = await pooler.tokenize(TAG)
        if len(tag) != 1:
            raise QueryError(f"{name}: {TAG!r} is not one token of this model; give the verifier's own weights")
        answer = "".join(step.text.replace(TAG, "").strip() + TAG for step in steps)
        turns = [Message("system", SYSTEM), Message("user", problem.replace(TAG, "")), Message("assistant", answer)]
        tokens = await pooler.encode(turns)
        places = [place for place, token in enumerate(tokens) if token == tag[0]]
        if len(places) != len(steps):
            raise QueryError(f"{name}: {len(places)} tags were read behind {len(steps)} steps; give another verifier")
        return tokens, places


class PlainLines:
    """The beginning of a text, the problem, and every line of the steps tokenised by itself, a newline behind each
    (Skywork-o1-Open-PRM's published inference code)."""

    async def write(self, name: str, pooler: Pooler, problem: str, steps: Sequence[Step]) -> Written:
        if pooler.beginning is None:
            raise QueryError(
                f"{name}: the token that begins a text is not known; give the model's own tokenizer, "
                "and start a `vllm serve` with --enable-tokenizer-info-endpoint"
            )
        newline = (await pooler.tokenize("\n"))[-1]
        tokens = list(await pooler.tokenize(pooler.beginning + problem + "\n"))
        places = []
        for step in steps:
            for line in step.text.strip().split("\n"):
                tokens += [*(await pooler.tokenize(line) if line else ()), newline]
            places.append(len(tokens) - 1)
        return tuple(tokens), places


class StepHead:
    """One pass reads the candidate; a step's score is what the head says at the token that ends it."""

    oracle = False

    def __init__(self, name: str, pooler: Pooler, form: StepFormat) -> None:
        self.name = name
        self._pooler = pooler
        self._format = form

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        """Raises QueryError where the candidate does not fit the model's context, or the head is of another kind."""
        tokens, places = await self._format.write(self.name, self._pooler, problem.prompt, steps)
        pooled = await self._pooler.pool(tokens)
        rows = pooled.rows
        if len(rows) == len(tokens):
            rows = tuple(rows[place] for place in places)
        elif len(rows) != len(places):  # a server may answer at its model's tags alone
            raise QueryError(
                f"{self.name}: {len(rows)} labels came of {len(tokens)} tokens and {len(places)} steps; "
                "give the verifier's own weights"
            )
        return Scores(tuple(probability(self.name, row) for row in rows[first:]), (pooled.usage,))


class SolutionHead:
    """One pass reads a whole solution, as the answer in a chat, and gives it one score.

    Asked for a step's, it scores what stands up to it as if the solution ended there.
    """

    oracle = False

    def __init__(self, name: str, pooler: Pooler) -> None:
        self.name = name
        self._pooler = pooler

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        """Raises QueryError where the candidate does not fit the model's context, or the head is of another kind."""
        texts = ["".join(step.text for step in steps[: end + 1]).strip() for end in range(first, len(steps))]
        pooled = await asyncio.gather(*(self._read(problem.prompt, text) for text in texts))
        chances = tuple(probability(self.name, one.rows[0]) for one in pooled)
        return Scores(chances, tuple(one.usage for one in pooled))

    async def _read(self, problem: str, solution: str) -> Pooled:
        tokens = await self._pooler.encode([Message("user", problem), Message("assistant", solution)])
        pooled = await self._pooler.pool(tokens)
        if len(pooled.rows) != 1:
            raise QueryError(
                f"{self.name}: the model labels tokens, not solutions; give a sequence-classification model"
            )
        return pooled


def probability(name: str, logits: Sequence[float]) -> float:
    """Of being right: the softmax's second of two labels, the sigmoid of a single value.

    Raises:
        QueryError: there are more labels than two.
    """
    if len(logits) > 2:
        raise QueryError(f"{name}: the model has {len(logits)} labels, and a verifier has one or two; give another")
    odds = logits[-1] - (logits[0] if len(logits) == 2 else 0.0)
    return 1.0 / (1.0 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1.0 + math.exp(odds))
