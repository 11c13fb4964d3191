"""A model with a head of labels behind `vllm serve`: token ids to `/pooling`, logits back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from models.errors import UserError
from models.settings import ModelEntry
from strategies.protocols import Message, Pooled, TokenUsage, TransientError
from worker.engines.http import Endpoint
from worker.engines.openai import connected, context_of, model_at
from worker.engines.request import too_long
from worker.engines.vllmserver import served_context, tokens_of


class PoolServer:
    """One `vllm serve` of a pooling model. `extra` is sent with every request to pool."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        model: str,
        beginning: str | None,
        *,
        capacity: int,
        context: int,
        extra: dict[str, Any],
    ) -> None:
        self.name = name
        self.context_length = context
        self.beginning = beginning
        self._endpoint = endpoint
        self._model = model
        self._extra = extra
        self._slots = asyncio.Semaphore(capacity)

    async def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        chat = [{"role": message.role, "content": message.content} for message in messages]
        body = {"model": self._model, "messages": chat, "add_generation_prompt": False}
        return tuple((await self._endpoint.post(f"{self._endpoint.root}/tokenize", body))["tokens"])

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return await tokens_of(self._endpoint, self._model, text)

    async def pool(self, tokens: Sequence[int]) -> Pooled:
        if len(tokens) > self.context_length:
            raise too_long(len(tokens), self.context_length)
        async with self._slots:
            body = _request(self._model, tokens) | self._extra
            return pooled_of(await self._endpoint.post(f"{self._endpoint.root}/pooling", body))

    async def close(self) -> None:
        await self._endpoint.close()


def _request(model: str, tokens: Sequence[int]) -> dict[str, Any]:
    # The server does not say how much it found in its cache; under a salt that is used once it finds nothing.
    salt = secrets.token_hex(16)
    return {"model": model, "input": list(tokens), "use_activation": False, "cache_salt": salt}


def pooled_of(reply: dict[str, Any]) -> Pooled:
    """A reply of `/pooling` as Pooled. Raises TransientError when it is not one of vLLM's."""
    try:
        found = reply["data"][0]["data"]
        rows = found if isinstance(found[0], list) else [found]
        usage = TokenUsage(int(reply["usage"]["prompt_tokens"]), 0, 0)
        return Pooled(tuple(tuple(map(float, row)) for row in rows), usage)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise TransientError(f"the vLLM server's reply lacks {error}; update the server") from None


async def start_pooler(name: str, entry: ModelEntry) -> PoolServer:
    """Find out whether the server at `entry.url` pools.

    Raises:
        UserError: the URL is missing or wrong, the key's variable is not set, or the server does not pool.
        TransientError: the server does not answer.
    """
    async with connected(name, entry) as (endpoint, capacity):
        model = await model_at(endpoint, entry)
        context = await served_context(endpoint, model, chats=False)
        tokens = await tokens_of(endpoint, model, "1") if context is not None else ()
        if not tokens or await endpoint.probe("POST", f"{endpoint.root}/pooling", _request(model, tokens)) is None:
            raise UserError(f"{name}: {endpoint.url} does not pool; start it as `vllm serve {model} --runner pooling`")
        told = await endpoint.probe("GET", f"{endpoint.root}/tokenizer_info") or {}
    beginning = told.get("bos_token")
    return PoolServer(
        name,
        endpoint,
        model,
        beginning if isinstance(beginning, str) else None,
        capacity=capacity,
        context=context_of(entry, context),
        extra=entry.engine_args,
    )
