"""search-and-learn's completions: one line a problem, with a process reward model's scores and its own predictions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from models.recorded import Prediction, Recorded, Rule, Sample, Spent
from scheduler.presets import Record
from scheduler.recordings import values

_RULES: dict[str, Rule] = {"naive": "best_of_n", "weighted": "weighted_vote", "maj": "majority_vote"}
_PREDICTION = re.compile(r"pred_(naive|weighted|maj)@(\d{1,6})")


def recognises(record: Record) -> bool:
    return values.any_of(record, ["problem", "prompt"]) and isinstance(record.get("completions"), list)


def read(record: Record) -> Recorded:
    """Raises ValueError with what is wrong, such as "field 'completions' is missing or empty"."""
    completions = values.texts(record, "completions")
    count = len(completions)
    scores = values.several(record, "scores", count)
    totals = values.several(record, "agg_scores", count)
    tokens = values.several(record, "completion_tokens", count)
    samples = tuple(
        Sample(
            text=values.without_marks(completion),
            score=values.number(totals[place], "agg_scores"),
            step_scores=values.numbers(scores[place], "scores"),
            generated_tokens=values.tokens(tokens[place], "completion_tokens", completion),
        )
        for place, completion in enumerate(completions)
    )
    chosen = values.text(record, "pred")
    return Recorded(
        key=values.text(record, "unique_id", "id"),
        prompt=values.needed(values.text(record, "problem", "prompt"), "problem"),
        answer=values.text(record, "answer"),
        subject=values.text(record, "subject", "type"),
        level=values.text(record, "level"),
        samples=samples,
        requests=tuple(Spent(generated_tokens=one.generated_tokens) for one in samples),
        predictions=tuple(_predictions(record, count)),
        chosen=None if chosen is None else values.without_marks(chosen),
    )


def _predictions(record: Record, count: int) -> Iterator[Prediction]:
    for field, value in record.items():
        if (match := _PREDICTION.fullmatch(field)) and value is not None:
            first = int(match[2])
            if not 1 <= first <= count:
                raise ValueError(f"field {field!r} is of {first} solutions, and there are {count}")
            yield Prediction(field, _RULES[match[1]], first, values.answer_text(value, field))
