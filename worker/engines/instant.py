"""An engine without a model: answers at once with a text that its seed decides. For benchmarks and fault tests."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Sequence
from typing import Any

from models.errors import UserError
from models.settings import ModelEntry
from strategies.protocols import Completion, FinishReason, Message, Prefix, Sampling, TokenUsage
from worker.engines.request import check_request, draw, room

DEFAULT_SEQUENCES = 256
DEFAULT_CONTEXT = 8192
DEFAULT_ANSWERS = tuple(str(digit) for digit in range(10))

TOKEN = re.compile(r"\s*\S+")
"""A token is a word with the whitespace before it."""


class InstantGenerator:
    """Writes `The answer is \\boxed{A}.` with A chosen by the seed (the first one at temperature 0)."""

    def __init__(self, name: str, *, capacity: int, context: int, latency: float, answers: Sequence[str]) -> None:
        self.name = name
        self.capacity = capacity
        self.context_length = context
        self._latency = latency
        self._answers = answers
        self._slots = asyncio.Semaphore(capacity)

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        text = "".join(f"{message.role}: {message.content}\n" for message in messages) + "assistant:"
        return Prefix(tokens=_token_ids(text))

    async def generate(
        self,
        prefix: Prefix,
        *,
        n: int,
        stop: Sequence[str],
        max_tokens: int,
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Completion]:
        check_request(n, seeds, max_tokens)
        limit = room(prefix, self.context_length, max_tokens)
        return await draw(
            self._complete, self._slots, prefix, stop=stop, max_tokens=limit, sampling=sampling, seeds=seeds
        )

    async def close(self) -> None:
        return None

    async def _complete(
        self, prefix: Prefix, stop: Sequence[str], max_tokens: int, sampling: Sampling, seed: int
    ) -> Completion:
        await asyncio.sleep(self._latency)
        choice = 0 if sampling.temperature == 0 else seed % len(self._answers)
        words = TOKEN.findall(f"The answer is \\boxed{{{self._answers[choice]}}}.")
        text = "".join(words[:max_tokens])
        finish: FinishReason = "stop" if max_tokens >= len(words) else "length"
        met = min((s for s in stop if s in text), key=text.index, default=None)
        if met is not None:
            text, finish = text[: text.index(met)], "stop"
        ends = [match.end() for match in TOKEN.finditer(text)]
        return Completion(
            text=text,
            finish_reason=finish,
            usage=TokenUsage(prefix.token_count or 0, 0, len(ends)),
            tokens=_token_ids(text),
            stop_string=met,
            logprobs=tuple(-(1 + (choice + place) % 10) / 10 for place in range(len(ends))),
            token_ends=tuple(ends),
        )


async def start(name: str, entry: ModelEntry) -> InstantGenerator:
    """Raises UserError when `engine_args` holds anything but `latency` (seconds) and `answers` (a list)."""
    known: dict[str, Any] = {"latency": 0.0, "answers": DEFAULT_ANSWERS}
    unknown = sorted(set(entry.engine_args) - set(known))
    if unknown:
        raise UserError(f"{name}: engine_args: the instant engine takes no {unknown[0]}; it knows latency and answers")
    given = known | entry.engine_args
    answers = given["answers"]
    if not isinstance(answers, list | tuple) or not answers:
        raise UserError(f"{name}: engine_args: answers must be a list of at least one answer")
    try:
        latency = float(given["latency"])
    except (TypeError, ValueError):
        raise UserError(f"{name}: engine_args: latency must be a number of seconds") from None
    return InstantGenerator(
        name,
        capacity=entry.max_sequences or DEFAULT_SEQUENCES,
        context=entry.context_length or DEFAULT_CONTEXT,
        latency=latency,
        answers=[str(answer) for answer in answers],
    )


def _token_ids(text: str) -> tuple[int, ...]:
    return tuple(zlib.crc32(word.encode()) for word in TOKEN.findall(text))
