"""The plain format, one line a problem; docs/recordings.md has all of its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from models.recorded import Recorded, Sample, Spent
from scheduler.presets import Record
from scheduler.recordings import values


def recognises(record: Record) -> bool:
    return values.any_of(record, ["problem", "prompt", "question"]) and isinstance(record.get("candidates"), list)


def read(record: Record) -> Recorded:
    """Raises ValueError with what is wrong, such as "field 'candidates[2].text' is missing or no text"."""
    candidates = record.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        raise ValueError("field 'candidates' is missing or empty; it is a list of objects with a text")
    samples = tuple(_samples(candidates))
    prompt = values.tokens(record.get("prompt_tokens"), "prompt_tokens", "a prompt")
    chosen = values.text(record, "chosen")
    return Recorded(
        key=values.text(record, "key", "id", "unique_id"),
        prompt=values.needed(values.text(record, "problem", "prompt", "question"), "problem"),
        answer=values.text(record, "answer"),
        subject=values.text(record, "subject"),
        level=values.text(record, "level"),
        samples=samples,
        requests=tuple(Spent(prompt, None, one.generated_tokens) for one in samples),
        chosen=None if chosen is None else values.without_marks(chosen),
    )


def _samples(candidates: list[Any]) -> Iterator[Sample]:
    for place, one in enumerate(candidates):
        where = f"candidates[{place}]"
        if isinstance(one, str):
            one = {"text": one}
        if not isinstance(one, Mapping):
            raise ValueError(f"field {where!r} is no object with a text")
        text = one.get("text")
        if not isinstance(text, str):
            raise ValueError(f"field '{where}.text' is missing or no text")
        yield Sample(
            text=values.without_marks(text),
            finish_reason="length" if values.cut(one.get("finish_reason")) else "stop",
            score=values.number(one.get("score"), f"{where}.score"),
            step_scores=values.numbers(one.get("step_scores"), f"{where}.step_scores"),
            generated_tokens=values.tokens(one.get("tokens"), f"{where}.tokens", text),
            logprob=values.number(one.get("logprob"), f"{where}.logprob"),
            prediction=values.answer_text(one["answer"], f"{where}.answer") if "answer" in one else None,
            verdict=values.verdict(one.get("correct"), f"{where}.correct"),
        )
