"""Datasets as streams: every format gives the same rows, bad rows are named, and memory stays where it is."""

from __future__ import annotations

import gc
import gzip
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from models.errors import UserError
from scheduler import formats
from scheduler.readers import BadRow, FieldMap, Row, open_dataset

PROBLEMS = [
    {"question": "Two and two?", "answer": "2 + 2 = 4\n#### 4"},
    {"question": 'A "quoted", comma\nand line?', "answer": "#### 1,250"},
    {"question": "Drei ≠ drü?", "answer": "#### 0.5"},
]
ANSWERS = ["4", "1250", "0.5"]


def lines(problems: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(problem, ensure_ascii=False) + "\n" for problem in problems).encode()


def separated(mark: str) -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    rows = [["question", "answer"], *([cell(row["question"]), cell(row["answer"])] for row in PROBLEMS)]
    return "\r\n".join(mark.join(row) for row in rows).encode()


def parquet_bytes() -> bytes:
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(PROBLEMS), sink)
    return bytes(sink.getvalue())


FILES: dict[str, Callable[[], bytes]] = {
    "p.jsonl": lambda: lines(PROBLEMS),
    "p.ndjson": lambda: b"\xef\xbb\xbf" + lines(PROBLEMS).replace(b"\n", b"\r\n\r\n"),
    "p.jsonl.gz": lambda: gzip.compress(lines(PROBLEMS)),
    "p.ndjson.gz": lambda: gzip.compress(lines(PROBLEMS)),
    "p.json": lambda: json.dumps(PROBLEMS, indent=2).encode(),
    "data.json": lambda: json.dumps({"meta": {"data": [1]}, "data": PROBLEMS, "more": []}).encode(),
    "problems.json": lambda: b"\xef\xbb\xbf" + json.dumps({"problems": PROBLEMS}).encode(),
    "p.csv": lambda: separated(","),
    "bom.CSV": lambda: b"\xef\xbb\xbf" + separated(","),
    "p.tsv": lambda: separated("\t"),
    "p.parquet": parquet_bytes,
}


def write(folder: Path, name: str, content: bytes | str) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    reader = open_dataset(write(tmp_path, name, FILES[name]()))
    for _ in range(2):
        rows = list(reader.rows())
        assert [(row.prompt, row.answer) for row in rows if isinstance(row, Row)] == [
            (problem["question"], answer) for problem, answer in zip(PROBLEMS, ANSWERS, strict=True)
        ]
    assert reader.name == name.split(".")[0]
    assert "preset gsm8k: prompt from question, answer from answer" in reader.describe()


def test_rows_are_numbered_by_the_line_they_start_on(tmp_path: Path) -> None:
    table = open_dataset(write(tmp_path, "p.csv", 'prompt,answer\n"a\nb",1\n\nc,2\n'))
    assert [(row.number, row.key) for row in table.rows() if isinstance(row, Row)] == [(2, "2"), (5, "5")]
    stream = open_dataset(write(tmp_path, "p.jsonl", '\n{"prompt":"a"}\n\n{"prompt":"b"}'))
    assert [row.number for row in stream.rows()] == [2, 4]
    array = open_dataset(write(tmp_path, "p.json", '[\n\n{"prompt":"a"},\n{"prompt":"b"}]'))
    assert [row.number for row in array.rows()] == [1, 2]
    assert stream.where(4) == f"{tmp_path / 'p.jsonl'} line 4"
    assert array.where(2) == f"{tmp_path / 'p.json'} row 2"


