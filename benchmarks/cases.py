"""The worked cases of other graders: an answer or solution on each side, and whether that grader calls them equal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from models.errors import UserError

Kind = Literal["math", "number", "choice"]


class Source(NamedTuple):
    """Another grader, the file of its cases, and the agreement with ours that we aim at."""

    name: str
    file: str
    aim: float
    full_texts: bool
    """Whether a side may be a solution that the grader searches for its answer."""


SOURCES = (
    Source("Math-Verify", "math_verify_cases.jsonl", 0.95, True),
    Source("lighteval", "lighteval_extractive_cases.jsonl", 0.90, True),
    Source("NeMo-Skills", "nemo_skills_math_equal_cases.jsonl", 0.90, False),
    Source("hendrycks/math", "hendrycks_is_equiv_cases.jsonl", 0.90, False),
    Source("inspect_ai", "inspect_ai_math_cases.json", 0.90, True),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One worked case; `line` counts from 1 in its file, `decimals` is how many places its grader compares."""

    source: str
    line: int
    gold: str
    prediction: str | None
    expected: bool
    kind: Kind
    full_texts: bool
    decimals: int | None


def cases(folder: Path, source: Source) -> list[Case]:
    """The cases of one file.

    Raises:
        UserError: the file is missing, or a case of it cannot be read.
    """
    path = folder / source.file
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; FOLDER must hold the cases of {source.name}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    try:
        return [_case(source, number, row) for number, row in _rows(path, text)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: is not a file of cases ({type(error).__name__}: {error}); it needs gold, pred and expected"
        ) from None


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix == ".json":
        yield from enumerate(json.loads(text), start=1)
    else:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield number, json.loads(line)


def _case(source: Source, line: int, row: dict[str, Any]) -> Case:
    if "target" in row:
        gold, prediction, expected = row["target"], row["output"], row["expected"] == "C"
    else:
        gold, prediction, expected = row["gold"], row["pred"], bool(row["expected"])
    options = row.get("opts") or {}
    return Case(
        source=source.name,
        line=line,
        gold=str(gold),
        prediction=None if prediction is None else str(prediction),
        expected=expected,
        kind=_kind(options.get("match_types", ["latex", "expr"])),
        full_texts=source.full_texts,
        decimals=row.get("precision") or options.get("precision"),
    )


def _kind(searched: list[str]) -> Kind:
    if "NativeLetters" in searched:
        return "choice"
    return "math" if "latex" in searched else "number"
