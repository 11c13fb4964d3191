"""Layouts: the formats of recordings by name, told apart by the fields of their records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.errors import UserError
from models.recorded import Recorded
from scheduler.presets import Record
from scheduler.recordings import nemo_skills, openai_batch, plain, qwen_math, search_and_learn


@dataclass(frozen=True, slots=True)
class Layout:
    """One format. `read` raises ValueError with what is wrong with a record. `fields` are those it cannot do without;
    `joins` tells that several records of one problem are samples of it, and not a mistake."""

    name: str
    recognises: Callable[[Record], bool]
    read: Callable[[Record], Recorded]
    fields: str
    joins: bool = False


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("openai-batch", openai_batch.recognises, openai_batch.read, "custom_id and response", joins=True),
        Layout("search-and-learn", search_and_learn.recognises, search_and_learn.read, "problem and completions"),
        Layout("qwen-math", qwen_math.recognises, qwen_math.read, "question, code and pred", joins=True),
        Layout("nemo-skills", nemo_skills.recognises, nemo_skills.read, "problem, generation and expected_answer", joins=True),
        Layout("plain", plain.recognises, plain.read, "problem and candidates"),
    )
}  # fmt: skip
"""In the order in which they are tried."""


def choose_layout(record: Record, name: str | None, where: str) -> Layout:
    """The layout called `name`, or the one that a recording's first record has.

    Raises:
        UserError: no layout of that name, or none that the record has.
    """
    if name is not None:
        if name not in LAYOUTS:
            raise UserError(f"--format {name}: unknown; choose one of {', '.join(LAYOUTS)}")
        return LAYOUTS[name]
    for layout in LAYOUTS.values():
        if layout.recognises(record):
            return layout
    known = "; ".join(f"{layout.name} ({layout.fields})" for layout in LAYOUTS.values())
    listed = ", ".join(map(repr, record)) or "(none)"
    raise UserError(
        f"{where}: has the fields {listed}, which are those of no known recording: {known}; name its --format"
    )
