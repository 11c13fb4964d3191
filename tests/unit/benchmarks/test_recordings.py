"""Recordings measured: figures by a string match and by our equivalence, resumed, and written as a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.recordings import main
from benchmarks.string_match import plain, read_plainly
from tests.recordings import EVALUATED, SEARCHED, generated, write


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $\boxed{\dfrac{1}{2}}$ and \boxed{ 90^\circ }", "90"),
        (r"\boxed{\frac{1}{2}", None),
        (r"\boxed{\left(1,\, 2\right)}", "(1,2)"),
        ("the answer is 5", None),
        (r"\boxed{\text{odd}}", r"\text{odd}"),
    ],
)
def test_the_string_match_reads_the_last_box_and_computes_nothing(text: str, answer: str | None) -> None:
    assert read_plainly(text) == answer
    assert plain("1/2") != plain(r"\frac{1}{2}")


def test_figures_are_of_prefixes_and_a_second_run_takes_up_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, page = tmp_path / "found", tmp_path / "page.md"
    folder.mkdir()
    write(folder / "beam.jsonl", [SEARCHED])
    for number in range(2):
        write(folder / f"output-rs{number}.jsonl", [generated(1, str(1 + number)), generated(2, "3")])
    write(folder / "qwen.jsonl", [EVALUATED])
    write(folder / "no_recording.jsonl", [{"question": "1?", "answer": "1"}])
    arguments = [str(folder), "--home", str(tmp_path / "home"), "--page", str(page)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "beam: 1 problems, 1 differences", "output-rs*: 2 problems, 0 differences", "qwen: 1 problems, 1 differences",
    ]  # fmt: skip
    written = page.read_text()
    beam = written[written.index("## `beam`") : written.index("## `output-rs*`")]
    # The reference is \frac{3}{2}: two solutions are equal to it, and none is written like it.
    assert "| maj@1 | 0.000 | 0.000 | 0.000 | 0.000 |" in beam
    assert "| maj@4 | 0.000 | 0.000 | 0.000 | 1.000 |" in beam
    assert "| naive@4 | 0.000 | 1.000 | 0.000 | 1.000 |" in beam
    assert "| weighted@4 | 0.000 | 1.000 | 0.000 | 1.000 |" in beam
    assert "| pass@4 |  |  | 0.000 | 1.000 |" in beam
    assert "extraction: the last number of a solution that announces another answer, or none (1):" in beam
    assert "| a/1 | maj@4 | `\\boxed{7}` | `1.5` | `\\frac{3}{2}` | no/yes |" in beam
    nemo = written[written.index("## `output-rs*`") : written.index("## `qwen`")]
    assert "| maj@1 |  |  | 0.500 | 0.500 |" in nemo
    assert "| pass@1 | 0.750 |  | 0.750 | 0.750 |" in nemo
    assert "| verdicts | 4 | 4 | 3 | 3 |" in nemo
    assert main(arguments) == 0
    assert (capsys.readouterr().out, page.read_text()) == (said, written)


def test_a_folder_without_recordings_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "missing")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert "holds no recording; formats are openai-batch, search-and-learn" in capsys.readouterr().err
