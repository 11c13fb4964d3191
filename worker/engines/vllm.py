"""vLLM in this process: one AsyncLLM, whose engine core runs in a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

from models import hub
from models.errors import UserError
from models.settings import ModelEntry, settings
from strategies.protocols import (
    Completion,
    EngineDied,
    Message,
    NextTokens,
    Prefix,
    QueryError,
    Sampling,
    TokenUsage,
    TransientError,
)
from worker.engines.reply import finish_of
from worker.engines.request import check_request, draw, room

DEFAULT_SEQUENCES = 256

AHEAD = 2
"""Requests handed over per sequence, so that a freed place in the batch is filled in the engine's next step."""

ENVIRONMENT = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Set before the import unless the user has set them."""

FIXED = ("trust_remote_code", "generation_config", "logprobs_mode")
"""Engine arguments that would change what a Completion means, or run code that came with a model."""


class VllmGenerator:
    """One AsyncLLM. Log-probabilities are the model's own: at temperature 1, before any filter."""

    def __init__(self, name: str, engine: Any, tokenizer: Any, *, capacity: int, context: int, effort: str | None):
        self.name = name
        self.capacity = capacity
        self.context_length = context
        self._engine = engine
        self._tokenizer = tokenizer
        self._template = {"reasoning_effort": effort} if effort else {}
        self._slots = asyncio.Semaphore(AHEAD * capacity)
        self._numbers = itertools.count()

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        chat = [{"role": message.role, "content": message.content} for message in messages]
        tokens = self._tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=False, **self._template
        )
        return Prefix(tokens=tuple(tokens))

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

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text)["input_ids"])

    async def next_logprobs(self, tokens: Sequence[int], wanted: Sequence[int]) -> NextTokens:
        prefix = Prefix(tokens=tuple(tokens))
        room(prefix, self.context_length, 1)
        async with self._slots:
            output = await self._final(prefix, lambda: _label_parameters(wanted))
        at = output.outputs[0].logprobs[0]
        usage = TokenUsage(len(output.prompt_token_ids), output.num_cached_tokens, 0)
        return NextTokens(tuple(min(at[token].logprob, 0.0) for token in wanted), usage)

    async def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)

    async def _complete(
        self, prefix: Prefix, stop: Sequence[str], max_tokens: int, sampling: Sampling, seed: int
    ) -> Completion:
        return self._completion(
            prefix, await self._final(prefix, lambda: _parameters(stop, max_tokens, sampling, seed))
        )

    async def _final(self, prefix: Prefix, parameters: Callable[[], Any]) -> Any:
        """vLLM's last output for a request; what it refuses when the parameters are made is the request's fault, too."""
        from vllm import exceptions
        from vllm.v1.engine.exceptions import EngineDeadError

        if self._engine is None:
            raise EngineDied("this vLLM engine has been closed")
        wrong_request = (ValueError, getattr(exceptions, "VLLMClientError", ValueError))
        prompt = {"type": "token", "prompt_token_ids": list(prefix.tokens or ())}
        final = None
        try:
            async for output in self._engine.generate(prompt, parameters(), f"{self.name}-{next(self._numbers)}"):
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

    def _completion(self, prefix: Prefix, output: Any) -> Completion:
        drawn = output.outputs[0]
        tokens = tuple(drawn.token_ids)
        ends = self._token_ends(prefix, tokens, drawn.text)
        return Completion(
            text=drawn.text,
            finish_reason=finish_of(drawn.finish_reason),
            usage=TokenUsage(len(output.prompt_token_ids), output.num_cached_tokens, len(tokens)),
            tokens=tokens,
            stop_string=drawn.stop_reason if isinstance(drawn.stop_reason, str) else None,
            logprobs=tuple(min(at[token].logprob, 0.0) for token, at in zip(tokens, drawn.logprobs, strict=True)),
            token_ends=ends,
        )

    def _token_ends(self, prefix: Prefix, tokens: Sequence[int], text: str) -> tuple[int, ...]:
        """Where each token's text ends, decoded after the prompt just as vLLM decodes it."""
        from tokenizers.decoders import DecodeStream  # type: ignore[import-not-found, unused-ignore]

        stream = DecodeStream(ids=list(prefix.tokens or ()), skip_special_tokens=True)
        ends, end = [], 0
        for token in tokens:
            try:
                piece = stream.step(self._tokenizer.backend_tokenizer, token)
            except Exception:
                # The stream refuses to go on after bytes that are no UTF-8; vLLM starts a new one, too.
                stream = DecodeStream(skip_special_tokens=True)
                piece = stream.step(self._tokenizer.backend_tokenizer, token)
            end = min(end + len(piece or ""), len(text))
            ends.append(end)
        return tuple(ends)


def _parameters(stop: Sequence[str], max_tokens: int, sampling: Sampling, seed: int) -> Any:
    """vLLM's SamplingParams; raises its validation errors, such as for a temperature above 2."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        n=1,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        seed=seed,
        stop=list(stop),
        max_tokens=max_tokens,
        min_tokens=0,
        ignore_eos=False,
        logprobs=0,
        skip_special_tokens=True,
        include_stop_str_in_output=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _label_parameters(wanted: Sequence[int]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0, max_tokens=1, logprob_token_ids=list(wanted), output_kind=RequestOutputKind.FINAL_ONLY
    )


async def start(name: str, entry: ModelEntry) -> VllmGenerator:
    """Load the model; from seconds to minutes.

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
    await asyncio.to_thread(lambda: loaded.append(_load(name, entry)))
    engine = loaded.pop()
    config = engine.vllm_config
    tokenizer = engine.renderer.get_tokenizer()
    if getattr(tokenizer, "chat_template", None) is None or not hasattr(tokenizer, "backend_tokenizer"):
        await asyncio.to_thread(engine.shutdown)
        raise UserError(f"{name}: {entry.model} lacks a chat template or a tokenizer.json; take its instruct version")
    return VllmGenerator(
        name,
        engine,
        tokenizer,
        capacity=config.scheduler_config.max_num_seqs,
        context=config.model_config.max_model_len,
        effort=entry.reasoning_effort,
    )


def _load(name: str, entry: ModelEntry) -> Any:
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
        raise UserError(f"{name}: vLLM cannot start {entry.model}: {reason}; correct the entry") from None
