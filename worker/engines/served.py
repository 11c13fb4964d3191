"""A model behind a URL that is read from: `vllm serve` or llama.cpp's server."""

from __future__ import annotations

from models.errors import UserError
from models.settings import ModelEntry
from worker.engines.http import Endpoint
from worker.engines.llamaserver import LlamaServer, is_llama_server, slot_context
from worker.engines.openai import TokenGenerator, connected, context_of, model_at
from worker.engines.vllmserver import VllmServer, served_context


async def start_reader(name: str, entry: ModelEntry) -> TokenGenerator:
    """Find out what the server at `entry.url` is.

    Raises:
        UserError: the URL is missing or wrong, the key's variable is not set, or the server tells no token ids.
        TransientError: the server does not answer.
    """
    async with connected(name, entry) as (endpoint, capacity):
        server, context = await _server(name, endpoint, entry)
    return TokenGenerator(name, endpoint, server, capacity=capacity, context=context_of(entry, context))


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
