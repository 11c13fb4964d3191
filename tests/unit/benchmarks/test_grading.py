"""The comparison with other graders: what it reads, what it prints, and that no mistake passes for a convention."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cases import SOURCES
from benchmarks.conventions import CONVENTIONS
from benchmarks.grading import is_prose, main

DOCUMENT = Path(__file__).parents[3] / "docs" / "grading.md"
JSON_LIST = {"inspect_ai"}


def case(gold: str, pred: str | None, expected: bool, **options: Any) -> dict[str, Any]:
    return {"gold": gold, "pred": pred, "expected": expected, "opts": options}


def folder_of(folder: Path, files: Mapping[str, list[dict[str, Any]]]) -> str:
    """A folder with a file for every source, empty where `files` does not name it."""
    for source in SOURCES:
        rows = files.get(source.name, [])
        lines = json.dumps(rows) if source.name in JSON_LIST else "\n".join(map(json.dumps, rows))
        (folder / source.file).write_text(lines)
    return str(folder)


def counts(output: str, source: str) -> list[str]:
    """The cells of one source in the printed summary."""
    line = next(line for line in output.splitlines() if f" {source} " in line)
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_agreement_is_counted_for_every_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        "Math-Verify": [
            case("$8$", r"Adding them gives \boxed{8}.", True),
            case("$t > 4$", "Hence we know that $4 < t$.", True, match_types=["latex"]),
            case("$8$", "Nothing to be read here.", False),
        ],
        "lighteval": [
            case("B", "The answer is (B), not C.", True, match_types=["NativeLetters"]),
            case("12", "They were 11, now 12", True, match_types=["expr"]),
        ],
        "NeMo-Skills": [case("(m+2)^2", "m^2+4m+4", True), case("7", None, False)],
        "hendrycks/math": [case("8", "9", False)],
        "inspect_ai": [{"output": r"\boxed{9}", "target": "9.0", "expected": "C"}],
    }
    assert main([folder_of(tmp_path, files)]) == 0
    output = capsys.readouterr().out
    assert [counts(output, source.name)[1:3] for source in SOURCES] == [[str(len(files[s.name]))] * 2 for s in SOURCES]
    assert counts(output, "Math-Verify")[3:] == ["100.0% (43.8% to 100.0%)", "95% met", "0", "0"]


EXPLAINED = [
    case("0.07", r"7\%", True),
    case(r"\frac{1}{7}", "0.14", True, precision=2),
    case("8, 9", "9, 8", False),
    case("$h(s)$", "$h(t)$", True),
    case(r"$t \in [1,6]$", r"$1 \le t \le 6$", False),
    case("$8$", r"First \boxed{2}, then the final answer is $8$.", True),
    case("$2, 8$", r"\boxed{2} of them or perhaps \boxed{8}", True),
    case("$8$", "Answer \\(\n8\n\\)", False),
    case("A dozen", "A", True, match_types=["NativeLetters"]),
]


def test_every_convention_explains_its_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([folder_of(tmp_path, {"Math-Verify": EXPLAINED}), "--disagreements"]) == 0
    output = capsys.readouterr().out
    assert counts(output, "Math-Verify")[1:3] == ["9", "0"]
    assert counts(output, "Math-Verify")[4:] == ["95% missed", "9", "0"]
    assert "nothing read" in output
    assert len(EXPLAINED) == len(CONVENTIONS)


def test_what_no_convention_explains_is_our_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unexplained = [
        case("8", r"9\%", True),
        case("0.3", "0.4", True, precision=6),
        case("8, 9", "8, 9", False),
        case("$8$", r"First \boxed{2}, then the final answer is $7$.", True),
        case("$2, 9$", r"\boxed{2} of them or perhaps \boxed{8}", True),
    ]
    assert main([folder_of(tmp_path, {"lighteval": unexplained}), "--disagreements"]) == 0
    output = capsys.readouterr().out
    assert counts(output, "lighteval")[4:] == ["90% missed", "0", "5"]
    assert output.count("ours is wrong") == 1 + 5


@pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda convention: convention.line)
def test_conventions_are_quoted_from_the_document(convention: Any) -> None:
    assert convention.line in DOCUMENT.read_text()


@pytest.mark.parametrize(
    ("side", "prose"),
    [
        ("We find that $t$ is 8.", True),
        ("Answer $8$", True),
        ("Somme : 8 francs", True),
        (r"\frac{1}{2} \text{ of them}", False),
        ("12 apples", False),
        ("$1$ and $2$ or $3$", False),
        (r"\sqrt{8} + \sin u", False),
    ],
)
def test_prose_is_told_from_an_answer(side: str, prose: bool) -> None:
    assert is_prose(side) is prose


def test_a_missing_or_broken_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for spoil, complaint in (
        (None, "there is no such folder"),
        ("delete", "there is no such file"),
        ("not json", "is not a file of cases"),
        ('{"gold": "1"}', "is not a file of cases"),
        ("[1]", "is not a file of cases"),
    ):
        folder = folder_of(tmp_path, {})
        path = tmp_path / SOURCES[1].file
        if spoil == "delete":
            path.unlink()
        elif spoil is not None:
            path.write_text(spoil)
        assert main([folder if spoil else str(tmp_path / "nowhere")]) == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1
