"""Batch requests: the lines of a file that was written for OpenAI's batch API, read as problems."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from itertools import islice
from typing import Any

from scheduler.fields import BadRow
from scheduler.formats import Item
from scheduler.presets import MESSAGES, Record

ENDPOINT = "/v1/chat/completions"

LIMITS: dict[str, tuple[str, float, float, bool]] = {
    "temperature": ("temperature", 0, 5, False),
    "top_p": ("top_p", 0.0001, 1, False),
    "top_k": ("top_k", 0, 1e9, True),
    "min_p": ("min_p", 0, 1, False),
    "max_tokens": ("max_tokens", 1, 1e9, True),
    "max_completion_tokens": ("max_tokens", 1, 1e9, True),
}
"""What of a body becomes the job's sampling -> its field there, the least and the most, and whether it is whole. Of two
names for one field the later wins."""

IGNORED = frozenset(
    {
        "model", "n", "seed", "messages", "metadata", "user", "store", "service_tier", "stream", "stream_options",
        "logprobs", "top_logprobs", "parallel_tool_calls", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
    }
)  # fmt: skip
"""What a body may hold without changing what is asked: the job's own options say it, or it says how to be served."""

_NEUTRAL: tuple[Any, ...] = (None, False, 0, "", "auto", "none", [], {}, {"type": "text"}, ["text"])


def shared_sampling(items: Generator[Item], looked_at: int) -> dict[str, Any] | None:
    """What the first usable request among the first items asks of the sampling, which all others must ask as well; None
    where the first object is no request."""
    requests = False
    with closing(items):
        for _, item in islice(items, looked_at):
            if not isinstance(item, Mapping):
                continue
            requests = requests or is_request(item)
            if not requests:
                return None
            try:
                unfold(item)
                return sampling_of(item)
            except ValueError:
                continue
    return {} if requests else None


def flat_items(items: Generator[Item], sampling: Mapping[str, Any]) -> Generator[Item]:
    """The rows with each request as a flat record, or as a BadRow that says why it cannot be one."""
    with closing(items):
        for number, item in items:
            if not isinstance(item, Mapping):
                yield number, item
                continue
            try:
                flat = unfold(item)
                _check_alike(sampling_of(item), sampling)
            except ValueError as error:
                yield number, BadRow(number, str(error))
            else:
                yield number, flat


def is_request(record: Record) -> bool:
    """Whether a record is one request of a batch."""
    return "custom_id" in record and isinstance(record.get("body"), Mapping)


def unfold(record: Record) -> Record:
    """The request as a flat record: its `custom_id`, its prompt under `messages`, and what its `metadata` or the line
    itself say beside them, such as a reference `answer`.

    Raises:
        ValueError: it is no single question in text to a chat model, or asks for what a job cannot do.
    """
    body = record.get("body")
    if not isinstance(body, Mapping):
        raise ValueError("has no 'body' with the request")
    if record.get("custom_id") in (None, ""):
        raise ValueError("has no 'custom_id', by which its answer would be found")
    if str(record.get("method") or "POST").upper() != "POST":
        raise ValueError(f"has the method {record['method']!r}; a request for a completion is a POST")
    if not str(record.get("url") or ENDPOINT).endswith("/chat/completions"):
        raise ValueError(f"is for {record['url']!r}, and only requests to {ENDPOINT} can be answered")
    extra = [
        name
        for name, value in body.items()
        if name not in IGNORED and name not in LIMITS and not any(value == one for one in _NEUTRAL)
    ]
    if extra:
        raise ValueError(f"asks for {extra[0]!r}, which a job cannot do for single queries; take it out")
    beside = {name: value for name, value in record.items() if name not in ("method", "url", "body")}
    metadata = body.get("metadata")
    return {**beside, **(metadata if isinstance(metadata, Mapping) else {}), MESSAGES: _prompt(body.get("messages"))}


def sampling_of(record: Record) -> dict[str, Any]:
    """What a request asks of the sampling, by the fields of `strategies.protocols.Sampling`.

    Raises:
        ValueError: a value is out of range.
    """
    asked: dict[str, Any] = {}
    for name, (field, least, most, whole) in LIMITS.items():
        value = record["body"].get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not least <= value <= most:
            raise ValueError(f"asks for {name} {value!s:.40}, which is no number from {least:g} to {most:g}")
        if whole and value != int(value):
            raise ValueError(f"asks for {name} {value}, which is no whole number")
        asked[field] = int(value) if whole else float(value)
    return asked


def _check_alike(asked: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
    for field in {**shared, **asked}:
        mine, other = asked.get(field), shared.get(field)
        if mine != other:
            said = [f"{field} {value:g}" if value is not None else f"no {field}" for value in (mine, other)]
            raise ValueError(
                f"asks for {said[0]} where the first request asks for {said[1]}, and a job has one sampling: split the file"
            )


def _prompt(messages: object) -> str:
    """The user's text, behind what the system says."""
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise ValueError("has no 'messages' in its body")
    texts, roles = [], []
    for message in messages:
        if not isinstance(message, Mapping):
            raise ValueError("has a message that is no object with 'role' and 'content'")
        roles.append("system" if message.get("role") == "developer" else message.get("role"))
        texts.append(_text(message.get("content")))
    if roles[-1] != "user" or any(role != "system" for role in roles[:-1]):
        turns = ", ".join(map(str, roles[:6])) + (", ..." if len(roles) > 6 else "")
        raise ValueError(f"is a conversation ({turns}), and a query is one user message behind system messages")
    if not texts[-1].strip():
        raise ValueError("has an empty user message, but it is the prompt")
    return "\n\n".join(text for text in texts if text.strip())


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise ValueError("has a message without text")
    parts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise ValueError(f"has a message with a part of type {kind!r}, and only text can be asked")
        parts.append(part["text"])
    return "\n".join(parts)
