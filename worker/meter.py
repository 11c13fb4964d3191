"""The metered generator and verifier: what a strategy talks to instead of an engine."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from models.costs import CostModel
from models.templates import BYTES_PER_MESSAGE, BYTES_PER_PROMPT, Template
from strategies.protocols import (
    Budget,
    BudgetExhausted,
    Candidate,
    Completion,
    Generator,
    Message,
    Prefix,
    ProblemView,
    ProgressSink,
    QueryError,
    Sampling,
    Scores,
    Step,
    Verifier,
)
from strategies.seeds import seed_for
from worker.busy import BusyClock, Share
from worker.ledger import Ledger

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that a model can write and a database cannot hold."""


@dataclass(slots=True)
class SharedEngine:
    """One engine and what all its queries share: the busy clock and the limit on requests in flight.

    A few requests more than the engine's capacity are let in, so that it never waits for us to send the next.
    """

    generator: Generator
    clock: BusyClock
    admission: asyncio.Semaphore

    @classmethod
    def around(cls, generator: Generator) -> SharedEngine:
        return cls(generator, BusyClock(), asyncio.Semaphore(generator.capacity + max(2, generator.capacity // 4)))


class Meter:
    """The generator bounded by one query's budget and recorded in its ledger; `finished` holds what was completed."""

    def __init__(
        self,
        engine: SharedEngine,
        ledger: Ledger,
        *,
        prefix: Prefix,
        template: Template,
        sampling: Sampling,
        budget: Budget,
        job_seed: int,
        problem_key: str,
        progress: ProgressSink | None = None,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._prefix = prefix
        self._template = template
        self._sampling = sampling
        self._budget = budget
        self._job_seed = job_seed
        self._problem_key = problem_key
        self._progress = progress
        self._reserved = 0.0
        self._in_flight = 0
        self._changed = asyncio.Condition()
        self._shares: set[Share] = set()
        self.finished: list[Candidate] = []

    async def sample(self, path: str, *, temperature: float | None = None) -> Candidate:
        """Draw one complete solution (see `strategies.protocols.MeteredGenerator`)."""
        sampling = self._sampling if temperature is None else replace(self._sampling, temperature=temperature)
        async with self._reservation(sampling.max_tokens) as max_tokens:
            completion, gpu_seconds = await self._generate(path, sampling, max_tokens)
            # Booked before the reservation is given back, or another call could spend the same budget twice.
            self._ledger.completion(completion.usage, gpu_seconds)
            self._ledger.to_be_scored(path, completion.usage)
        cut_short = completion.finish_reason == "length" and max_tokens < sampling.max_tokens
        candidate = Candidate(
            path=path,
            text=_UNSTORABLE.sub("\ufffd", completion.text),
            finish_reason="clipped" if cut_short else completion.finish_reason,
            usage=completion.usage,
            step_logprobs=step_logprobs(completion, self._template),
            gpu_seconds=gpu_seconds,
        )
        self.finished.append(candidate)
        if self._progress is not None:
            self._progress.candidate(candidate)
        return candidate

    async def _generate(self, path: str, sampling: Sampling, max_tokens: int) -> tuple[Completion, float]:
        engine, clock = self._engine, self._engine.clock
        async with engine.admission:
            share = clock.start(self._weight())
            self._shares.add(share)
            finished = False
            prompt = self._prefix.token_count or 0
            try:
                completions = await engine.generator.generate(
                    self._prefix,
                    n=1,
                    stop=self._template.stop,
                    max_tokens=max_tokens,
                    sampling=sampling,
                    seeds=[seed_for(self._job_seed, self._problem_key, path)],
                )
                finished = True
            except QueryError:
                prompt = 0  # refused: none of it was computed
                raise
            finally:
                self._shares.discard(share)
                gpu_seconds = clock.stop(share)
                if not finished:
                    self._ledger.aborted(prompt, gpu_seconds)
        return completions[0], gpu_seconds

    def in_flight(self) -> tuple[int, int, float]:
        """(calls, their prompt tokens, GPU-seconds so far) of what the engine is working on for this query now."""
        seconds = sum(self._engine.clock.seconds(share) for share in self._shares)
        return len(self._shares), len(self._shares) * (self._prefix.token_count or 0), seconds

    def _weight(self) -> float:
        return self._ledger.costs.canonical_flops(self._prompt_tokens(), 2, first=False) or 1.0

    def _prompt_tokens(self) -> int:
        """The prompt's length; until a server that alone can tell has told it, an upper bound."""
        known = self._ledger.prompt_tokens if self._prefix.token_count is None else self._prefix.token_count
        return most_tokens(self._prefix.messages or ()) if known is None else known

    @contextlib.asynccontextmanager
    async def _reservation(self, wanted: int) -> AsyncIterator[int]:
        """Hold back the worst case of a call of `wanted` tokens and yield how many it may generate.

        A call that does not fit waits for those in flight to give back what they did not use; when none is in
        flight it is clipped to what is left. The prompt is held back until the first call that ends well pays for it:
        were it part of one call's worst case, that call's failure would let the others spend it.

        Raises:
            BudgetExhausted: not even one token fits.
        """
        if self._budget.unit == "samples":
            yield wanted
            return
        async with self._changed:
            while (allowed := self._affordable(wanted)) < wanted and self._in_flight:
                await self._changed.wait()
            if allowed < 1:
                raise BudgetExhausted
            held = self._cost(allowed)
            self._reserved += held
            self._in_flight += 1
        try:
            yield allowed
        finally:
            async with self._changed:
                self._reserved -= held
                self._in_flight -= 1
                self._changed.notify_all()

    def _affordable(self, wanted: int) -> int:
        left = self._budget.amount - self._ledger.spent(self._budget.unit) - self._reserved
        if not self._ledger.prompt_charged:
            left -= self._cost(0, first=True) - self._cost(0)
        if self._cost(wanted) <= left:
            return wanted
        low, high = 0, wanted  # the cost grows with the tokens: bisect
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._cost(middle) <= left else (low, middle)
        return low

    def _cost(self, tokens: int, *, first: bool = False) -> float:
        return self._ledger.costs.amount(self._budget.unit, self._prompt_tokens(), tokens, first=first)


class ScoringMeter:
    """The verifier recorded in the query's ledger; it sees a candidate as the template's steps.

    A verifier that is a model shares `clock`, the device's, with the generator.
    """

    def __init__(
        self, verifier: Verifier, ledger: Ledger, problem: ProblemView, template: Template, clock: BusyClock
    ) -> None:
        self._verifier = verifier
        self._ledger = ledger
        self._problem = problem
        self._template = template
        self._clock = clock

    async def score(self, candidate: Candidate, *, last_only: bool = False) -> tuple[float, ...]:
        """One score per step, or the last's alone (see `strategies.protocols.MeteredVerifier`).

        Raises:
            ValueError: the verifier returned something else than one score in [0, 1] per step asked for.
        """
        texts = self._template.split_steps(candidate.text)
        logprobs = candidate.step_logprobs or (None,) * len(texts)
        steps = [Step(text, logprob) for text, logprob in zip(texts, logprobs, strict=True)]
        costs = self._ledger.costs.verifier
        if costs is None:
            first, scores = 0, await self._verifier.score(self._problem, steps)
        else:
            first = len(steps) - 1 if last_only else 0
            scores = await self._timed(costs, candidate, steps, first)
        if len(scores.steps) != len(steps) - first or not all(0.0 <= score <= 1.0 for score in scores.steps):
            raise ValueError(f"{self._verifier.name} returned {scores.steps} for {len(steps) - first} steps")
        candidate.step_scores = (None,) * first + scores.steps
        return scores.steps

    async def _timed(self, costs: CostModel, candidate: Candidate, steps: Sequence[Step], first: int) -> Scores:
        share = self._clock.start(costs.canonical_flops(candidate.usage.prompt_tokens, 2, first=False) or 1.0)
        scores = None
        try:
            scores = await self._verifier.score(self._problem, steps, first=first)
        finally:
            gpu_seconds = self._clock.stop(share)
            if scores is None:
                self._ledger.scoring_aborted(gpu_seconds)
        self._ledger.scoring(candidate.path, scores.passes, gpu_seconds)
        return scores


def most_tokens(messages: Sequence[Message]) -> int:
    """An upper bound on the prompt's tokens, as `Template.worst_prompt_bytes`: no token is shorter than a byte."""
    written = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in messages)
    return written + BYTES_PER_MESSAGE * len(messages) + BYTES_PER_PROMPT


def step_logprobs(completion: Completion, template: Template) -> tuple[float, ...] | None:
    """The mean token log-probability (nats) of each of the template's steps, None where the engine gave none.

    A token belongs to the step in which its text ends; a step without a token of its own gets the whole's mean.
    """
    if not completion.logprobs or completion.token_ends is None:
        return None
    overall = sum(completion.logprobs) / len(completion.logprobs)
    spans = template.step_spans(completion.text)
    groups: list[list[float]] = [[] for _ in spans]
    step = 0
    for logprob, end in zip(completion.logprobs, completion.token_ends, strict=True):
        while step + 1 < len(spans) and end > spans[step][1]:
            step += 1
        if spans:
            groups[step].append(logprob)
    return tuple(sum(group) / len(group) if group else overall for group in groups)
