"""The output files of OpenAI's batch interface: one line a request, in any order, without prompts and references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from models.recorded import Recorded, Sample, Spent
from scheduler.presets import Record
from scheduler.recordings import values


def recognises(record: Record) -> bool:
    return "custom_id" in record and values.any_of(record, ["response", "error"])


def read(record: Record) -> Recorded:
    """Raises ValueError with what is wrong; a request that failed has nothing to import."""
    key = values.needed(values.text(record, "custom_id"), "custom_id")
    body = _body(record)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise ValueError("field 'response.body.choices' is missing or empty")
    told = body.get("usage")
    usage: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    spent = Spent(
        values.tokens(usage.get("prompt_tokens"), "usage.prompt_tokens"),
        values.tokens(cached, "usage.prompt_tokens_details.cached_tokens"),
        values.tokens(usage.get("completion_tokens"), "usage.completion_tokens"),
    )
    alone = spent.generated_tokens if len(choices) == 1 else None
    return Recorded(
        key=key,
        prompt=None,
        answer=None,
        samples=tuple(_samples(choices, alone)),
        requests=(spent,),
        generator=values.text(body, "model"),
    )


def _body(record: Record) -> Mapping[str, Any]:
    error, response = record.get("error"), record.get("response")
    if error:
        said = error.get("message") if isinstance(error, Mapping) else error
        raise ValueError(f"the request failed ({said}); take the line out, or answer it again")
    if not isinstance(response, Mapping):
        raise ValueError("field 'response' is missing or no object")
    status = response.get("status_code", 200)
    if status != 200:
        raise ValueError(f"the request failed with status {status}; take the line out, or answer it again")
    body = response.get("body")
    if not isinstance(body, Mapping):
        raise ValueError("field 'response.body' is missing or no object")
    return body


def _samples(choices: list[Any], generated: int | None) -> Iterator[Sample]:
    whole = all(isinstance(one, Mapping) for one in choices)
    ordered = sorted(choices, key=lambda one: one.get("index", 0)) if whole else choices
    for place, choice in enumerate(ordered):
        message = choice.get("message") if isinstance(choice, Mapping) else None
        content = message.get("content") if isinstance(message, Mapping) else None
        if content is None and isinstance(choice, Mapping):
            # A plain completion has its text here; one without any met the limit while it was thinking.
            content = "" if values.cut(choice.get("finish_reason")) else choice.get("text")
        if not isinstance(content, str):
            raise ValueError(f"field 'response.body.choices[{place}].message.content' is missing or no text")
        yield Sample(
            text=values.without_marks(content),
            finish_reason="length" if values.cut(choice.get("finish_reason")) else "stop",
            generated_tokens=generated,
        )
