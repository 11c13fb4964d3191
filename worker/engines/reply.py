"""What replies in OpenAI's shape have in common: why they ended and what they counted."""

from __future__ import annotations

from typing import Any

from strategies.protocols import FinishReason, QueryError, TokenUsage, TransientError


def finish_of(reason: str | None) -> FinishReason:
    """`stop` or `length`; anything else is no completion.

    Raises:
        QueryError: the server withheld the text (`content_filter`).
        TransientError: the server broke the generation off.
    """
    if reason == "stop":
        return "stop"
    if reason == "length":
        return "length"
    if reason in ("content_filter", "tool_calls", "function_call"):
        raise QueryError(f"the server ended the completion for another reason than its text: {reason}")
    raise TransientError(f"the server broke the completion off (finish_reason {reason})")


def usage_of(reply: dict[str, Any]) -> TokenUsage:
    """The server's own counts. Raises TransientError without them: they are never guessed."""
    usage = reply.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens")
    try:
        return TokenUsage(
            prompt_tokens=int(usage["prompt_tokens"]),
            cached_tokens=None if cached is None else int(cached),
            generated_tokens=int(usage["completion_tokens"]),
        )
    except (KeyError, TypeError, ValueError):
        raise TransientError("the server's reply does not count its tokens (usage)") from None
