"""llama.cpp's own HTTP interface: token ids in, token ids and log-probabilities out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from strategies.protocols import Completion, Message, NextTokens, Prefix, Sampling, TokenUsage, TransientError
from worker.engines.http import Endpoint

SAMPLERS = ["penalties", "temperature", "min_p", "top_k", "top_p"]
"""vLLM's order: filters see the probabilities after the temperature, so one Sampling means one distribution."""

SAMPLERS_OFF = {
    "dynatemp_range": 0.0,
    "dynatemp_exponent": 1.0,
    "typical_p": 1.0,
    "top_n_sigma": -1.0,
    "xtc_probability": 0.0,
    "xtc_threshold": 0.1,
    "dry_multiplier": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "mirostat": 0,
    "adaptive_target": -1.0,
    "min_keep": 0,
    "logit_bias": [],
    "ignore_eos": False,
    "n_keep": 0,
    "t_max_predict_ms": 0,
    "n_indent": 0,
}

WANTED = [
    "content",
    "tokens",
    "tokens_predicted",
    "tokens_evaluated",
    "stop_type",
    "stopping_word",
    "timings",
    "completion_probabilities",
]


ANY_SLOT = -1

LIKELIEST = 64
"""How many of the likeliest next tokens are asked for: the server names no others."""


class LlamaServer:
    """One llama.cpp server. Log-probabilities are the model's own: at temperature 1, before any filter."""

    def __init__(self, endpoint: Endpoint, *, reasoning_effort: str | None, extra: dict[str, Any]) -> None:
        self._endpoint = endpoint
        self._template = {"chat_template_kwargs": {"reasoning_effort": reasoning_effort}} if reasoning_effort else {}
        self._extra = extra

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        root = self._endpoint.root
        chat = [{"role": message.role, "content": message.content} for message in messages]
        prompt = await self._endpoint.post(f"{root}/apply-template", {"messages": chat, **self._template})
        reply = await self._endpoint.post(
            f"{root}/tokenize", {"content": prompt["prompt"], "add_special": True, "parse_special": True}
        )
        return Prefix(tokens=tuple(reply["tokens"]))

    async def tokenize(self, text: str) -> tuple[int, ...]:
        body = {"content": text, "add_special": True, "parse_special": False}
        return tuple((await self._endpoint.post(f"{self._endpoint.root}/tokenize", body))["tokens"])

    async def next_logprobs(self, tokens: Sequence[int], wanted: Sequence[int], slot: int = ANY_SLOT) -> NextTokens:
        body = {
            "prompt": list(tokens),
            "n_predict": 1,
            "temperature": 0.0,
            "repeat_penalty": 1.0,
            **SAMPLERS_OFF,
            "ignore_eos": True,
            "samplers": ["temperature"],
            "n_probs": LIKELIEST,
            "post_sampling_probs": False,
            "id_slot": slot,
            "cache_prompt": True,
            "stream": False,
            "response_fields": ["tokens_evaluated", "timings", "completion_probabilities"],
            **self._extra,
        }
        return next_tokens_of(await self._endpoint.post(f"{self._endpoint.root}/completion", body), wanted)

    async def complete(
        self, prefix: Prefix, stop: Sequence[str], max_tokens: int, sampling: Sampling, seed: int
    ) -> Completion:
        body = {
            "prompt": list(prefix.tokens or ()),
            "n_predict": max_tokens,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repetition_penalty,
            "repeat_last_n": len(prefix.tokens or ()) + max_tokens,
            **SAMPLERS_OFF,
            "samplers": SAMPLERS,
            "seed": seed,
            "stop": list(stop),
            "n_probs": 1,
            "post_sampling_probs": False,
            "return_tokens": True,
            "cache_prompt": True,
            "stream": False,
            "response_fields": WANTED,
            **self._extra,
        }
        return completion_of(await self._endpoint.post(f"{self._endpoint.root}/completion", body))


async def is_llama_server(endpoint: Endpoint) -> bool:
    """Whether the server applies chat templates and returns token ids the way llama.cpp does."""
    chat = {"messages": [{"role": "user", "content": "1"}]}
    prompt = await endpoint.probe("POST", f"{endpoint.root}/apply-template", chat)
    if prompt is None or not isinstance(prompt.get("prompt"), str):
        return False
    reply = await endpoint.probe("POST", f"{endpoint.root}/tokenize", {"content": "1"})
    return reply is not None and isinstance(reply.get("tokens"), list)


async def slot_context(endpoint: Endpoint) -> int | None:
    """Tokens that one of the server's slots holds, None where it does not say."""
    props = await endpoint.probe("GET", f"{endpoint.root}/props") or {}
    length = props.get("default_generation_settings", {}).get("n_ctx")
    return length if isinstance(length, int) and length > 0 else None


def next_tokens_of(reply: dict[str, Any], wanted: Sequence[int]) -> NextTokens:
    """A reply of `/completion` to a request for one token as NextTokens.

    Raises:
        TransientError: the reply is not one of llama.cpp's.
    """
    try:
        # Half a character has no text, and the server leaves out what has none.
        drawn = reply.get("completion_probabilities") or [{"top_logprobs": []}]
        known = {one["id"]: min(one["logprob"], 0.0) for one in drawn[0]["top_logprobs"]}
        usage = TokenUsage(reply["tokens_evaluated"], reply.get("timings", {}).get("cache_n"), 0)
    except (KeyError, TypeError) as error:
        raise TransientError(f"the llama.cpp server's reply lacks {error}; update the server") from None
    return NextTokens(tuple(known.get(token, -math.inf) for token in wanted), usage)


def completion_of(reply: dict[str, Any]) -> Completion:
    """A reply of `/completion` as a Completion.

    The server leaves out the log-probabilities of the tokens that spell a stop string and of all but the last
    token of a character that spans several, so there may be fewer `logprobs` than `tokens`.

    Raises:
        TransientError: the reply is not one of llama.cpp's.
    """
    try:
        text: str = reply["content"]
        ended = reply["stop_type"]
        usage = TokenUsage(
            prompt_tokens=reply["tokens_evaluated"],
            cached_tokens=reply.get("timings", {}).get("cache_n"),
            generated_tokens=reply["tokens_predicted"],
        )
        tokens = tuple(reply["tokens"])
        drawn = reply.get("completion_probabilities", [])
    except (KeyError, TypeError, AttributeError) as error:
        raise TransientError(f"the llama.cpp server's reply lacks {error}; update the server") from None
    logprobs, ends, end = [], [], 0
    for token in drawn:
        end = min(end + len(token["token"]), len(text))
        logprobs.append(min(token["logprob"], 0.0))
        ends.append(end)
    return Completion(
        text=text,
        finish_reason="stop" if ended in ("eos", "word") else "length",
        usage=usage,
        tokens=tokens,
        stop_string=reply["stopping_word"] if ended == "word" else None,
        logprobs=tuple(logprobs),
        token_ends=tuple(ends),
    )
