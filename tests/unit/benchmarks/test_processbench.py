"""ProcessBench with a real verifier: what it prints, that a killed run goes on, and what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import processbench

PROBLEM = "(68+90)+(38+91)"
RIGHT = {"problem": PROBLEM, "steps": ["68+90=158", "38+91=129", "158+129=287", "####287"], "label": -1}
WRONG = {"problem": PROBLEM, "steps": ["68+90=178", "38+91=129", "178+129=307", "####307"], "label": 0}
OTHER = {"problem": "12+30", "steps": ["12+30=52", "####52"], "label": 0}


def file(folder: Path, *rows: Any, name: str = "rows.json") -> str:
    path = folder / name
    path.write_text(json.dumps(rows))
    return str(path)


def test_the_threshold_of_one_file_is_reported_on_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen, reported = file(tmp_path, RIGHT, WRONG), file(tmp_path, RIGHT, WRONG, OTHER, name="other.json")
    options = ["--verifier", "tiny-prm", "--scores", str(tmp_path)]
    assert processbench.main([chosen, reported, *options]) == 0
    output = capsys.readouterr().out
    assert "chosen on 2 solutions (F1 100.0% there)" in output
    assert "first wrong step │ 2 " in output
    kept = tmp_path / "processbench.jsonl"
    before = kept.read_text()
    assert len(before.split("\n")) == 1 + 3

    # Killed in the middle of a line: that one is read again, and no other.
    kept.write_text(before[:-5])
    assert processbench.main([chosen, reported, *options]) == 0
    assert capsys.readouterr().out == output
    assert kept.read_text() == before[:-5] + before[before.rindex("\n") :]


def test_halves_of_one_file_stand_for_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, RIGHT, RIGHT, WRONG, OTHER)
    assert processbench.main([path, "--verifier", "tiny-prm", "--scores", str(tmp_path)]) == 0
    assert "chosen on 2 solutions" in capsys.readouterr().out


def test_what_cannot_be_read_is_told_and_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    too_long = {"problem": "1+1", "steps": ["1+1=2" * 300], "label": -1}
    path = file(tmp_path, RIGHT, RIGHT, WRONG, OTHER, too_long, too_long)
    for _ in range(2):
        assert processbench.main([path, "--verifier", "tiny-prm", "--scores", str(tmp_path)]) == 0
        assert "1 solutions could not be read and count as judged wrongly; the first: the prompt" in " ".join(
            capsys.readouterr().out.split()
        )


@pytest.mark.parametrize(
    ("rows", "verifier", "complaint"),
    [
        ([RIGHT, {**WRONG, "label": 4}], "tiny-prm", "rows.json row 2: needs a problem, steps, and as label"),
        ([{**RIGHT, "steps": []}], "tiny-prm", "rows.json row 1: needs"),
        ([{"problem": "1+1"}], "tiny-prm", "rows.json row 1: needs"),
        ([RIGHT, RIGHT, WRONG], "tiny-prm", "rows.json: the F1 needs solutions with a wrong step"),
        ([RIGHT], "mean_logprob", "--verifier: mean_logprob is no model that reads solutions"),
        ([RIGHT], "judge", "--verifier judge: there is no generator here that could judge itself"),
        ([RIGHT, WRONG], "judge:tiny", "judge:tiny: Yes and No are no tokens of this model, so it cannot judge"),
        ([RIGHT], "prm", "--verifier: unknown verifier 'prm'"),
    ],
)
def test_bad_input_is_one_sentence(
    rows: list[Any], verifier: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert processbench.main([file(tmp_path, *rows), "--verifier", verifier, "--scores", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert processbench.main([str(tmp_path / "none.json"), "--verifier", "tiny-prm"]) == 2
    assert "none.json: cannot be read (No such file or directory)" in capsys.readouterr().err
