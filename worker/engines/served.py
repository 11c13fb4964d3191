"""A model behind a URL that is read from: `vllm serve` or llama.cpp's server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from models.errors import UserError
from models.settings import ModelEntry
from strategies.protocols import Message, NextTokens, Prefix
from worker.engines.http import Endpoint
from worker.engines.llamaserver import LlamaServer, is_llama_server, slot_context
from worker.engines.openai import connected, context_of, model_at
from worker.engines.request import room
from worker.engines.vllmserver import VllmServer, served_context


class ServedReader:
    """Nothing is retried here. What the server's prefix cache holds is not read again."""

    def __init__(
        self, name: str, endpoint: Endpoint, server: LlamaServer | VllmServer, *, capacity: int, context: int
    ) -> None:
        self.name = name
        self.context_length = context
        self._endpoint = endpoint
        self._server = server
        self._slots = asyncio.Semaphore(capacity)

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        return await self._server.encode(messages)

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return await self._server.tokenize(text)

    async def next_logprobs(self, tokens: Sequence[int], wanted: Sequence[int]) -> NextTokens:
        room(Prefix(tokens=tuple(tokens)), self.context_length, 1)
        async with self._slots:
            return await self._server.next_logprobs(tokens, wanted)

    async def close(self) -> None:
        await self._endpoint.close()


async def start_reader(name: str, entry: ModelEntry) -> ServedReader:
    """Find out what the server at `entry.url` is.

    Raises:
        UserError: the URL is missing or wrong, the key's variable is not set, or the server tells no token ids.
        TransientError: the server does not answer.
    """
    async with connected(name, entry) as (endpoint, capacity):
        server, context = await _server(name, endpoint, entry)
    return ServedReader(name, endpoint, server, capacity=capacity, context=context_of(entry, context))


async def _server(name: str, endpoint: Endpoint, entry: ModelEntry) -> tuple[LlamaServer | VllmServer, int | None]:
    effort, extra = entry.reasoning_effort, entry.engine_args
    if await is_llama_server(endpoint):
        return LlamaServer(endpoint, reasoning_effort=effort, extra=extra), await slot_context(endpoint)
    model = await model_at(endpoint, entry)
    context = await served_context(endpoint, model, chats=False)
    if context is None:
        raise UserError(
            f"{name}: {endpoint.url} tells no token ids of {model}; serve it with `vllm serve` or llama.cpp"
        )
    if (
        await endpoint.probe("POST", f"{endpoint.url}/completions", {"model": model, "prompt": "1", "max_tokens": 1})
        is None
    ):
        raise UserError(
            f"{name}: {endpoint.url} completes nothing; start `vllm serve {model}` without --runner pooling"
        )
    return VllmServer(endpoint, model, reasoning_effort=effort, extra=extra), context
