"""Adaptive consistency against uniform voting, on recorded samples whose curves are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.adaptive_replay import Votes, figures, main, recorded, vote


def test_what_is_settled_early_costs_four() -> None:
    sure = [recorded(f"sure {n}", [0] * 16, [True] * 16) for n in range(3)]
    found = vote(sure, 20)
    assert found.drawn.tolist() == [[1, 2, 3, *[4.0] * 13]] * 3
    assert found.adaptive.tolist() == [[1.0] * 16] * 3
    assert figures(found).equal[0] == 1.0  # one sample would have done
    assert figures(found).saved[0] == 0.25


def test_the_order_in_which_they_were_drawn_is_one_order() -> None:
    one = recorded("mixed", [0, 1, 1, 0, 1], [True, False, False, True, False])
    found = vote([one], None)
    assert found.uniform[0].tolist() == [1, 1, 0, 1, 0]  # ties go to what was drawn first
    assert found.drawn.tolist() == [[1, 2, 3, 4, 5]]
    assert found.adaptive.tolist() == found.uniform.tolist()


def test_equal_accuracy_is_between_two_numbers_of_votes() -> None:
    """.5, .6 and .7 right; adaptive consistency .65 for 1.5 samples: as 2.5 uniform votes, 1.67 times as many."""
    uniform = np.tile([0.5, 0.6, 0.7], (4, 1))
    found = figures(Votes(uniform, np.full((4, 1), 0.65), np.full((4, 1), 1.5)))
    assert found.equal == pytest.approx((2.5, 2.5, 2.5))
    assert found.saved == pytest.approx((5 / 3, 5 / 3, 5 / 3))


def test_a_file_of_samples_is_read_graded_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Answers that are written differently are one class."""
    path = tmp_path / "samples.jsonl"
    rows = [
        {"problem": "1/2?", "answer": "\\frac12", "completions": [f"\\boxed{{{x}}}" for x in ("0.5", "1/2", "3", "3")]},
        {"problem": "2?", "answer": "2", "completions": ["\\boxed{2}"] * 3 + ["nothing"]},
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert main([str(path)]) == 0
    shown = capsys.readouterr().out
    assert "majority vote of 4, %" in shown
    assert "2 problems; 12.5 % of the samples have no readable answer" in shown
    (drawn,) = (
        line.split("│") for line in shown.splitlines() if "as drawn" not in line and "majority vote of 4" in line
    )
    assert drawn[3].strip() == "100.0"


def test_what_is_no_such_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 2
    path = tmp_path / "other.jsonl"
    path.write_text('{"problem": "?"}\n')
    assert main([str(path)]) == 2
    assert "line 1 is no JSON object with `problem`, `answer` and `completions`" in capsys.readouterr().err
