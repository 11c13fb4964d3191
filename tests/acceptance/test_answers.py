"""Every kind of answer on a dataset of one's own, through the whole service: read, compared, voted on and recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from scheduler.tiny import PROBLEMS
from strategies.registry import STRATEGIES
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
    """The job's row of the report."""
    rows: list[dict[str, Any]] = json.loads(shop.tts("run", "mine.jsonl", *options, "--json", timeout=300).stdout)
    return rows[0]


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


# --- without reference answers ----------------------------------------------------------------------------------------

UNKNOWN = "unknown: no reference answers"


@pytest.fixture(scope="module")
def unreferenced(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Problems of the second level, long enough to branch, without their answers."""
    shop = Shop(tmp_path_factory.mktemp("unreferenced"))
    problems = [json.loads(line) for line in PROBLEMS.read_text().splitlines()]
    rows_of(shop, [{"id": row["id"], "prompt": row["prompt"]} for row in problems if row["level"] == 2][:3])
    return shop


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "budget_forcing"])  # tiny does not think
def test_every_strategy_answers_what_nobody_can_grade(unreferenced: Shop, strategy: str) -> None:
    entry = STRATEGIES[strategy]
    verifier = ("-v", "tiny-prm") if entry.needs_verifier else ()
    row = run(unreferenced, "-g", "tiny", "-s", strategy, "-b", "4", *verifier)
    assert (row["done"], row["failed"], row["graded"], row["accuracy"]) == (3, 0, 0, None)
    answers = unreferenced.query(
        f"SELECT answer, correct, votes, voters, score FROM query WHERE job_id = {row['job_id']}"
    )
    assert row["answered"] == sum(answer is not None for answer, *_ in answers) > 0
    for answer, correct, votes, voters, score in answers:
        assert correct is None
        assert (0 < votes <= voters) if answer is not None else votes == 0
        assert (score is not None) == (entry.needs_verifier and answer is not None)


def test_what_is_unknown_is_said_plainly(unreferenced: Shop) -> None:
    row = run(unreferenced, "-g", "tiny", "-s", "best_of_n", "-b", "4", "-v", "tiny-prm", "--name", "plainly", "--new")
    share, score = f"{100 * row['vote_share']:.1f} %", f"{row['score']:.3f}"
    reported, status = unreferenced.tts("report", "plainly").stdout, unreferenced.tts("status", "plainly").stdout
    for said in (reported, status):
        assert UNKNOWN in said
        assert "3 of 3 problems answered" in said
        assert f"mean vote share of the answer {share}, mean verifier score of the chosen solution {score}" in said
        assert "0.0 % (" not in said
    key = unreferenced.scalar("SELECT key FROM problem ORDER BY id LIMIT 1")
    shown = unreferenced.tts("show", "plainly", key).stdout
    query = json.loads(unreferenced.tts("show", "plainly", key, "--json").stdout)
    chosen = max(query["candidates"], key=lambda one: one["score"])
    assert (query["answer"], query["score"]) == (chosen["answer"], chosen["score"])
    assert f"{query['votes']} of {query['voters']} votes, verifier score {query['score']:.3f}, no reference" in shown
    assert "accuracy unknown" in unreferenced.tts("watch", "plainly").stderr


def test_where_some_have_a_reference_the_accuracy_is_over_those(shop: Shop) -> None:
    says(shop, "4")
    rows_of(shop, [{"problem": "2 + 2", "answer": "4"}, {"problem": "2 + 3", "answer": "5"}, {"problem": "3 + 1"}])
    row = run(shop, "-g", "sayer", "-b", "2")
    assert (row["correct"], row["graded"], row["done"], row["accuracy"]) == (1, 2, 3, 0.5)
    covered = "over the 2 of 3 problems that have a reference answer"
    assert f"job 1: accuracy {covered}; 3 of 3 problems answered" in shop.tts("report").stdout
    assert f"1/2 = 50.0 % (9.5 to 90.5, 95 %), {covered}" in shop.tts("status", "1").stdout


@pytest.mark.parametrize("command", ["submit", "run"])
def test_an_oracle_is_refused_where_a_reference_is_missing(shop: Shop, command: str) -> None:
    rows_of(shop, [{"problem": "2 + 2", "answer": "4"}, {"problem": "2 + 3"}])
    done = shop.tts(command, "mine.jsonl", "-g", "fast", "-s", "best_of_n", "-v", "exact", check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "Error: --verifier: exact reads the reference answers, and 1 of 2 problems have none; choose another verifier\n"
    )
    assert shop.scalar("SELECT COUNT(*) FROM job") == 0
