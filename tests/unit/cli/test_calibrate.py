"""`calibrate`: what it cannot measure is one sentence, before anything is drawn."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from models.database import open_database
from models.reports import job_ids
from tests.unit.cli.conftest import Desk

STATES = ("loading", "open", "paused", "done")


def write(count: int, **changes: Any) -> None:
    rows = [{"id": f"k{n}", "prompt": f"What is {n} + 1?", "answer": str(n + 1), **changes} for n in range(count)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def refused(desk: Desk, *options: str) -> str:
    said = desk.tts("calibrate", "sums.jsonl", "--name", "sums", "-g", "fast", *options)
    assert (said.code, said.stdout) == (2, "")
    assert len(said.stderr.splitlines()) == 1
    with open_database().reading() as connection:
        assert job_ids(connection, STATES) == []
    return said.stderr


def test_without_reference_answers_nothing_can_be_measured(desk: Desk) -> None:
    write(12, answer=None)
    assert refused(desk) == (
        "Error: sums: 12 of 12 problems have no reference answer, without which nothing can be measured; leave them out\n"
    )


def test_few_problems_are_too_few(desk: Desk) -> None:
    write(9)
    assert "9 problems are too few to calibrate on" in refused(desk)


def test_scikit_learn_is_asked_for_by_its_extra(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    write(12)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sklearn" else find(name, *rest)
    )
    assert "pip install 'tts-jobs[calibrate]'" in refused(desk)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--name", "a/b"), "--name: 'a/b' cannot name a policy"),
        (("--samples", "8", "--budgets", "4,16"), "--budgets: 16 is more than the 8 samples drawn"),
        (("--budgets", "0"), "'0': give numbers from 1 to 256"),
        (("--param", "width"), "--param width: write NAME=VALUE"),
        (("--search", "beam_search", "--param", "beam_width=x"), "--search: beam_search: parameter 'beam_width'"),
        (("--template", "nowhere"), "nowhere"),
        (("--search", "budget_forcing"), "--strategy budget_forcing: fast is not known to think"),
        (("--field", "prompt=question"), "question"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_drawn(desk: Desk, options: tuple[str, ...], part: str) -> None:
    write(12)
    assert part in refused(desk, *options)
