"""Exporters: result rows written as a stream to JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import errno
import itertools
import json
import math
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, Literal

from models.errors import UserError

Format = Literal["jsonl", "csv", "parquet"]
ResultRow = Mapping[str, Any]

_BATCH = 1000
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Characters that JSON may hold as they are, and at which Python's `splitlines` would tear a line of JSON apart."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def write_results(
    rows: Iterable[ResultRow], target: str, format: Format, types: Mapping[str, Any] | None = None
) -> int:
    """Write result rows, one at a time, and return how many there were.

    `target` is a path, or "-" for standard output. A file appears, or replaces the one before it, only when all
    rows are in it. Columns of CSV and Parquet are those of the first row. A cell that a spreadsheet would run as
    a formula is led by ' in CSV; lists and objects are JSON text in CSV and Parquet, but for a list of a type that is
    told. `types` are those of Parquet's columns (str, bool, int, float, datetime, list[float]); the first rows decide
    on the type of any other.

    Raises:
        UserError: the target cannot be written, the disk is full, pyarrow is missing, or a later row does not
            fit the columns or types of the first ones.
    """
    if format == "parquet" and target == "-":
        raise UserError("Parquet is not text: name a file with --output FILE.parquet")
    writers: dict[Format, Callable[[Iterable[ResultRow], IO[bytes]], int]] = {
        "jsonl": _write_jsonl,
        "csv": _write_csv,
        "parquet": partial(_write_parquet, types=types or {}),
    }
    write = writers[format]
    if target == "-":
        sys.stdout.flush()
        with _told("standard output"):
            return write(rows, sys.stdout.buffer)
    with replacing(Path(target)) as stream:
        return write(rows, stream)


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes become `target` at the end, or leave no trace."""
    # A link keeps pointing where it points; a device or a pipe is written to, never replaced by a file.
    place = Path(os.path.realpath(target))
    if place.is_dir():
        raise UserError(f"{target} is a directory; name a file in it")
    if not place.parent.is_dir():
        raise UserError(f"{target}: there is no directory {place.parent}; create it first")
    if place.exists() and not stat.S_ISREG(place.stat().st_mode):
        with _told(target), place.open("wb") as stream:
            yield stream
        return
    draft = place.with_name(f".{place.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with _told(target):
            with draft.open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(draft, place)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _told(target: Path | str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # Whoever read it has seen enough (`| head`): click ends the command without a word.
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{target}: the disk is full; make room or write elsewhere") from None
        raise UserError(
            f"{target} cannot be written: {error.strerror or error}; check the path and its permissions"
        ) from None


def _write_jsonl(rows: Iterable[ResultRow], stream: IO[bytes]) -> int:
    count = 0
    with _as_text(stream) as text:
        for row in rows:
            text.write(_json(row).translate(_LINE_ENDS) + "\n")
            count += 1
    return count


def _write_csv(rows: Iterable[ResultRow], stream: IO[bytes]) -> int:
    count = 0
    columns: list[str] = []
    with _as_text(stream) as text:
        writer = csv.writer(text, lineterminator="\r\n")
        for count, row in enumerate(rows, 1):
            if count == 1:
                columns = list(row)
                writer.writerow([_defused(column) for column in columns])
            _check_columns(row, columns, count)
            writer.writerow([_csv_cell(row.get(column)) for column in columns])
    return count


def _write_parquet(rows: Iterable[ResultRow], stream: IO[bytes], types: Mapping[str, Any]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError("--format parquet needs pyarrow; pip install 'tts-jobs[parquet]'") from None
    count = 0
    remaining = iter(rows)
    batch = list(itertools.islice(remaining, _BATCH))
    columns = list(batch[0] if batch else types)
    told = {
        str: pyarrow.string(), bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64(),
        datetime: pyarrow.timestamp("us", tz="UTC"), list[float]: pyarrow.list_(pyarrow.float64()),
    }  # fmt: skip
    schema = pyarrow.schema(
        [
            pyarrow.field(name, told[types[name]] if name in types else _arrow_type(pyarrow, batch, name))
            for name in columns
        ]
    )
    with parquet.ParquetWriter(stream, schema) as writer:
        while batch:
            for number, row in enumerate(batch, count + 1):
                _check_columns(row, columns, number)
            arrays = [_arrow_array(pyarrow, batch, field, count) for field in schema]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
            count += len(batch)
            batch = list(itertools.islice(remaining, _BATCH))
    return count


def _arrow_type(pyarrow: Any, batch: list[ResultRow], name: str) -> Any:
    """The type of a column: what its values in the first batch share; text where they are all missing."""
    cells = [cell for row in batch if (cell := _arrow_cell(row.get(name))) is not None]
    kinds = {type(cell) for cell in cells}
    if kinds == {int, float}:
        return pyarrow.float64()
    if len(kinds) != 1:
        return pyarrow.string()
    try:
        return pyarrow.array(cells).type
    except (pyarrow.ArrowException, OverflowError):
        return pyarrow.float64() if kinds == {int} else pyarrow.string()


def _arrow_array(pyarrow: Any, batch: list[ResultRow], field: Any, before: int) -> Any:
    values = (row.get(field.name) for row in batch)
    cells = list(values) if pyarrow.types.is_list(field.type) else [_arrow_cell(value) for value in values]
    if pyarrow.types.is_string(field.type):
        cells = [cell if cell is None or isinstance(cell, str) else _json(cell) for cell in cells]
    elif pyarrow.types.is_floating(field.type):
        cells = [float(cell) if isinstance(cell, int) else cell for cell in cells]
    try:
        return pyarrow.array(cells, type=field.type)
    except (pyarrow.ArrowException, OverflowError, TypeError):
        raise UserError(
            f"column {field.name!r} is {field.type} in the first rows and something else "
            f"among rows {before + 1} to {before + len(batch)}; write --format jsonl"
        ) from None


def _arrow_cell(value: object) -> object:
    if isinstance(value, Decimal):
        return _plain(value)
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    return value if value is None or isinstance(value, bool | int | float | date) else _json(value)


def _csv_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _defused(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ""
    return value.isoformat() if isinstance(value, date) else _defused(_json(value))


def _defused(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _PLAIN_NUMBER.fullmatch(text) else text


def _check_columns(row: ResultRow, columns: list[str], number: int) -> None:
    extra = [column for column in row if column not in columns]
    if extra:
        raise UserError(f"row {number} has a column {extra[0]!r} that the first row has not; write --format jsonl")


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=_plain)


def _finite(value: object) -> object:
    """JSON has no infinities: they and NaN become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a result holds a {type(value).__name__}, which has no JSON form")


@contextmanager
def _as_text(stream: IO[bytes]) -> Iterator[TextIOWrapper]:
    # Half a surrogate pair has no UTF-8 form; its escape is also how JSON writes it.
    text = TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="")
    try:
        yield text
        text.flush()
    finally:
        text.detach()
