"""File formats: JSON lines, JSON, CSV and Parquet as streams of numbered rows."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import IO, Any

import ijson

from models.errors import UserError
from scheduler.fields import BadRow

Item = tuple[int, object | BadRow]
"""A row's number and what the file has there."""

LONGEST_LINE = 16 * 2**20
"""Bytes; a longer line of JSON or CSV field is refused, so that one line cannot fill the memory."""

_DEEPEST = 64
_NESTING = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror or error}; check the file and its permissions"
        ) from None


def _json_lines(path: Path) -> Generator[Item]:
    with reading(path) as stream:
        yield from _lines(stream)


def _packed_json_lines(path: Path) -> Generator[Item]:
    with reading(path) as stream, gzip.GzipFile(fileobj=stream) as unpacked:
        try:
            yield from _lines(unpacked)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{path} is not a whole gzip archive ({error}); make or download it again") from None


def _lines(stream: IO[bytes] | gzip.GzipFile) -> Generator[Item]:
    for number in itertools.count(1):
        line = stream.readline(LONGEST_LINE)
        if not line:
            return
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield number, BadRow(number, f"is longer than {LONGEST_LINE // 2**20} MiB")
            continue
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if line.strip():
            yield number, _json_of(number, line)


def _json_of(number: int, line: bytes) -> object | BadRow:
    if b"\0" in line:
        return BadRow(number, f"holds a NUL byte at byte {line.index(0) + 1}")
    try:
        text = line.rstrip().decode("utf-8")
    except UnicodeDecodeError as error:
        return BadRow(number, f"is not valid UTF-8 (byte {error.start + 1}: {line[error.start]:#04x})")
    try:
        value: object = _DECODER.decode(text)
        return value
    except json.JSONDecodeError as error:
        return BadRow(number, f"is not valid JSON: {error.msg} (character {error.pos + 1})")
    except RecursionError:
        return BadRow(number, "is not usable JSON: it is nested too deeply")
    except ValueError as error:
        return BadRow(number, f"is not usable JSON: {_plainer(str(error))}")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value, write null")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)


def _plainer(reason: str) -> str:
    """Python's refusal to read whole numbers of thousands of digits, in words that help."""
    return "a number is too long" if "integer string conversion" in reason else reason


def _json_array(path: Path) -> Generator[Item]:
    number = 0
    with reading(path) as stream:
        stream.seek(len(codecs.BOM_UTF8) if stream.read(3) == codecs.BOM_UTF8 else 0)
        try:
            for number, item in enumerate(_elements(ijson.basic_parse(stream), str(path)), 1):
                yield number, item
        # ijson's C parser can wrap Python's refusal of a long number in a SystemError.
        except (ijson.JSONError, ValueError, SystemError) as error:
            reason = re.split(r"\\n|\n", str(error).removeprefix("b'"), maxsplit=1)[0]
            why = "a number is too long" if isinstance(error, SystemError) else _plainer(reason)
            raise UserError(f"{path} is broken JSON after row {number}: {why}; correct or complete the file") from None


def _elements(events: Iterator[tuple[str, Any]], label: str) -> Generator[object]:
    """The elements of the top-level array, or of the array in `data` or `problems`, one at a time."""
    kind, _ = next(events)
    if kind == "start_map":
        _enter_array(events, label)
    elif kind != "start_array":
        raise UserError(f"{label} holds a single value; a JSON dataset is an array of objects")
    depth, builder = 0, ijson.ObjectBuilder()
    for kind, value in events:
        depth += _NESTING.get(kind, 0)
        if depth < 0:
            break
        if depth > _DEEPEST:
            raise UserError(f"{label} is nested more than {_DEEPEST} levels deep; a dataset's rows are flat objects")
        builder.event(kind, value)
        if depth == 0:
            yield builder.value
            builder = ijson.ObjectBuilder()
    for _ in events:  # so that the parser checks what follows the array
        pass


def _enter_array(events: Iterator[tuple[str, Any]], label: str) -> None:
    """Move to the start of the array under `data` or `problems` of the object that has just begun."""
    depth, key = 1, ""
    for kind, value in events:
        if kind == "map_key" and depth == 1:
            key = value
        elif kind == "start_array" and depth == 1 and key in ("data", "problems"):
            return
        depth += _NESTING.get(kind, 0)
        if depth == 0:
            break
    raise UserError(
        f"{label} is an object without an array named data or problems; "
        "give an array of objects, or rename it to .jsonl if each line is an object"
    )


def _table(delimiter: str, path: Path) -> Generator[Item]:
    csv.field_size_limit(LONGEST_LINE)
    # Invalid bytes become lone surrogates, so that the row they are in can be named and the rest be read.
    with reading(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if header is None or "unexpected end" in str(error) or "field larger" in str(error):
                    raise UserError(f"{path} line {number}: {error}; is a quote there never closed?") from None
                yield number, BadRow(number, f"is not valid CSV: {error}")
                continue
            if not cells:
                continue
            if header is None:
                header = _checked_header(cells, path, number)
            else:
                yield number, _cells(number, header, cells)


def _checked_header(cells: list[str], path: Path, number: int) -> list[str]:
    twice = sorted({cell for cell in cells if cell and cells.count(cell) > 1})
    if twice:
        raise UserError(f"{path} line {number}: column {twice[0]!r} is there twice; rename one")
    return cells


def _cells(number: int, header: list[str], cells: list[str]) -> object | BadRow:
    if len(cells) != len(header):
        return BadRow(number, f"has {len(cells)} columns where the header has {len(header)}")
    for name, cell in zip(header, cells, strict=True):
        if not cell.isascii() and any("\udc80" <= character <= "\udcff" for character in cell):
            return BadRow(number, f"is not valid UTF-8 in column {name!r}")
        if "\0" in cell:
            return BadRow(number, f"holds a NUL byte in column {name!r}")
    return dict(zip(header, cells, strict=True))


def _parquet(path: Path) -> Generator[Item]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(f"{path}: Parquet needs pyarrow; pip install 'tts-jobs[parquet]'") from None
    with reading(path) as stream:
        try:
            with parquet.ParquetFile(stream) as table:
                numbers = itertools.count(1)
                for batch in table.iter_batches(batch_size=256):
                    yield from zip(numbers, batch.to_pylist(), strict=False)
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"{path} is not readable Parquet: {reason}; make or download it again") from None


FORMATS: dict[str, tuple[str, str, Callable[[Path], Generator[Item]]]] = {
    ".jsonl": ("jsonl", "line", _json_lines),
    ".ndjson": ("jsonl", "line", _json_lines),
    ".jsonl.gz": ("jsonl", "line", _packed_json_lines),
    ".ndjson.gz": ("jsonl", "line", _packed_json_lines),
    ".json": ("json", "row", _json_array),
    ".csv": ("csv", "line", partial(_table, ",")),
    ".tsv": ("tsv", "line", partial(_table, "\t")),
    ".parquet": ("parquet", "row", _parquet),
}
FORMAT_LIST = ", ".join(FORMATS)
