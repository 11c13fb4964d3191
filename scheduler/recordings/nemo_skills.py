"""NeMo-Skills' outputs: one line a solution; the files output-rs0.jsonl, output-rs1.jsonl, ... of a run are its samples."""

from __future__ import annotations

from models.recorded import Recorded, Sample, Spent
from scheduler.presets import Record
from scheduler.recordings import values

_VERDICTS = ("symbolic_correct", "is_correct")


def recognises(record: Record) -> bool:
    return isinstance(record.get("generation"), str) and values.any_of(
        record, ["expected_answer", "predicted_answer", *_VERDICTS]
    )


def read(record: Record) -> Recorded:
    """Raises ValueError with what is wrong."""
    solution = record.get("generation")
    if not isinstance(solution, str):
        raise ValueError("field 'generation' is missing or no text")
    judged = next((name for name in _VERDICTS if record.get(name) is not None), None)
    spent = values.tokens(record.get("num_generated_tokens"), "num_generated_tokens", solution)
    sample = Sample(
        text=values.without_marks(solution),
        finish_reason="length" if values.cut(record.get("finish_reason")) else "stop",
        score=values.number(record.get("reward_model_score"), "reward_model_score"),
        generated_tokens=spent,
        prediction=(
            values.answer_text(record["predicted_answer"], "predicted_answer") if "predicted_answer" in record else None
        ),
        verdict=None if judged is None else values.verdict(record[judged], judged),
    )
    asked = values.tokens(record.get("num_input_tokens"), "num_input_tokens", solution)
    return Recorded(
        key=values.text(record, "id", "unique_id", "problem_id"),
        prompt=values.needed(values.text(record, "problem", "question"), "problem", "question"),
        answer=values.text(record, "expected_answer"),
        subject=values.text(record, "subject", "type", "subset_for_metrics"),
        level=values.text(record, "level"),
        samples=(sample,),
        requests=(Spent(prompt_tokens=asked, generated_tokens=spent),),
    )
