"""Result rows as files: whole or not at all, safe to open in a spreadsheet, and read back as they were."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from cli.exporters import Format, write_results
from models.errors import UserError

FORMATS: tuple[Format, ...] = ("jsonl", "csv", "parquet")
WHEN = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {"key": "1", "answer": "x ≠ 2", "score": 0.25, "tokens": 7, "right": True, "steps": [0.5, 0.25], "at": WHEN},
    {"key": "2", "answer": None, "score": None, "tokens": None, "right": None, "steps": None, "at": None},
]


def many(count: int) -> Iterator[dict[str, Any]]:
    return ({"key": str(number), "answer": "y" * 200, "score": number / count} for number in range(count))


def broken_off() -> Iterator[dict[str, Any]]:
    yield from many(5000)
    raise KeyboardInterrupt


def test_json_lines_are_read_back_as_they_were(tmp_path: Path) -> None:
    target = tmp_path / "results.jsonl"
    assert write_results(ROWS, str(target), "jsonl") == 2
    first, second = map(json.loads, target.read_text().splitlines())
    assert first == {**ROWS[0], "at": "2026-03-01T12:30:00+00:00"}
    assert second == ROWS[1]
    assert "≠" in target.read_text()


def test_a_line_of_json_is_one_line_to_every_reader(tmp_path: Path) -> None:
    target = tmp_path / "results.jsonl"
    row = {"answer": "a\u2028b\u2029c\x85d\x0be\x1cf\r\ng"}
    write_results([row], str(target), "jsonl")
    (line,) = target.read_text().splitlines()
    assert json.loads(line) == row


def test_csv_cells_are_text(tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    assert write_results(ROWS, str(target), "csv") == 2
    with target.open(newline="") as stream:
        header, first, second = csv.reader(stream)
    assert header == list(ROWS[0])
    assert first == ["1", "x ≠ 2", "0.25", "7", "true", "[0.5, 0.25]", "2026-03-01T12:30:00+00:00"]
    assert second == ["2", "", "", "", "", "", ""]


def test_parquet_keeps_types_and_nulls(tmp_path: Path) -> None:
    target = tmp_path / "results.parquet"
    assert write_results(ROWS, str(target), "parquet") == 2
    table = parquet.read_table(target)
    assert [str(kind) for kind in table.schema.types] == [
        "string", "string", "double", "int64", "bool", "string", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    assert table.to_pylist() == [{**ROWS[0], "steps": "[0.5, 0.25]"}, ROWS[1]]


def test_parquet_columns_that_start_missing_are_text(tmp_path: Path) -> None:
    target = tmp_path / "results.parquet"
    rows = [{"n": number, "late": None if number < 1500 else number} for number in range(2500)]
    assert write_results(rows, str(target), "parquet") == 2500
    late = parquet.read_table(target).column("late").to_pylist()
    assert (late[1499], late[1500], late[2499]) == (None, "1500", "2499")


def test_parquet_numbers_that_are_mixed_are_doubles(tmp_path: Path) -> None:
    target = tmp_path / "results.parquet"
    write_results(
        [{"n": 1, "big": 2**70}, {"n": 0.5, "big": 3}, {"n": Decimal("2.5"), "big": None}], str(target), "parquet"
    )
    table = parquet.read_table(target)
    assert table.column("n").to_pylist() == [1.0, 0.5, 2.5]
    assert table.column("big").to_pylist() == [2.0**70, 3.0, None]


def test_parquet_types_that_are_told_need_no_first_rows(tmp_path: Path) -> None:
    target = tmp_path / "results.parquet"
    types = {"n": int, "steps": list[float], "other": str}
    rows = [{"n": None, "steps": None, "more": 1}] * 1500 + [{"n": 3, "steps": [1, None, 0.5], "more": 2}]
    assert write_results(rows, str(target), "parquet", types) == 1501
    table = parquet.read_table(target)
    assert table.to_pylist()[-1] == {"n": 3, "steps": [1.0, None, 0.5], "more": 2}
    write_results([], str(target), "parquet", types)
    assert parquet.read_table(target).column_names == ["n", "steps", "other"]


def test_a_parquet_column_that_changes_its_type_is_named(tmp_path: Path) -> None:
    rows = [{"n": number if number < 1200 else "many"} for number in range(1300)]
    with pytest.raises(UserError, match=r"column 'n' is int64 in the first rows .* rows 1001 to 1300"):
        write_results(rows, str(tmp_path / "results.parquet"), "parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_no_rows_make_a_file_without_rows(tmp_path: Path, format: Format) -> None:
    target = tmp_path / "results"
    assert write_results([], str(target), format) == 0
    assert parquet.read_table(target).num_rows == 0 if format == "parquet" else target.read_bytes() == b""


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-2x", "'-2x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-5", "-5"),
        ("+.5e-3", "+.5e-3"),
        ("-12.", "-12."),
        ("-", "'-"),
        ("-5\n", "'-5\n"),
        ("-\u0663", "'-\u0663"),
        ("1=1", "1=1"),
        ("it's", "it's"),
        (-0.5, "-0.5"),
        (float("-inf"), ""),
        (Decimal("-3.0"), "-3"),
    ],
)
def test_a_cell_that_a_spreadsheet_would_run_is_defused(tmp_path: Path, text: object, cell: str) -> None:
    target = tmp_path / "results.csv"
    write_results([{"key": "1", "answer": text}], str(target), "csv")
    with target.open(newline="") as stream:
        assert list(csv.reader(stream))[1] == ["1", cell]


def test_a_column_that_a_spreadsheet_would_run_is_defused(tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    write_results([{"=1+1": "x"}], str(target), "csv")
    assert target.read_bytes() == b"'=1+1\r\nx\r\n"


def test_json_has_no_infinities(tmp_path: Path) -> None:
    target = tmp_path / "results.jsonl"
    write_results([{"a": float("nan"), "b": [float("inf"), {"c": 1.5}], "d": Decimal("NaN")}], str(target), "jsonl")
    assert json.loads(target.read_text()) == {"a": None, "b": [None, {"c": 1.5}], "d": None}


@pytest.mark.parametrize("format", FORMATS)
def test_half_a_surrogate_pair_does_not_stop_an_export(tmp_path: Path, format: Format) -> None:
    target = tmp_path / "results"
    assert write_results([{"answer": "a\ud800"}], str(target), format) == 1
    if format == "jsonl":
        assert json.loads(target.read_text()) == {"answer": "a\ud800"}


def test_a_later_column_is_named(tmp_path: Path) -> None:
    for format in ("csv", "parquet"):
        with pytest.raises(UserError, match="row 2 has a column 'b' that the first row has not"):
            write_results([{"a": 1}, {"a": 1, "b": 2}], str(tmp_path / "results"), format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_an_interrupted_export_leaves_the_old_file(tmp_path: Path, format: Format) -> None:
    target = tmp_path / "results"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_results(broken_off(), str(target), format)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("format", FORMATS)
def test_a_write_that_fails_halfway_leaves_the_old_file(tmp_path: Path, format: Format) -> None:
    target = tmp_path / "results"
    target.write_text("old")
    script = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "import os\n"
        "from cli.exporters import write_results\n"
        "from models.errors import UserError\n"
        "rows = ({'key': str(n), 'answer': os.urandom(100).hex()} for n in range(5000))\n"
        "try:\n"
        f"    write_results(rows, sys.argv[1], {format!r})\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(target)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"{target} cannot be written: File too large; check the path and its permissions\n"
    assert done.stderr == ""
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_one_sentence(format: Format) -> None:
    with pytest.raises(UserError, match=r"^/dev/full: the disk is full; make room or write elsewhere$"):
        write_results(many(5000), "/dev/full", format)
    assert Path("/dev/full").is_char_device()


def test_a_device_is_written_to_and_not_replaced() -> None:
    assert write_results(ROWS, os.devnull, "jsonl") == 2
    assert Path(os.devnull).is_char_device()


def test_a_link_keeps_pointing_at_its_file(tmp_path: Path) -> None:
    real = tmp_path / "real.jsonl"
    real.write_text("old")
    link = tmp_path / "link.jsonl"
    link.symlink_to(real)
    write_results([{"a": 1}], str(link), "jsonl")
    assert link.is_symlink()
    assert real.read_text() == '{"a": 1}\n'


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a directory"):
        write_results(ROWS, str(tmp_path), "jsonl")
    with pytest.raises(UserError, match=f"there is no directory {re.escape(str(tmp_path / 'none'))}"):
        write_results(ROWS, str(tmp_path / "none" / "results.jsonl"), "jsonl")


def test_the_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_results(ROWS, str(tmp_path / "results.jsonl"), "jsonl")
    assert (tmp_path / "results.jsonl").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_standard_output_stays_open(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert write_results([{"a": 1}], "-", "jsonl") == 1
    assert write_results([{"a": "é"}], "-", "csv") == 1
    print("after")
    assert capsysbinary.readouterr().out == b'{"a": 1}\na\r\n\xc3\xa9\r\nafter\n'


def test_parquet_is_not_for_standard_output() -> None:
    with pytest.raises(UserError, match="name a file"):
        write_results(ROWS, "-", "parquet")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'tts-jobs\[parquet\]'"):
        write_results(ROWS, str(tmp_path / "results.parquet"), "parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, format: Format) -> None:
    write_results(many(10), str(tmp_path / "warm"), format)
    tracemalloc.start()
    try:
        assert write_results(many(20_000), str(tmp_path / "results"), format) == 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20
