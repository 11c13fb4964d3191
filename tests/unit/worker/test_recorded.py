"""Recorded solutions are read, graded and chosen among as ours are, and compared with what the recording holds of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from models.recorded import Choice, Prediction, Recorded, Sample
from models.templates import Template
from scheduler.recordings import nemo_skills, plain, qwen_math, search_and_learn
from strategies.protocols import ProblemView
from tests.recordings import EVALUATED, PLAIN, SEARCHED, boxed, generated
from worker.differences import Difference
from worker.grading import GradingPool
from worker.recorded import Judged, judge

TEMPLATE = Template("recorded", "1", "{{ problem }}")
VOTE = Choice("majority_vote", {})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[GradingPool]:
    pool = GradingPool()
    yield pool
    pool.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def judged(pool: GradingPool, recorded: Recorded, choice: Choice = VOTE, **view: Any) -> Judged:
    problem = ProblemView("k", recorded.prompt or "?", view.get("reference", recorded.answer))
    return await judge(recorded, problem, TEMPLATE, pool, choice)


def column(found: Judged, name: str) -> list[Any]:
    return [row[name] for row in found.candidates]


async def test_answers_that_are_equal_are_one_vote(pool: GradingPool) -> None:
    found = await judged(pool, replace(search_and_learn.read(SEARCHED), predictions=()))
    assert column(found, "answer") == ["1", "1.5", "\\frac32", None]
    assert column(found, "answer_class") == [0, 1, 1, -1]
    assert column(found, "correct") == [False, True, True, False]
    assert column(found, "step_scores")[0] == [0.5, 0.4], "the recorded steps are kept"
    assert column(found, "score") == [0.4, 0.9, 0.8, 0.1]
    assert column(found, "generated_tokens") == [None] * 4
    assert found.query == {
        "answer": "1.5", "correct": True, "voters": 3, "votes": 2, "score": 0.9, "stopped": "complete",
    }  # fmt: skip


async def test_a_search_gives_the_answer_that_was_recorded(pool: GradingPool) -> None:
    one = replace(search_and_learn.read(SEARCHED), predictions=())
    beam = Choice("beam_search", {})
    found = await judged(pool, replace(one, chosen=boxed("1")), beam)
    assert (found.query["answer"], found.query["correct"], found.query["votes"]) == ("1", False, 1)
    assert column(found, "path") == ["s0", "s1", "s2", "s3"], "where no sample of ours is found"
    assert (await judged(pool, replace(one, chosen="3/2"), beam)).query["votes"] == 2, "an answer alone will do"
    assert (await judged(pool, replace(one, chosen=None), beam)).query["answer"] == "1.5", "else the best score's"


async def test_best_of_n_and_weighted_vote_choose_by_the_recorded_scores(pool: GradingPool) -> None:
    one = plain.read(PLAIN)
    best = await judged(pool, one, Choice("best_of_n", {"aggregation": "last"}))
    assert (best.query["answer"], best.query["correct"]) == ("5", False)
    first = await judged(pool, one, Choice("best_of_n", {"aggregation": "mean"}, "mean"))
    assert (first.query["answer"], first.query["score"]) == ("5", pytest.approx(0.75))
    weighted = await judged(pool, one, Choice("weighted_vote", {"aggregation": "last"}))
    assert weighted.query["answer"] == "5"
    assert column(best, "step_logprobs") == [[-0.25], None]


async def test_what_was_cut_has_no_answer(pool: GradingPool) -> None:
    found = await judged(pool, qwen_math.read(EVALUATED))
    assert column(found, "answer") == ["2", "3", None]
    assert (found.query["answer"], found.query["voters"]) == ("2", 2)
    assert [(one.field, one.solution, one.recorded, one.ours, one.reason) for one in found.tally.differences] == [
        ("answers read", 3, "2.0", None, "extraction: the solution was cut, and we read no answer in it")
    ]
    assert found.tally.agreed == {"answers read": 2, "verdicts": 3}


async def test_without_a_reference_nothing_is_graded(pool: GradingPool) -> None:
    found = await judged(pool, nemo_skills.read(generated(1, "2")), reference=None)
    assert (found.query["correct"], column(found, "correct")) == (None, [None])
    assert found.tally.compared == {"answers read": 1}, "a verdict needs a reference"
    assert not found.tally.graded


def said(found: Judged) -> dict[str, tuple[str | None, str | None, str]]:
    return {one.field: (one.recorded, one.ours, one.reason) for one in found.tally.differences}


async def test_every_prediction_that_differs_is_told_with_its_reason(pool: GradingPool) -> None:
    found = await judged(pool, search_and_learn.read(SEARCHED))
    assert found.tally.compared == dict.fromkeys(
        [f"pred_{rule}@{count}" for count in (1, 4) for rule in ("naive", "maj", "weighted")], 1
    )
    assert said(found) == {
        "pred_maj@4": (
            "\\boxed{7}",
            "1.5",
            "extraction: the last number of a solution that announces another answer, or none",
        )
    }
    [one] = found.tally.differences
    assert one == Difference("k", "pred_maj@4", None, "\\boxed{7}", "1.5", "\\frac{3}{2}", False, True, one.reason)


@pytest.mark.parametrize(
    ("rule", "answers", "scores", "recorded", "reason"),
    [
        ("majority_vote", ["1", "2"], [0.5, 0.5], "2", "a tie of votes"),
        ("best_of_n", ["1", "2"], [0.5, 0.5], "2", "a tie of scores"),
        ("best_of_n", ["1", "2"], [0.9, 0.5], "2", "extraction: we read another answer in the best solution"),
        ("majority_vote", ["1", "2", "1.0"], [0.1] * 3, "2", "votes: answers that we hold to be equal, or read, are counted together differently"),
        ("weighted_vote", ["1", "2"], [0.9, 0.5], "", "extraction: the recording chose a solution in which it read no answer; ours abstains"),
        ("weighted_vote", ["1", "2"], [0.9, 0.5], "33", "extraction: we read this answer in none of these solutions"),
    ],
)  # fmt: skip
async def test_why_another_answer_was_chosen(
    pool: GradingPool, rule: Any, answers: list[str], scores: list[float], recorded: str, reason: str
) -> None:
    samples = tuple(Sample(boxed(answer), score=score) for answer, score in zip(answers, scores, strict=True))
    prediction = Prediction("pred", rule, len(samples), recorded)
    found = await judged(pool, Recorded("k", "?", "1", samples, predictions=(prediction,)))
    assert said(found)["pred"][2] == reason


@pytest.mark.parametrize(
    ("text", "prediction", "verdict", "reference", "reasons"),
    [
        (boxed("0.5"), "0.5", False, "\\frac12", {"verdicts": "equivalence: we hold this answer and the reference to be equal"}),
        (boxed("3"), "3", True, "4", {"verdicts": "equivalence: we hold this answer and the reference to be different"}),
        ("No box, 4", "4", True, "4", dict.fromkeys(["answers read", "verdicts"], "extraction: the last number of a solution that announces another answer, or none")),
        (boxed("4"), None, True, "4", {}),
        (boxed("4"), "", False, "4", dict.fromkeys(["answers read", "verdicts"], "extraction: we read an answer where the recording has none")),
        (boxed("4"), "x", False, "4", dict.fromkeys(["answers read", "verdicts"], "extraction: we read another answer in it")),
        ("Nothing here", "x", False, "4", {"answers read": "extraction: we read no answer in it"}),
    ],
)  # fmt: skip
async def test_why_an_answer_is_read_or_judged_otherwise(
    pool: GradingPool, text: str, prediction: str | None, verdict: bool, reference: str, reasons: dict[str, str]
) -> None:
    sample = Sample(text, prediction=prediction, verdict=verdict)
    found = await judged(pool, Recorded("k", "?", reference, (sample,)))
    assert {name: reason for name, (_, _, reason) in said(found).items()} == reasons
