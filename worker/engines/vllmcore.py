"""One vLLM in this process, whatever it is asked: an AsyncLLM, whose engine core runs in a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from models import hub
from models.errors import UserError
from models.settings import ModelEntry, settings
from strategies.protocols import EngineDied, QueryError, TransientError

DEFAULT_SEQUENCES = 256

AHEAD = 2
"""Requests handed over per sequence, so that a freed place in the batch is filled in the engine's next step."""

ENVIRONMENT = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Set before the import unless the user has set them."""

FIXED = ("trust_remote_code", "generation_config", "logprobs_mode", "runner")
"""Engine arguments that would change what a reply means, or run code that came with a model."""


class Core:
    """The engine, its tokenizer, and its sizes: `capacity` in sequences, `context_length` and `cache_tokens` in tokens.

    `slots` bounds the requests handed over at once.
    """

    def __init__(self, name: str, engine: Any) -> None:
        config = engine.vllm_config
        self.engine = engine
        self.tokenizer: Any = engine.renderer.get_tokenizer()
        self.capacity: int = config.scheduler_config.max_num_seqs
        self.context_length: int = config.model_config.max_model_len
        cache = config.cache_config
        self.cache_tokens: int = (cache.num_gpu_blocks or 0) * cache.block_size if cache.enable_prefix_caching else 0
        self.slots = asyncio.Semaphore(AHEAD * self.capacity)
        self._name = name
        self._numbers = itertools.count()

    async def final(self, ask: Callable[[Any, str], AsyncIterator[Any]]) -> Any:
        """vLLM's last output for the request `ask(engine, request id)`; what it refuses when that is made is the
        request's fault, too.

        Raises:
            QueryError: vLLM calls the request wrong.
            TransientError: it failed on this request.
            EngineDied: its process is gone.
        """
        from vllm import exceptions
        from vllm.v1.engine.exceptions import EngineDeadError

        if self.engine is None:
            raise EngineDied("this vLLM engine has been closed")
        wrong_request = (ValueError, getattr(exceptions, "VLLMClientError", ValueError))
        final = None
        try:
            async for output in ask(self.engine, f"{self._name}-{next(self._numbers)}"):
                final = output
        except EngineDeadError:
            raise EngineDied("vLLM's engine process has died; its own log says why") from None
        except wrong_request as error:
            raise QueryError(f"vLLM refused the request: {error}") from None
        except Exception as error:
            raise TransientError(f"vLLM failed on this request ({error.__cause__ or error})") from None
        if final is None:
            raise TransientError("vLLM returned no output")
        return final

    async def close(self) -> None:
        engine, self.engine = self.engine, None
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)


async def start_core(name: str, entry: ModelEntry, **arguments: Any) -> Core:
    """Load the model, with engine `arguments` that the entry's own precede; from seconds to minutes.

    Raises:
        UserError: the model or an engine argument is wrong, or does not fit this machine.
    """
    for argument in FIXED:
        if argument in entry.engine_args:
            raise UserError(f"{name}: engine_args: {argument} cannot be changed; leave it out")
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    loaded: list[Any] = []
    # Not returned from the thread: its future would keep the engine alive until the interpreter ends.
    await asyncio.to_thread(lambda: loaded.append(_load(name, entry, arguments)))
    return Core(name, loaded.pop())


def _load(name: str, entry: ModelEntry, given: dict[str, Any]) -> Any:
    from vllm import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.async_llm import AsyncLLM

    path = hub.resolve(entry.model, settings().home)
    arguments: dict[str, Any] = {
        "model": str(path or entry.model),
        "max_num_seqs": entry.max_sequences or DEFAULT_SEQUENCES,
        "disable_log_stats": True,
        "enable_log_requests": False,
        **({"max_model_len": entry.context_length} if entry.context_length else {}),
        # Behind a prompt read in parts vLLM rewinds the request's random numbers, which only a GPU's generator can.
        **({"enable_chunked_prefill": False} if current_platform.is_cpu() else {}),
        **given,
        **entry.engine_args,
        "generation_config": "vllm",
        "logprobs_mode": "raw_logprobs",
        "trust_remote_code": False,
    }
    try:
        return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
    except Exception as error:
        # Whatever is wrong with a model, its arguments or the memory, vLLM says it in many kinds of exceptions.
        reason = " ".join(str(error).split())[:300]
        # Of a failure in its own process it says no more than that there was one.
        hidden = " (its log says why; two engines on one GPU each need their gpu_memory_utilization)"
        more = hidden if "root cause above" in reason else ""
        raise UserError(f"{name}: vLLM cannot start {entry.model}: {reason}; correct the entry{more}") from None
