"""The evaluation files of Qwen2.5-Math and its descendants: one line a problem, lists of solutions and verdicts."""

from __future__ import annotations

from models.recorded import Recorded, Sample, Spent
from scheduler.presets import Record
from scheduler.recordings import values


def recognises(record: Record) -> bool:
    return isinstance(record.get("code"), list) and values.any_of(record, ["pred", "report", "score", "gt"])


def read(record: Record) -> Recorded:
    """Raises ValueError with what is wrong."""
    solutions = values.texts(record, "code")
    count = len(solutions)
    predictions = values.several(record, "pred", count)
    verdicts = values.several(record, "score", count)
    reasons = values.several(record, "finish_reason", count)
    samples = tuple(
        Sample(
            text=values.without_marks(solution),
            finish_reason="length" if values.cut(reasons[place]) else "stop",
            prediction=values.answer_text(predictions[place], "pred") if "pred" in record else None,
            verdict=values.verdict(verdicts[place], "score"),
        )
        for place, solution in enumerate(solutions)
    )
    return Recorded(
        key=values.text(record, "idx", "id", "unique_id"),
        prompt=values.needed(values.text(record, "question", "problem"), "question"),
        answer=values.text(record, "gt", "answer"),
        subject=values.text(record, "subject", "type"),
        level=values.text(record, "level"),
        samples=samples,
        requests=(Spent(),) * count,
    )
