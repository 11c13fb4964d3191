"""Any server with OpenAI's chat interface: messages in, text out; the server alone knows its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from strategies.budget_forcing import END_OF_THINKING, THINKING
from strategies.protocols import Completion, Message, Prefix, QueryError, Sampling, TransientError
from worker.engines.http import Endpoint, Refused
from worker.engines.reply import finish_of, usage_of

OFF: dict[str, Any] = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "top_p": 1.0,
    "temperature": 1.0,
    "logprobs": True,
}
"""Fields that a server may not know, with the value at which leaving them out changes no text."""


class ChatServer:
    """A chat server. A field it does not know is left out from then on if that changes nothing."""

    def __init__(self, endpoint: Endpoint, model: str, *, reasoning_effort: str | None, extra: dict[str, Any]) -> None:
        self._endpoint = endpoint
        self._model = model
        self._effort = {"reasoning_effort": reasoning_effort} if reasoning_effort else {}
        self._extra = extra
        self._unknown: set[str] = set()
        self._limit = "max_tokens"

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        return Prefix(messages=tuple(messages))

    async def complete(
        self, prefix: Prefix, stop: Sequence[str], max_tokens: int, sampling: Sampling, seed: int
    ) -> Completion:
        if prefix.messages is None:
            raise QueryError("this server takes chat messages only; a prefix of token ids cannot be continued")
        fields = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in prefix.messages],
            "n": 1,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "repetition_penalty": sampling.repetition_penalty,
            "seed": seed,
            "logprobs": True,
            "stream": False,
            **({"stop": list(stop)} if stop else {}),
            **self._effort,
            **self._extra,
        }
        while True:
            asked = {name: value for name, value in fields.items() if name not in self._unknown}
            asked[self._limit] = max_tokens
            try:
                return completion_of(await self._endpoint.post(f"{self._endpoint.url}/chat/completions", asked))
            except Refused as refusal:
                if not self._learn(refusal.reason, asked):
                    raise

    def _learn(self, reason: str, asked: dict[str, Any]) -> bool:
        """Whether the refusal names a field that can be left out or renamed without changing the text."""
        if "max_completion_tokens" in reason and "max_tokens" in asked:
            self._limit = "max_completion_tokens"
            return True
        for name, off in OFF.items():
            if name in asked and name in reason and asked[name] == off:
                self._unknown.add(name)
                return True
        return False


def completion_of(reply: dict[str, Any]) -> Completion:
    """A reply of `/v1/chat/completions` as a Completion; separate reasoning is put back in think tags.

    Raises:
        TransientError: the reply holds no message or no token counts.
    """
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        content: str = message.get("content") or ""
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise TransientError(f"the server's reply lacks {error}") from None
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    text = f"{THINKING}\n{reasoning}\n{END_OF_THINKING}\n\n{content}" if reasoning else content
    stopped = choice.get("stop_reason", choice.get("matched_stop"))
    logprobs, ends = _logprobs(choice, content, offset=len(text) - len(content))
    return Completion(
        text=text,
        finish_reason=finish_of(choice.get("finish_reason")),
        usage=usage_of(reply),
        stop_string=stopped if isinstance(stopped, str) else None,
        logprobs=logprobs,
        token_ends=ends,
    )


def _logprobs(
    choice: dict[str, Any], content: str, *, offset: int
) -> tuple[tuple[float, ...] | None, tuple[int, ...] | None]:
    """Log-probabilities and token ends, or (None, None) where the tokens do not spell `content`."""
    drawn = (choice.get("logprobs") or {}).get("content") or []
    pieces = [token.get("token", "") for token in drawn]
    if not drawn or not "".join(pieces).startswith(content):
        return None, None
    ends, end = [], 0
    for piece in pieces:
        end = min(end + len(piece), len(content))
        ends.append(offset + end)
    return tuple(min(token["logprob"], 0.0) for token in drawn), tuple(ends)
