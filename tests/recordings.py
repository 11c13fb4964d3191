"""Small recordings of every format, as their programs write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]
MARK = "<|start_header_id|>assistant<|end_header_id|>\n\n"


def boxed(answer: str) -> str:
    return f"It is $\\boxed{{{answer}}}$."


SEARCHED = {
    "unique_id": "a/1", "problem": "One half of three?", "answer": "\\frac{3}{2}", "level": 2, "subject": "Algebra",
    "completions": [boxed("1"), MARK + boxed("1.5"), boxed("\\frac32"), "no answer but 7"],
    "scores": [[0.5, 0.4], [0.2, 0.9], [0.8], [0.1, 0.1]], "agg_scores": [0.4, 0.9, 0.8, 0.1],
    "completion_tokens": [0, 0, 0, 0], "pred": MARK + boxed("1.5"),
    "pred_naive@1": "\\boxed{1}", "pred_maj@1": "\\boxed{1}", "pred_weighted@1": "\\boxed{1}",
    "pred_naive@4": "\\boxed{1.5}", "pred_maj@4": "\\boxed{7}", "pred_weighted@4": "\\boxed{3/2}",
}  # fmt: skip
"""search-and-learn: the reference is given twice, in two spellings, and a last number is taken for an answer."""

EVALUATED = {
    "idx": 0, "question": "One and one?", "gt": "2", "type": "Sums", "code": [boxed("2"), boxed("3"), boxed("2.0")],
    "pred": ["2", "3", "2.0"], "report": [None, None, None], "score": [True, False, False],
    "finish_reason": ["stop", "stop", "length"],
}  # fmt: skip
"""Qwen2.5-Math: the third was cut."""


def generated(number: int, answer: str, **fields: Any) -> dict[str, Any]:
    """NeMo-Skills: one solution of problem `number`, whose answer is `number` + 1."""
    return {
        "id": f"n/{number}", "problem": f"{number} and 1?", "expected_answer": str(number + 1), "generation": boxed(answer),
        "predicted_answer": answer, "symbolic_correct": answer == str(number + 1), **fields,
    }  # fmt: skip


def replied(name: str, *contents: str, **fields: Any) -> dict[str, Any]:
    """OpenAI's batch interface: one request, with a choice for each content."""
    choices = [
        {"index": place, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        for place, content in enumerate(contents)
    ]
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 7 * len(contents),
        "prompt_tokens_details": {"cached_tokens": 16},
    }
    body = {"model": "some-model", "choices": choices, "usage": usage}
    return {"id": "r", "custom_id": name, "response": {"status_code": 200, "body": body}, "error": None, **fields}


PLAIN = {
    "key": "p1", "problem": "Two and two?", "answer": 4, "prompt_tokens": 9, "chosen": "4",
    "candidates": [
        {"text": boxed("4"), "score": 0.5, "step_scores": [0.9, 0.5], "tokens": 6, "logprob": -0.25},
        {"text": boxed("5"), "score": 0.7, "step_scores": [0.8, 0.7], "tokens": 8, "answer": "5", "correct": False},
    ],
}  # fmt: skip


def write(path: Path, records: Sequence[Record]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)
