"""Every kind of answer on a dataset of one's own, through the whole service: read, compared, voted on and recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from scheduler.tiny import PROBLEMS
from tests.commands import Shop

SAYS = """
[generators.sayer]
engine = "instant"
model = "instant"
engine_args = {{ answers = {answers} }}
"""


def says(shop: Shop, *answers: str) -> None:
    """The generator `sayer` writes one of these in a box."""
    with (shop.directory / "tts-jobs.toml").open("a") as file:
        file.write(SAYS.format(answers=json.dumps(answers)))


def rows_of(shop: Shop, rows: Sequence[dict[str, Any]]) -> None:
    (shop.directory / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(shop: Shop, *options: str) -> dict[str, Any]:
    """The newest job's row of the report."""
    shop.tts("run", "mine.jsonl", *options)
    rows: list[dict[str, Any]] = json.loads(shop.tts("report", "--json").stdout)
    return rows[-1]


def template(shop: Shop) -> dict[str, Any]:
    """The newest job's template, from its specification."""
    found: dict[str, Any] = json.loads(shop.scalar("SELECT specification FROM job ORDER BY id DESC LIMIT 1"))
    return found["template"]


def test_numbers_within_a_tolerance_and_without_drawing_again(shop: Shop) -> None:
    problems = [json.loads(line) for line in PROBLEMS.read_text().splitlines()]
    chosen = [row for row in problems if row["level"] == 1 and int(row["answer"]) >= 200][:8]
    # One too many: at most half a hundredth away from what is right.
    rows_of(shop, [{**row, "answer": str(int(row["answer"]) + 1)} for row in chosen])
    exact = run(shop, "-g", "tiny", "-b", "4")
    near = run(shop, "-g", "tiny", "-b", "4", "--tolerance", "0.01")
    right = shop.scalar(
        "SELECT COUNT(*) FROM query JOIN problem ON problem.id = problem_id "
        "WHERE job_id = 2 AND CAST(query.answer AS INTEGER) = CAST(problem.answer AS INTEGER) - 1"
    )
    assert near["correct"] >= right > exact["correct"]
    assert (exact["reused_samples"], near["reused_samples"], near["samples"]) == (0, 32, 32)
    assert (template(shop)["answer"], template(shop)["tolerance"]) == ("number", 0.01)


def test_choices_are_one_vote_by_letter_or_text(shop: Shop) -> None:
    says(shop, "(B)", "B.", r"\text{Bonn}", "bonn", "A")
    asked = "Which is on the Rhine?\nA. Rome\nB. Bonn\nC. Oslo"
    rows_of(shop, [{"problem": asked, "answer": written} for written in ("B", "(B)", "b.", "Bonn", "B. Bonn")])
    row = run(shop, "-g", "sayer", "--answer", "choice", "-b", "32")
    assert (row["correct"], row["graded"], row["unparsed"]) == (5, 5, 0)
    classes = shop.query("SELECT DISTINCT answer, answer_class, correct FROM candidate ORDER BY answer")
    assert [(answer, correct) for answer, _, correct in classes] == [("A", 0), ("B", 1)]
    assert (template(shop)["name"], template(shop)["answer"]) == ("choice", "choice")


def test_words_are_compared_as_words(shop: Shop) -> None:
    says(shop, "the Nile", "The Nile.", "the Po")
    rows_of(shop, [{"problem": "Which river?", "answer": "The nile"}, {"problem": "Which city?", "answer": "Nile"}])
    row = run(shop, "-g", "sayer", "--answer", "text", "-b", "32")
    assert (row["correct"], row["graded"]) == (1, 2)
    classes = {answer: number for answer, number in shop.query("SELECT answer, answer_class FROM candidate")}
    assert classes["the Nile"] == classes["The Nile."] != classes["the Po"]
    assert template(shop)["answer"] == "text"


def test_mathematics_is_the_default(shop: Shop) -> None:
    says(shop, "0.5", "1/2")
    rows_of(shop, [{"problem": "Half?", "answer": r"\frac12"}])
    row = run(shop, "-g", "sayer", "-b", "16")
    assert row["correct"] == 1
    assert shop.scalar("SELECT COUNT(DISTINCT answer_class) FROM candidate") == 1
    assert (template(shop)["answer"], template(shop)["tolerance"]) == ("math", 0.0)