def test_numbers_keep_their_exact_value(tmp_path: Path) -> None:
    content = '{"prompt":"a","answer":18.0}\n{"prompt":"b","answer":0.1000000000000000055}\n{"prompt":"c","answer":7}'
    array = "[" + content.replace("\n", ",") + "]"
    for name, text in (("p.jsonl", content), ("p.json", array)):
        rows = open_dataset(write(tmp_path, name, text)).rows()
        assert [row.answer for row in rows if isinstance(row, Row)] == ["18", "0.1000000000000000055", "7"]
    table = pyarrow.table({"prompt": ["a", "b", "c"], "answer": [18.0, 0.5, None]})
    parquet.write_table(table, tmp_path / "p.parquet")
    rows = open_dataset(str(tmp_path / "p.parquet")).rows()
    assert [row.answer for row in rows if isinstance(row, Row)] == ["18", "0.5", None]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prompt": "b"', "is not valid JSON: Expecting ',' delimiter (character 15)"),
        (b'"b"', "is text, not an object with named fields"),
        (b'{"prompt": ""}', "column 'prompt' is empty, but it is the prompt"),
        (b'{"prompt": "b\xff"}', "is not valid UTF-8 (byte 14: 0xff)"),
        (b'{"prompt": "b\0"}', "holds a NUL byte at byte 14"),
        (b'{"prompt": "b\\u0000"}', "column 'prompt' holds a NUL character"),
        (b'{"prompt": "b", "answer": NaN}', "is not usable JSON: NaN is not a JSON value, write null"),
        (b"[" * 200_000, "is not usable JSON: it is nested too deeply"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(tmp_path: Path, line: bytes, reason: str) -> None:
    content = b'{"prompt": "a"}\n' + line + b'\n{"prompt": "c"}\n'
    rows = list(open_dataset(write(tmp_path, "p.jsonl", content)).rows())
    assert rows[1] == BadRow(2, reason)
    assert [row.number for row in rows if isinstance(row, Row)] == [1, 3]


def test_a_number_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    row = '{"prompt": "b", "answer": ' + "9" * 5000 + "}"
    bad = list(open_dataset(write(tmp_path, "p.jsonl", '{"prompt": "a"}\n' + row)).rows())[1]
    assert bad == BadRow(2, "is not usable JSON: a number is too long")
    array = open_dataset(write(tmp_path, "p.json", '[{"prompt": "a"},' + " " * 2**17 + row + "]"))
    with pytest.raises(UserError, match=r"broken JSON after row 1: a number is too long"):
        list(array.rows())


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LONGEST_LINE", 2**20)
    content = b'{"prompt": "a"}\n{"prompt": "' + b"x" * 3 * 2**20 + b'"}\n{"prompt": "c"}\n'
    rows = list(open_dataset(write(tmp_path, "p.jsonl", content)).rows())
    assert rows[1] == BadRow(2, "is longer than 1 MiB")
    assert [row.number for row in rows] == [1, 2, 3]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"b,1,2", "has 3 columns where the header has 2"),
        (b"b", "has 1 columns where the header has 2"),
        (b"b\xff,1", "is not valid UTF-8 in column 'prompt'"),
        (b"b\0,1", "holds a NUL byte in column 'prompt'"),
        (b'"b" c,1', "is not valid CSV: ',' expected after '\"'"),
        (b" ,1", "column 'prompt' is empty, but it is the prompt"),
    ],
)
def test_a_bad_csv_line_is_named_and_the_others_are_read(tmp_path: Path, line: bytes, reason: str) -> None:
    rows = list(open_dataset(write(tmp_path, "p.csv", b"prompt,answer\na,1\n" + line + b"\nc,\n")).rows())
    assert rows == [Row(2, "2", "a", "1", None, None), BadRow(3, reason), Row(4, "4", "c", None, None, None)]


