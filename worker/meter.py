"""The metered generator: what a strategy talks to instead of an engine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.templates import BYTES_PER_PROMPT, Template
from strategies.protocols import Completion, Generator, Message, Paged, Prefix, QueryError, Sampling
from strategies.seeds import seed_for
from strategies.task import Budget, Candidate
from worker.allowance import Allowance
from worker.busy import BusyClock, Share
from worker.ledger import Ledger
from worker.prefixes import added, before_end, continued, forced_tokens, most_tokens, reader_of, weakest_step
from worker.seats import Seats

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that a model can write and a database cannot hold."""


@dataclass(slots=True)
class SharedEngine:
    """One engine and what all its queries share: the busy clock, the limit on requests in flight, the searches' seats.

    A few requests more than the engine's capacity are let in, so that it never waits for us to send the next.
    """

    generator: Generator
    clock: BusyClock
    admission: asyncio.Semaphore
    seats: Seats

    @classmethod
    def around(cls, generator: Generator) -> SharedEngine:
        ahead = max(2, generator.capacity // 4)
        seats = Seats(generator.capacity, generator.cache_tokens if isinstance(generator, Paged) else 0)
        return cls(generator, BusyClock(), asyncio.Semaphore(generator.capacity + ahead), seats)


class Meter:
    """The generator bounded by one query's budget and recorded in its ledger; `finished` holds what was completed.

    `messages` are the chat turns that `prefix` was made of: revisions show attempts behind them.
    """

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
        messages: Sequence[Message] = (),
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._prefix = prefix
        self._messages = tuple(messages)
        self._template = template
        self._sampling = sampling
        self._job_seed = job_seed
        self._problem_key = problem_key
        if prefix.token_count is not None:
            ledger.prompt_tokens = prefix.token_count
        self._allowance = Allowance(ledger, budget, sampling.max_tokens, self._prompt_tokens)
        self._shares: dict[Share, tuple[int, int]] = {}
        self.finished: list[Candidate] = []

    async def sample(
        self,
        path: str,
        *,
        temperature: float | None = None,
        attempts: Sequence[Candidate] = (),
        feedback: bool = False,
    ) -> Candidate:
        """Draw one complete solution (see `strategies.task.MeteredGenerator`)."""
        prefix, read = await self._revising(attempts, feedback)
        return await self._draw(path, None, prefix, self._template.stop, temperature, read=read)

    async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
        """Draw one step (see `strategies.task.MeteredGenerator`)."""
        prefix = continued(self._prefix, parent.lineage if parent else [])
        return await self._draw(path, parent, prefix, (*self._template.stop, self._template.step_stop), temperature)

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
        """Draw a part of a solution (see `strategies.task.MeteredGenerator`)."""
        put = await added(reader_of(self._engine.generator), forced) if forced else ()
        prefix = continued(self._prefix, parent.lineage if parent else [], put)
        stop = self._template.stop if until is None else (until,)
        return await self._draw(path, parent, prefix, stop, temperature, most=tokens, until=until, forced=(forced, put))

    async def _revising(self, attempts: Sequence[Candidate], feedback: bool) -> tuple[Prefix, int]:
        """The prefix of a revision of the newest of `attempts`, and a bound on the tokens it has behind the problem's.

        The oldest are left out until there is room for a revision twice as long as the longest.
        """
        while attempts:
            doubts = [weakest_step(one) if feedback else None for one in attempts]
            said = self._template.revision_turns([one.text for one in attempts], doubts)
            turns = [Message(*turn) for turn in said]
            prefix = await self._engine.generator.encode([*self._messages, *turns])
            lengths = [one.usage.generated_tokens for one in attempts]
            behind = sum(lengths) if prefix.token_count is None else max(prefix.token_count - self._prompt_tokens(), 0)
            room = self._engine.generator.context_length - self._prompt_tokens() - behind
            if room >= min(2 * max(lengths), self._sampling.max_tokens):
                return prefix, behind if prefix.token_count is not None else most_tokens(turns) - BYTES_PER_PROMPT
            attempts = attempts[1:]
        return self._prefix, 0

    async def _draw(
        self,
        path: str,
        parent: Candidate | None,
        prefix: Prefix,
        stop: Sequence[str],
        temperature: float | None,
        *,
        read: int = 0,
        most: int | None = None,
        until: str | None = None,
        forced: tuple[str, tuple[int, ...]] = ("", ()),
    ) -> Candidate:
        sampling = self._sampling if temperature is None else replace(self._sampling, temperature=temperature)
        lineage, (before, put) = parent.lineage if parent else [], forced
        written = sum(one.usage.generated_tokens for one in lineage) + sum(forced_tokens(lineage))
        left = sampling.max_tokens - written - len(put)
        wanted = left if most is None else min(most, left)
        async with self._allowance.reserve(wanted, written, read + len(put)) as max_tokens:
            completion, gpu_seconds = await self._generate(
                path, prefix, stop, sampling, max_tokens, begun=int(parent is None), until=until
            )
            candidate = Candidate(
                path=path,
                text=before + _UNSTORABLE.sub("\ufffd", completion.text),
                finish_reason=completion.finish_reason,
                usage=completion.usage,
                parent=parent,
                step_logprobs=step_logprobs(completion, self._template),
                gpu_seconds=gpu_seconds,
            )
            ends_step = completion.stop_string == self._template.step_stop and self._template.step_stop in stop
            ends_segment = completion.finish_reason == "length" and completion.usage.generated_tokens == wanted
            ends_early = completion.finish_reason == "stop" and until is not None
            if ends_step:
                candidate.text += self._template.step_stop
            if ends_step or ends_segment or ends_early:
                room = min(left, self._engine.generator.context_length - (prefix.token_count or 0))
                goes_on = completion.usage.generated_tokens < room
                candidate.finish_reason = "step" if goes_on else "length"
                candidate.tokens = (*put, *(completion.tokens or ())) if goes_on else None
            elif completion.finish_reason == "length" and max_tokens < wanted:
                candidate.finish_reason = "clipped"
            # Booked before the reservation is given back, or another call could spend the same budget twice.
            self._ledger.completion(candidate)
        self.finished.append(candidate)
        return candidate

    async def _generate(
        self,
        path: str,
        prefix: Prefix,
        stop: Sequence[str],
        sampling: Sampling,
        max_tokens: int,
        *,
        begun: int,
        until: str | None,
    ) -> tuple[Completion, float]:
        engine, clock = self._engine, self._engine.clock
        async with engine.admission:
            share = clock.start(self._weight())
            prompt = prefix.token_count or 0
            self._shares[share] = begun, prompt
            finished = False
            try:
                (completion,) = await engine.generator.generate(
                    prefix,
                    n=1,
                    stop=stop,
                    max_tokens=max_tokens,
                    sampling=sampling,
                    seeds=[seed_for(self._job_seed, self._problem_key, path)],
                )
                if until is not None and completion.finish_reason == "stop":
                    kept = await before_end(reader_of(engine.generator), completion, until)
                    completion = replace(completion, tokens=kept)
                finished = True
            except QueryError:
                prompt = 0  # refused: none of it was computed
                raise
            finally:
                del self._shares[share]
                gpu_seconds = clock.stop(share)
                if not finished:
                    self._ledger.aborted(prompt, gpu_seconds, samples=begun)
        return completion, gpu_seconds

    def in_flight(self) -> tuple[int, int, int, float]:
        """(calls, solutions begun, prompt tokens, GPU-seconds so far) of what the engine is working on for this query
        now."""
        seconds = sum(self._engine.clock.seconds(share) for share in self._shares)
        return (
            len(self._shares),
            sum(begun for begun, _ in self._shares.values()),
            sum(prompt for _, prompt in self._shares.values()),
            seconds,
        )

    def _weight(self) -> float:
        return self._ledger.costs.canonical_flops(self._prompt_tokens(), 2, read=0) or 1.0

    def _prompt_tokens(self) -> int:
        """The prompt's length; until a server that alone can tell has told it, an upper bound."""
        known = self._ledger.prompt_tokens if self._prefix.token_count is None else self._prefix.token_count
        return most_tokens(self._prefix.messages or ()) if known is None else known

    def width(self) -> int:
        """How many solutions as long as they may be the budget holds, at least one (`strategies.task.Task`)."""
        return self._allowance.width()

    def cache_needed(self, width: int) -> int:
        """What `width` solutions as long as they may be take of the engine's cache; they share their prompt."""
        return self._prompt_tokens() + width * self._sampling.max_tokens


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
