"""Fields: which columns of a dataset hold the prompt, the answer, the key, the subject, the level and the options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from functools import cached_property
from typing import Any

from models.errors import UserError
from scheduler.options import Options, read_options
from scheduler.presets import PRESETS, Preset, Record

_LONGEST_NUMBER = 64
"""Digits up to which a whole number such as 1e20 is written out; beyond, it keeps its exponent."""


@dataclass(frozen=True, slots=True)
class Row:
    """One problem of a dataset.

    `number` is the line it starts on (JSON lines, CSV) or its place in the array or table, from 1. `key` is
    the row's own id, or `str(number)` where the dataset has none.
    """

    number: int
    key: str
    prompt: str
    answer: str | None
    subject: str | None
    level: str | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used; `reason` is a clause without the number, such as "column 'question' is empty"."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class FieldMap:
    """The column for each field, None where it is not mapped."""

    prompt: str | None = None
    answer: str | None = None
    key: str | None = None
    subject: str | None = None
    level: str | None = None
    choices: str | None = None


TARGETS = tuple(field.name for field in fields(FieldMap))


def parse_field_options(options: Iterable[str]) -> FieldMap:
    """Read `--field TARGET=COLUMN` options.

    Raises:
        UserError: an option has no `=`, an unknown target, no column, or a target given twice.
    """
    columns: dict[str, str] = {}
    for option in options:
        target, equals, column = option.partition("=")
        if not equals or not column:
            raise UserError(f"--field {option}: write TARGET=COLUMN, for example --field prompt=question")
        if target not in TARGETS:
            raise UserError(f"--field {option}: unknown field {target!r}; the fields are {', '.join(TARGETS)}")
        if target in columns:
            raise UserError(f"--field {option}: {target} is already mapped to {columns[target]!r}; give it once")
        columns[target] = column
    return FieldMap(**columns)


def text_of(value: object) -> str | None:
    """A cell as text: numbers exactly as they are worth (18.0 is "18", 0.50 is "0.5"), None where it is empty.

    Raises:
        ValueError: the value is a list, an object, a boolean or infinite, or its text cannot be stored.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("holds a NUL character")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("holds half of a surrogate pair, which is not valid Unicode text")
        return value if value.strip() else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"is {_kind(value)}, not text or a number")
    if isinstance(value, int):
        return str(value)
    return _decimal_text(Decimal(repr(value)) if isinstance(value, float) else value)