def test_big_csv_fields_are_read(tmp_path: Path) -> None:
    (row,) = open_dataset(write(tmp_path, "p.csv", "prompt\n" + "x" * 500_000)).rows()
    assert isinstance(row, Row)
    assert len(row.prompt) == 500_000


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", 'prompt,answer\na,1\n"b,2\nc,3\n', "line 3: .*is a quote there never closed"),
        ("p.json", '[{"prompt": "a"}, {"prompt": "b"}, {"prom', "broken JSON after row 2: parse error: premature EOF"),
        ("p.json", '[{"prompt": "a"}] more', "broken JSON after row 1: parse error: trailing garbage"),
        ("p.json", b'[{"prompt": "a"}, {"prompt": "\xff"}]', "broken JSON after row 1: lexical error: invalid bytes"),
        ("p.json", '[{"prompt": "a"},' + "[" * 5000, "nested more than 64 levels deep"),
        ("p.jsonl.gz", gzip.compress(b'{"prompt": "a"}\n' * 9)[:-9], "not a whole gzip archive"),
        ("p.jsonl.gz", gzip.compress(b'{"prompt": "a"}\n') + b"tail", "not a whole gzip archive"),
    ],
)
def test_a_file_that_breaks_off_is_refused_with_one_sentence(
    tmp_path: Path, name: str, content: bytes | str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        list(open_dataset(write(tmp_path, name, content)).rows())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.txt", "x", "unknown format; name a file that ends in .jsonl, .ndjson, .jsonl.gz"),
        ("p.jsonl", "", "is empty"),
        ("p.jsonl", " \n\n", "has no rows"),
        ("p.jsonl.gz", gzip.compress(b""), "has no rows"),
        ("p.csv", "prompt,answer\n", "has no rows"),
        ("p.json", "[]", "has no rows"),
        ("p.json", " ", "broken JSON after row 0"),
        ("p.json", '{"prompt": "a"}', "rename it to .jsonl if each line is an object"),
        ("p.json", '"a"', "a JSON dataset is an array of objects"),
        ("p.json", "[1, 2]", "row 1: is not an object with named fields"),
        ("p.jsonl", "plain text\nmore", "line 1: is not valid JSON"),
        ("p.jsonl", '{"prompt": "a"}\n'.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("p.csv", "prompt,answer,prompt\na,1,b\n", "line 1: column 'prompt' is there twice"),
        ("p.parquet", "not a table", "is not readable Parquet"),
        ("p.jsonl.gz", '{"prompt": "a"}', "not a whole gzip archive"),
    ],
)
def test_an_unusable_file_is_refused_when_it_is_opened(
    tmp_path: Path, name: str, content: bytes | str, said: str
) -> None:
    with pytest.raises(UserError, match=said) as refusal:
        open_dataset(write(tmp_path, name, content))
    assert str(tmp_path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        open_dataset(str(tmp_path / "none.jsonl"))
    with pytest.raises(UserError, match="is a directory"):
        open_dataset(str(tmp_path))
    with pytest.raises(UserError, match="--limit 0: give at least 1"):
        open_dataset(write(tmp_path, "p.jsonl", '{"prompt": "a"}'), limit=0)


def test_the_limit_counts_bad_rows_too(tmp_path: Path) -> None:
    reader = open_dataset(write(tmp_path, "p.jsonl", '{"prompt":"a"}\n{\n{"prompt":"c"}\n'), limit=2)
    assert [type(row) for row in reader.rows()] == [Row, BadRow]
    assert "first 2 rows" in reader.describe()


def test_a_bad_first_row_does_not_hide_the_layout(tmp_path: Path) -> None:
    rows = list(open_dataset(write(tmp_path, "p.jsonl", '{"prompt\n{"prompt":"b"}\n')).rows())
    assert [type(row) for row in rows] == [BadRow, Row]


def test_the_hash_covers_bytes_columns_and_limit(tmp_path: Path) -> None:
    content = '{"prompt":"a","other":"b","answer":"1"}\n{"prompt":"c","other":"d","answer":"2"}\n'
    path = write(tmp_path, "p.jsonl", content)
    first = open_dataset(path).content_hash()
    assert first == open_dataset(write(tmp_path, "copy.ndjson", content)).content_hash()
    assert first == open_dataset(path, preset="generic").content_hash()
    others = {
        first,
        open_dataset(path, limit=1).content_hash(),
        open_dataset(path, FieldMap(prompt="other")).content_hash(),
        open_dataset(path, FieldMap(prompt="prompt", answer="answer")).content_hash(),
        open_dataset(write(tmp_path, "q.jsonl", content.replace("2", "3"))).content_hash(),
    }
    assert len(others) == 5
    assert all(len(digest) == 64 for digest in others)


@pytest.mark.parametrize("name", FILES)
def test_an_abandoned_iteration_closes_the_file(tmp_path: Path, name: str) -> None:
    rows = open_dataset(write(tmp_path, name, FILES[name]())).rows()
    next(rows)
    assert name in open_files()
    del rows
    gc.collect()
    assert name not in open_files()


def open_files() -> set[str]:
    return {link.readlink().name for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}


@pytest.mark.parametrize("name", ["p.jsonl", "p.json"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, name: str) -> None:
    rows, (begin, between, end) = 200_000, ("[", ",", "]") if name == "p.json" else ("", "\n", "\n")
    with (tmp_path / name).open("w") as stream:
        stream.write(begin)
        for number in range(rows):
            stream.write(
                f'{between if number else ""}{{"question": "What follows {number}?", "answer": "#### {number + 1}"}}'
            )
        stream.write(end)
    reader = open_dataset(str(tmp_path / name))
    tracemalloc.start()
    try:
        assert sum(isinstance(row, Row) for row in reader.rows()) == rows
        assert len(reader.content_hash()) == 64
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "p.parquet", parquet_bytes())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'tts-jobs\[parquet\]'"):
        open_dataset(path)
    with pytest.raises(UserError, match=r"pip install 'tts-jobs\[hub\]'"):
        open_dataset("hf:owner/name")


def test_a_hub_name_is_owner_and_name() -> None:
    for source in ("hf:", "hf:name", "hf:/name", "hf:a/b/c"):
        with pytest.raises(UserError, match="write hf:owner/name or hf:owner/name:config"):
            open_dataset(source)
