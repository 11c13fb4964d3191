"""Any OpenAI-compatible server. Token-exact where the server can tokenise a chat, chat messages elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from models.errors import UserError
from models.settings import ModelEntry
from strategies.protocols import Completion, Message, NextTokens, Prefix, Sampling
from worker.engines.chatserver import ChatServer
from worker.engines.http import Endpoint
from worker.engines.llamaserver import LlamaServer, is_llama_server, slot_context
from worker.engines.request import check_request, draw, room
from worker.engines.vllmserver import VllmServer, served_context

DEFAULT_SEQUENCES = 64

UNKNOWN_CONTEXT = 131_072
"""Assumed where neither the entry nor the server tells the context; the server refuses what does not fit."""


class Dialect(Protocol):
    """How one kind of server is asked."""

    async def encode(self, messages: Sequence[Message]) -> Prefix: ...

    async def complete(
        self, prefix: Prefix, stop: Sequence[str], max_tokens: int, sampling: Sampling, seed: int
    ) -> Completion: ...


class OpenAIGenerator:
    """A model behind a URL. Nothing is retried here; cancelling closes the connection, which aborts the request."""

    def __init__(self, name: str, endpoint: Endpoint, dialect: Dialect, *, capacity: int, context: int) -> None:
        self.name = name
        self.capacity = capacity
        self.context_length = context
        self._endpoint = endpoint
        self._dialect = dialect
        self._slots = asyncio.Semaphore(capacity)

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        return await self._dialect.encode(messages)

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
            self._dialect.complete, self._slots, prefix, stop=stop, max_tokens=limit, sampling=sampling, seeds=seeds
        )

    async def close(self) -> None:
        await self._endpoint.close()


class TokenGenerator(OpenAIGenerator):
    """A model behind a server that takes and gives token ids: it can be asked for the ids of a text and read from."""

    def __init__(
        self, name: str, endpoint: Endpoint, dialect: LlamaServer | VllmServer, *, capacity: int, context: int
    ) -> None:
        super().__init__(name, endpoint, dialect, capacity=capacity, context=context)
        self._server = dialect

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return await self._server.tokenize(text)

    async def next_logprobs(self, prefixes: Sequence[Sequence[int]], wanted: Sequence[int]) -> list[NextTokens]:
        for tokens in prefixes:
            room(Prefix(tokens=tuple(tokens)), self.context_length, 1)
        async with self._slots:
            return [await self._server.next_logprobs(tokens, wanted) for tokens in prefixes]


async def start(name: str, entry: ModelEntry) -> OpenAIGenerator:
    """Find out what the server at `entry.url` can do.

    Raises:
        UserError: the URL is missing or wrong, or the key's environment variable is not set.
        TransientError: the server does not answer.
    """
    async with connected(name, entry) as (endpoint, capacity):
        dialect, served = await _dialect(endpoint, entry, await model_at(endpoint, entry))
    context = context_of(entry, served)
    if isinstance(dialect, ChatServer):
        return OpenAIGenerator(name, endpoint, dialect, capacity=capacity, context=context)
    return TokenGenerator(name, endpoint, dialect, capacity=capacity, context=context)


@contextlib.asynccontextmanager
async def connected(name: str, entry: ModelEntry) -> AsyncIterator[tuple[Endpoint, int]]:
    """The server at `entry.url`, and how many sequences it is sent at once; closed where the block fails.

    Raises:
        UserError: the URL is missing or wrong, or the key's environment variable is not set.
    """
    if entry.url is None:
        raise UserError(f"{name}: engine openai needs url, such as http://localhost:8000/v1")
    capacity = entry.max_sequences or DEFAULT_SEQUENCES
    endpoint = Endpoint(_versioned(entry.url), key=_key(name, entry.api_key_env), connections=capacity + 4)
    try:
        yield endpoint, capacity
    except BaseException:
        await endpoint.close()
        raise


def context_of(entry: ModelEntry, served: int | None) -> int:
    """The smaller of what the entry and what the server says, in tokens."""
    known = [length for length in (entry.context_length, served) if length is not None]
    return min(known) if known else UNKNOWN_CONTEXT


async def model_at(endpoint: Endpoint, entry: ModelEntry) -> str:
    """The entry's model, or the first that the server offers where it names none."""
    return entry.model or await _first_model(endpoint)


async def _first_model(endpoint: Endpoint) -> str:
    offered = (await endpoint.probe("GET", f"{endpoint.url}/models") or {}).get("data") or []
    for model in offered:
        if isinstance(model, dict) and isinstance(model.get("id"), str):
            return str(model["id"])
    raise UserError(f"{endpoint.url} lists no models; name one")


async def _dialect(
    endpoint: Endpoint, entry: ModelEntry, model: str
) -> tuple[LlamaServer | VllmServer | ChatServer, int | None]:
    """The richest dialect the server speaks, and its context length in tokens."""
    effort, extra = entry.reasoning_effort, entry.engine_args
    if await is_llama_server(endpoint):
        return LlamaServer(endpoint, reasoning_effort=effort, extra=extra), await slot_context(endpoint)
    context = await served_context(endpoint, model)
    if context is not None:
        return VllmServer(endpoint, model, reasoning_effort=effort, extra=extra), context
    return ChatServer(endpoint, model, reasoning_effort=effort, extra=extra), None


def _versioned(url: str) -> str:
    """`http://host:8000` means `http://host:8000/v1`; any other path is taken as it is."""
    scheme, separator, rest = url.rstrip("/").partition("://")
    return f"{scheme}{separator}{rest}/v1" if separator and rest and "/" not in rest else url


def _key(name: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"{name}: api_key_env names {variable}, which is not set; export it")
    return key
