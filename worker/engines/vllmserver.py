"""vLLM's HTTP interface: prompts as token ids to `/v1/completions`, ids and log-probabilities back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from strategies.protocols import Completion, Message, NextTokens, Prefix, Sampling, TokenUsage, TransientError
from worker.engines.http import Endpoint
from worker.engines.reply import finish_of, usage_of


class VllmServer:
    """One `vllm serve`. Log-probabilities are the model's own (vLLM's default `raw_logprobs`)."""

    def __init__(self, endpoint: Endpoint, model: str, *, reasoning_effort: str | None, extra: dict[str, Any]) -> None:
        self._endpoint = endpoint
        self._model = model
        self._template = {"chat_template_kwargs": {"reasoning_effort": reasoning_effort}} if reasoning_effort else {}
        self._extra = extra

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        chat = [{"role": message.role, "content": message.content} for message in messages]
        body = {"model": self._model, "messages": chat, "add_generation_prompt": True, **self._template}
        reply = await self._endpoint.post(f"{self._endpoint.root}/tokenize", body)
        return Prefix(tokens=tuple(reply["tokens"]))

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return await tokens_of(self._endpoint, self._model, text)

    async def next_logprobs(self, tokens: Sequence[int], wanted: Sequence[int]) -> NextTokens:
        body = {
            "model": self._model,
            "prompt": list(tokens),
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": 1,
            "logprob_token_ids": list(wanted),
            "return_tokens_as_token_ids": True,
            **self._extra,
        }
        return next_tokens_of(await self._endpoint.post(f"{self._endpoint.url}/completions", body), wanted)

    async def complete(
        self, prefix: Prefix, stop: Sequence[str], max_tokens: int, sampling: Sampling, seed: int
    ) -> Completion:
        body = {
            "model": self._model,
            "prompt": list(prefix.tokens or ()),
            "n": 1,
            "max_tokens": max_tokens,
            "min_tokens": 0,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "repetition_penalty": sampling.repetition_penalty,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "seed": seed,
            "stop": list(stop),
            "include_stop_str_in_output": False,
            "skip_special_tokens": True,
            "ignore_eos": False,
            "logprobs": 1,
            "return_token_ids": True,
            **self._extra,
        }
        return completion_of(await self._endpoint.post(f"{self._endpoint.url}/completions", body))


async def tokens_of(endpoint: Endpoint, model: str, text: str) -> tuple[int, ...]:
    """The ids of a plain text, with what the model's tokenizer puts before one."""
    return tuple((await endpoint.post(f"{endpoint.root}/tokenize", {"model": model, "prompt": text}))["tokens"])


async def served_context(endpoint: Endpoint, model: str, *, chats: bool = True) -> int | None:
    """The model's context in tokens where the server tokenises the way vLLM does, chats or plain texts, else None."""
    chat = {"messages": [{"role": "user", "content": "1"}], "add_generation_prompt": True}
    body = {"model": model, **(chat if chats else {"prompt": "1"})}
    reply = await endpoint.probe("POST", f"{endpoint.root}/tokenize", body)
    if reply is None or not isinstance(reply.get("tokens"), list):
        return None
    length = reply.get("max_model_len")
    return length if isinstance(length, int) and length > 0 else None


def next_tokens_of(reply: dict[str, Any], wanted: Sequence[int]) -> NextTokens:
    """A reply of `/v1/completions` to a request for one token as NextTokens. Raises TransientError when it is not one
    of vLLM's, or of one too old to be asked for tokens by their ids."""
    try:
        likely = reply["choices"][0]["logprobs"]["top_logprobs"][0]
        logprobs = tuple(min(likely[f"token_id:{token}"], 0.0) for token in wanted)
    except (KeyError, IndexError, TypeError) as error:
        raise TransientError(f"the vLLM server's reply lacks {error}; update the server") from None
    usage = usage_of(reply)
    return NextTokens(logprobs, TokenUsage(usage.prompt_tokens, usage.cached_tokens, 0))


def completion_of(reply: dict[str, Any]) -> Completion:
    """A reply of `/v1/completions` as a Completion. Raises TransientError when it is not one of vLLM's."""
    try:
        choice = reply["choices"][0]
        text: str = choice["text"]
        tokens = tuple(choice["token_ids"])
        drawn = choice["logprobs"]
        starts = [start - drawn["text_offset"][0] for start in drawn["text_offset"]]
        logprobs = tuple(min(value, 0.0) for value in drawn["token_logprobs"])
    except (KeyError, IndexError, TypeError) as error:
        raise TransientError(f"the vLLM server's reply lacks {error}; update the server") from None
    stopped = choice.get("stop_reason")
    return Completion(
        text=text,
        finish_reason=finish_of(choice.get("finish_reason")),
        usage=usage_of(reply),
        tokens=tokens,
        stop_string=stopped if isinstance(stopped, str) else None,
        logprobs=logprobs,
        token_ends=tuple(min(end, len(text)) for end in [*starts[1:], len(text)]),
    )
