"""Presets: how the well-known datasets are laid out, and how their answers are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]
"""One row as the file has it: column name -> value."""

BATCH = "openai-batch"
MESSAGES = "messages"
"""The preset of requests to OpenAI's batch API, and the column that `scheduler.batches` puts their prompts into."""


def last_boxed(text: str) -> str:
    r"""The content of the last `\boxed{...}` (or `\fbox{...}`), braces balanced; `\boxed 7` is read up to a space or $.

    Raises:
        ValueError: there is none, or its braces never close.
    """
    starts = list(re.finditer(r"\\(?:boxed|fbox)(?=[{\s])\s*", text))
    if not starts:
        raise ValueError("has no \\boxed{...}")
    begin = starts[-1].end()
    if not text.startswith("{", begin):
        return re.split(r"[\s$]", text[begin:], maxsplit=1)[0]
    depth = 0
    for token in re.finditer(r"\\.|[{}]", text[begin:], flags=re.DOTALL):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth == 0:
            return text[begin + 1 : begin + token.start()].strip()
    raise ValueError("has a \\boxed{ whose braces never close")


@dataclass(frozen=True, slots=True)
class Preset:
    """How a well-known dataset is laid out.

    Each field lists the columns it may be in; the first that a row fills is taken, except that `joined` prompts
    are all columns with a space between. `choices` are the columns that may list a question's options. `read_answer` takes the answer's column and text and returns the
    reference answer; it raises ValueError with the reason when there is none.
    """

    name: str
    prompt: tuple[str, ...]
    answer: tuple[str, ...]
    recognises: Callable[[Record], bool]
    read_answer: Callable[[str, str], str]
    joined: bool = False
    key: tuple[str, ...] = ()
    subject: tuple[str, ...] = ("subject",)
    level: tuple[str, ...] = ("level",)
    choices: tuple[str, ...] = ()


def _after_hashes(column: str, text: str) -> str:
    _, hashes, answer = text.rpartition("#### ")
    if not hashes or not answer.strip():
        raise ValueError('has no answer after "#### "')
    return answer.strip().replace(",", "")


def _boxed_in_solution(column: str, text: str) -> str:
    return last_boxed(text) if column == "solution" else text


def _boxed_if_any(column: str, text: str) -> str:
    return last_boxed(text) if column == "solution" and "\\boxed" in text else text


def _whole_if_integral(column: str, text: str) -> str:
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", text.strip())


def _as_it_is(column: str, text: str) -> str:
    return text


def _is_request(record: Record) -> bool:
    return {"custom_id", MESSAGES} <= record.keys()


def _is_gsm8k(record: Record) -> bool:
    return "question" in record and "#### " in str(record.get("answer"))


def _is_math(record: Record) -> bool:
    boxed = "\\boxed" in str(record.get("solution"))
    tagged = any(column in record for column in ("level", "subject", "type", "unique_id"))
    return "problem" in record and (("answer" in record and tagged) or ("answer" not in record and boxed))


def _is_aime(record: Record) -> bool:
    return ("problem" in record or "question" in record) and "answer" in record and "url" in record


def _is_svamp(record: Record) -> bool:
    return {"Body", "Question", "Answer"} <= record.keys()


def _is_choice(record: Record) -> bool:
    asked = any(column in record for column in ("question", "prompt", "input"))
    return asked and any(isinstance(record.get(column), list | dict) for column in ("choices", "options"))


def _is_generic(record: Record) -> bool:
    return any(column in record for column in ("prompt", "problem", "question", "input"))


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(BATCH, (MESSAGES,), ("answer",), _is_request, _as_it_is, key=("custom_id",)),
        Preset("gsm8k", ("question",), ("answer",), _is_gsm8k, _after_hashes),
        Preset(
            "math",
            ("problem",),
            ("answer", "solution"),
            _is_math,
            _boxed_in_solution,
            key=("unique_id", "id"),
            subject=("subject", "type"),
        ),
        # No key: collections of several contests number the problems of each from 0.
        Preset("aime", ("problem", "question"), ("answer",), _is_aime, _as_it_is),
        Preset(
            "svamp",
            ("Body", "Question"),
            ("Answer",),
            _is_svamp,
            _whole_if_integral,
            joined=True,
            key=("ID",),
            subject=("Type",),
        ),
        Preset(
            "choice",
            ("question", "prompt", "input"),
            ("answer", "answerKey", "target", "label"),
            _is_choice,
            _as_it_is,
            key=("id", "key"),
            choices=("choices", "options"),
        ),
        Preset(
            "generic",
            ("prompt", "problem", "question", "input"),
            ("answer", "target", "solution"),
            _is_generic,
            _boxed_if_any,
            key=("id", "key"),
        ),
    )
}
"""From the most specific to the least: the first that recognises a row is taken."""
