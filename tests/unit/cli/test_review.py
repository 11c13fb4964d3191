"""`review`: how sure the answers of a job are, and which ones are to be looked at."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import tables
from models.database import Database, upgrade
from models.transitions import table
from tests.builders import Shelf, force, worker
from tests.recorded_samples import RIGHT, UNREAD, Drawn, record
from tests.unit.cli.conftest import Desk

QUERY = table(tables.Query)


@pytest.fixture
def database(desk: Desk) -> Database:
    made = desk.database
    upgrade(made)
    worker(made)
    return made


def votes(database: Database, count: int, seed: int, **values: Any) -> Shelf:
    """Four samples a problem, of which all agree, three, or two against two; the more agree, the surer they are right."""
    rng = np.random.default_rng(seed)
    problems = []
    for _ in range(count):
        agree = int(rng.integers(2, 5))
        correct = bool(rng.random() < {2: 0.2, 3: 0.6, 4: 0.95}[agree])
        problems.append([Drawn(0, correct)] * agree + [Drawn(1, not correct)] * (4 - agree))
    return record(database, problems, **values)


def test_a_job_without_references_is_judged_by_a_graded_one(desk: Desk, database: Database) -> None:
    votes(database, 150, 0, name="known")
    votes(database, 80, 1, name="new", graded=False)
    said = desk.tts("review", "new", "--calibrated-on", "known", "--risk", "0.1", "--json").json
    assert (said["queries"], said["answered"], said["truth"]) == (80, 80, None)
    assert said["low"] < said["predicted_accuracy"] < said["high"]
    assert said["validated"]["ece"] < 0.15
    plan = said["plan"]
    assert plan["automatic"] + plan["review"] == 80
    assert plan["foretold_risk"] <= 0.1 < said["risk_coverage"][-1]["risk"]
    listed = [row["probability"] for row in said["review"]]
    assert len(listed) == 20
    assert listed == sorted(listed, reverse=True)
    assert listed[0] <= plan["threshold"]
    shown = desk.tts("review", "new", "--calibrated-on", "known", "--risk", "0.1").stdout
    assert f"answer the {plan['automatic']} surest automatically" in shown
    assert f"have {plan['review']} reviewed" in shown
    assert "nothing here can tell whether they are harder" in shown


def test_what_was_foretold_is_compared_with_the_truth(desk: Desk, database: Database) -> None:
    votes(database, 150, 0)
    votes(database, 80, 1)
    said = desk.tts("review", "2", "--calibrated-on", "1", "--csv", "all.csv", "--json").json
    truth = said["truth"]
    assert truth["graded"] == 80
    assert truth["accuracy"] == pytest.approx(said["predicted_accuracy"], abs=0.15)
    assert truth["reliability"]["brier"] < 0.25
    assert said["plan"] is None
    listed = [row["probability"] for row in said["review"]]
    assert listed == sorted(listed)
    with Path("all.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 80
    assert {row["correct"] for row in rows} == {"true", "false"} or {row["correct"] for row in rows} == {
        "True",
        "False",
    }
    assert "really right" in desk.tts("review", "2", "--calibrated-on", "1").stdout


def test_a_policy_has_foretold_it(desk: Desk, database: Database) -> None:
    shelf = record(database, [[RIGHT], [RIGHT], [UNREAD]], graded=False, strategy="compute_optimal")
    for query, confidence in zip(shelf.queries, (0.9, 0.3, None), strict=True):
        force(database, QUERY, query, confidence=confidence)
    said = desk.tts("review", "last", "--json").json
    assert said["predicted_accuracy"] == pytest.approx(0.4)
    assert [row["probability"] for row in said["review"]] == [0, 0.3, 0.9]
    assert (said["answered"], said["calibrated_on"], said["validated"]) == (2, None, None)


def test_what_nothing_is_known_of_comes_first(desk: Desk, database: Database) -> None:
    shelf = record(database, [[RIGHT], [RIGHT]], graded=False)
    force(database, QUERY, shelf.queries[0], confidence=0.5)
    said = desk.tts("review", "last", "--json").json
    assert [row["probability"] for row in said["review"]] == [None, 0.5]
    assert "of 1 answers nothing is foretold" in said["caveats"][1]
    assert "unknown" in desk.tts("review", "last").stdout


def test_other_budgets_are_said(desk: Desk, database: Database) -> None:
    votes(database, 30, 0, budget_amount=8)
    votes(database, 5, 1)
    assert "job 1 differs in its budget amount" in desk.tts("review", "2", "--calibrated-on", "1").stdout


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("2",), "name a graded job of the same generator, verifier and strategy with --calibrated-on JOB"),
        (("2", "--calibrated-on", "2"), "cannot be calibrated on itself"),
        (("2", "--calibrated-on", "1"), "has the strategy greedy and job 2 majority_vote"),
        (("2", "--calibrated-on", "3"), "has 1 graded answers; name one with at least 20"),
        (("4", "--calibrated-on", "1"), "job 4 has no answer yet"),
        (("2", "--risk", "2"), "--risk"),
        (("2", "--csv", "-", "--json"), "name a file with --csv FILE"),
    ],
)
def test_bad_input_is_a_sentence(desk: Desk, database: Database, options: tuple[str, ...], part: str) -> None:
    record(database, [[RIGHT]], strategy="greedy")
    record(database, [[RIGHT]])
    record(database, [[RIGHT]])
    force(database, QUERY, record(database, [[RIGHT]]).queries[0], state="failed")
    said = desk.tts("review", *options)
    assert said.code == 2
    assert part in said.stderr
    assert len(said.stderr.splitlines()) == 1