@dataclass(frozen=True)
class Columns:
    """What is read of every row: a preset's columns, with mapped ones in their place, or mapped ones alone."""

    preset: Preset | None
    mapped: FieldMap

    @cached_property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The columns in which each field is looked for, by field."""
        found: dict[str, tuple[str, ...]] = {}
        for target in TARGETS:
            column = getattr(self.mapped, target)
            found[target] = (column,) if column is not None else getattr(self.preset, target, ())
        return found

    @cached_property
    def joined(self) -> bool:
        """Whether the prompt is all of its columns, not the first that is filled."""
        return self.preset is not None and self.preset.joined and self.mapped.prompt is None

    def row(self, number: int, record: object) -> Row | BadRow:
        """The problem in one record; anything that makes it unusable is told in a BadRow."""
        if not isinstance(record, Mapping):
            return BadRow(number, f"is {_kind(record)}, not an object with named fields")
        try:
            prompt, options = self._prompt(record), self._options(record)
            key = self._cell(record, "key")[1]
            if key is None and self.mapped.key is not None:
                raise ValueError(
                    f"column {self.mapped.key!r} is {_absence(record, self.mapped.key)}, but it is the key"
                )
            return Row(
                number=number,
                key=str(number) if key is None else key,
                prompt=prompt if options is None else options.asked(prompt),
                answer=self._answer(record, options),
                subject=self._cell(record, "subject")[1],
                level=self._cell(record, "level")[1],
            )
        except ValueError as error:
            return BadRow(number, str(error))

    def identity(self) -> dict[str, Any]:
        """What decides how rows are read, for hashing."""
        return {"preset": self.preset and self.preset.name, **asdict(self.mapped)}

    def describe(self, present: Iterable[str]) -> str:
        """Where each field is read from, for a person: "preset gsm8k: prompt from question, ..."."""
        here = set(present)
        parts = []
        for target in TARGETS:
            found = [column for column in self.names[target] if column in here]
            joined = (
                target == "prompt" and self.mapped.prompt is None and self.preset is not None and self.preset.joined
            )
            parts += [f"{target} from {' + '.join(found) if joined else found[0]}"] if found else []
        listed = ", ".join(parts) + ("" if set(self.names["answer"]) & here else ", no reference answers")
        return listed if self.preset is None else f"preset {self.preset.name}: {listed}"

    def _prompt(self, record: Record) -> str:
        columns = self.names["prompt"]
        if self.joined:
            return " ".join(_prompt_text(record, column).strip() for column in columns)
        if len(columns) > 1 and not any(column in record for column in columns):
            raise ValueError(f"none of the columns {', '.join(map(repr, columns))} is there for the prompt")
        return _prompt_text(record, next((column for column in columns if record.get(column) is not None), columns[0]))

    def _options(self, record: Record) -> Options | None:
        """None where the row has no column of options; one that is mapped must be there."""
        column = next((name for name in self.names["choices"] if record.get(name) is not None), None)
        if column is None:
            if self.mapped.choices is not None:
                raise ValueError(f"column {self.mapped.choices!r} is {_absence(record, self.mapped.choices)}")
            return None
        try:
            return read_options(record[column])
        except ValueError as error:
            raise ValueError(f"column {column!r} {error}") from None

    def _answer(self, record: Record, options: Options | None) -> str | None:
        column, text = self._cell(record, "answer")
        if text is not None and options is not None:
            try:
                text = text_of(options.answer(record[column]))
            except ValueError as error:
                raise ValueError(f"column {column!r} {error}") from None
        if text is None or self.preset is None:
            return text
        try:
            return self.preset.read_answer(column, text)
        except ValueError as error:
            raise ValueError(f"column {column!r} {error}") from None

    def _cell(self, record: Record, target: str) -> tuple[str, str | None]:
        for column in self.names[target]:
            text = _text(record, column)
            if text is not None:
                return column, text
        return "", None


def choose_columns(record: Record, mapped: FieldMap, preset: str | None, source: str) -> Columns:
    """Decide how a dataset is read, from its first usable record.

    A preset is read as it is laid out, with mapped columns in place of its own; a mapping that has a prompt
    stands alone; otherwise the preset is recognised.

    Raises:
        UserError: unknown preset, a column that is not there, or nothing recognised; it names the columns found.
    """
    there = f"{source} has the columns {', '.join(map(repr, record)) or '(none)'}"
    for target in TARGETS:
        column = getattr(mapped, target)
        if column is not None and column not in record:
            raise UserError(f"--field {target}={column}: there is no column {column!r}; {there}")
    if preset is not None:
        if preset not in PRESETS:
            raise UserError(f"--preset {preset}: unknown preset; the presets are {', '.join(PRESETS)}")
        columns = Columns(PRESETS[preset], mapped)
        needed = columns.names["prompt"]
        missing = [column for column in needed if column not in record]
        if missing and (columns.joined or len(missing) == len(needed)):
            wanted = (" and " if columns.joined else " or ").join(map(repr, needed))
            raise UserError(f"--preset {preset}: it reads the prompt from {wanted}, but {there}")
        return columns
    if mapped.prompt is not None:
        return Columns(None, mapped)
    return Columns(_recognise(record, mapped, there), mapped)


def _recognise(record: Record, mapped: FieldMap, there: str) -> Preset:
    cure = "say which to read with --field prompt=COLUMN --field answer=COLUMN"
    for target in ("prompt", "answer"):
        alternatives = [column for column in getattr(PRESETS["generic"], target) if record.get(column) is not None]
        if target == "answer":
            # A worked solution beside a short answer is the usual layout, not a second answer.
            alternatives = [] if mapped.answer else [column for column in alternatives if column != "solution"]
        if len({str(record[column]) for column in alternatives}) > 1:
            raise UserError(
                f"{there}, of which {' and '.join(map(repr, alternatives))} may each be the {target}; {cure}"
            )
    for preset in PRESETS.values():
        if preset.recognises(record):
            return preset
    raise UserError(f"{there}, none of them known to be the prompt; {cure}")


def _prompt_text(record: Record, column: str) -> str:
    value = record.get(column)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"column {column!r} is {_kind(value)}, but the prompt must be text")
    text = _text(record, column)
    if text is None:
        raise ValueError(f"column {column!r} is {_absence(record, column)}, but it is the prompt")
    return text


def _text(record: Record, column: str) -> str | None:
    try:
        return text_of(record.get(column))
    except ValueError as error:
        raise ValueError(f"column {column!r} {error}") from None


def _absence(record: Record, column: str) -> str:
    return "empty" if record.get(column) is not None else "missing"


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float | Decimal):
        return "a number"
    return {type(None): "null", str: "text", list: "a list", dict: "an object"}.get(type(value), type(value).__name__)


def _decimal_text(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError("is not a finite number")
    if value == 0:
        return "0"
    if abs(value.adjusted()) > _LONGEST_NUMBER:
        return str(value)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
