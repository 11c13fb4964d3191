"""`explain`, and what `status` and `resume` say of jobs that are answered in stages."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest

from cli.explain import tell
from models import transitions
from scheduler.decisions import Decision
from tests.builders import specification
from tests.stages import calibrated, policy, seen
from tests.unit.cli.conftest import Desk

OPTIMAL = ("-s", "compute-optimal", "-b", "8")
QUERY = {"state": "done", "answer": "7", "votes": 3, "voters": 4}


def told(*decisions: Decision, chosen: Any = None, difficulty: str = "probe", **course: Any) -> list[str]:
    plan = (chosen or policy()).model_dump(mode="json")
    job = specification(
        strategy="compute_optimal",
        budget_amount=8,
        difficulty=difficulty,
        policy="ours@2",
        allocation="policy",
        plan=plan,
    )
    usual = {
        "specification": job.model_dump(mode="json"), "evidence": None, "confidence": None,
        "decisions": [asdict(one) for one in decisions], **course,
    }  # fmt: skip
    return tell(QUERY, usual)


@pytest.mark.parametrize(
    ("decision", "sentence"),
    [
        (Decision(0, "probe", 0, 1), "At first, nothing is known; it is probed with the greedy one."),
        (
            Decision(2, "probe", 2, 4, 0.5, 1),
            "After 2 samples the probability that one sample is wrong is 0.50: bin 2; it is probed with 4 samples in all.",
        ),
        (
            Decision(3, "chosen", 4, 8, 0.66, 2, 1),
            "After 4 samples the probability that one sample is wrong is 0.66: bin 3; the policy gives that bin weighted_vote, "
            "8 samples in all, as its last stage.",
        ),
        (
            Decision(1, "granted", 1, 8, 0.4, 1, 2, 0.125),
            "After 1 sample the probability that one sample is wrong is 0.40: bin 2; of all that the job can buy it gains most "
            "from beam_search, 8 samples in all: +0.125 of being right.",
        ),
        (
            Decision(2, "settled", 2, None, 0.25, 0),
            "After 2 samples the probability that one sample is wrong is 0.25: bin 1; nothing more is worth its cost, so that "
            "the answer stays.",
        ),
        (
            Decision(2, "budget", 2, 8, 0.5, 1, 0),
            "After 2 samples the probability that one sample is wrong is 0.50: bin 2; it was to get majority_vote, 8 samples in "
            "all, and the job's budget was used up.",
        ),
        (
            Decision(2, "deadline", 2, None, 0.5, 1),
            "After 2 samples the probability that one sample is wrong is 0.50: bin 2; the job's time was used up before anything "
            "more was decided.",
        ),
    ],
)
def test_each_decision_has_its_sentence(decision: Decision, sentence: str) -> None:
    introduction, explained, present = told(decision)
    assert introduction == (
        "The policy ours@2 (not calibrated) has 4 bins, parted by the probability that one sample is wrong: 0.3, 0.6, 0.85. "
        "The job's budget is 8 samples a query, allocation policy."
    )
    assert explained == sentence
    assert present == "It is done, with the answer 7, with 3 of 4 votes."


@pytest.mark.parametrize(
    ("difficulty", "part"),
    [
        ("given", "as its level says"),
        ("prior", "as earlier jobs on this problem say"),
        ("oracle", "as graded samples of other jobs say (an oracle)"),
        ("none", "as nothing was asked about it, so that it counts as even"),
    ],
)
def test_where_the_difficulty_is_from_is_said(difficulty: str, part: str) -> None:
    _, explained, _ = told(Decision(0, "chosen", 0, 8, 0.5, 1, 0), difficulty=difficulty)
    assert explained.startswith(f"At first the probability that one sample is wrong is 0.50, {part}: bin 2;")


def test_the_evidence_and_what_it_foretells_are_said() -> None:
    *_, evidence, present = told(
        Decision(0, "probe", 0, 1),
        chosen=calibrated({0: 0.75}),
        evidence=asdict(seen(2, 1, 1, score=0.5)),
        confidence=0.875,
    )
    assert evidence == (
        "What that goes by: 4 samples, 2 for the leading answer, 1 for the next, 1 without a readable answer; mean "
        "log-probability -0.100 a token; mean verifier score 0.500."
    )
    assert present.endswith("; foretold to be right with probability 0.88.")
    assert told() == ["Nothing has been decided yet: the query is done."]


def stage_and_settle(desk: Desk, job_id: int, count: int) -> None:
    """Probe `count` queries of a job and settle them for want of budget."""
    desk.commit(desk.claim(job_id, count), state="staged", stopped=None, evidence=asdict(seen(1, 1)))
    with desk.database.transaction() as connection:
        row = transitions.QUERY.select().where(transitions.QUERY.c.job_id == job_id, transitions.QUERY.c.stage == 1)
        rows = [
            {
                "id": one.id, "stage": 1, "stopped": "budget", "difficulty": 0.5, "bin": 1, "confidence": None,
                "decisions": [asdict(Decision(1, "budget", 2, 8, 0.5, 1, 0))],
            }
            for one in connection.execute(row).all()
        ]  # fmt: skip
        transitions.settle(connection, rows, datetime.now(UTC))


def test_more_budget_goes_on_with_a_job_that_was_done(desk: Desk) -> None:
    job_id = desk.submit(2, *OPTIMAL, "--job-budget", "10")
    stage_and_settle(desk, job_id, 2)
    desk.finish(job_id)
    seen_now = desk.tts("status", "last", "--json").json
    assert seen_now["obstacles"] == [
        f"2 answers could have had more: allow it with `tts-jobs resume {job_id} --job-budget AMOUNT`"
    ]
    assert seen_now["bins"] == [
        {"bin": 1, "queries": 2, "done": 2, "correct": 2, "graded": 2, "settled_by_budget": 2, "planned": 4, "samples": 4,
         "tokens": 26}
    ]  # fmt: skip
    refused = desk.tts("resume", "last")
    assert (refused.code, refused.stderr.startswith(f"Error: job {job_id} is done, so it cannot go on")) == (2, True)
    too_little = desk.tts("resume", "last", "--job-budget", "3")
    assert too_little.code == 2
    assert desk.tts("status", "last", "--json").json["done"] == 2, "nothing was changed"
    said = desk.tts("resume", "last", "--job-budget", "20")
    assert said.stdout == f"job {job_id} is open again, 2 answers are looked at again; new cap\n"
    seen_now = desk.tts("status", "last", "--json").json
    assert (seen_now["state"], seen_now["pending"], seen_now["done"]) == ("open", 2, 0)


def test_a_cancelled_job_does_not_go_on(desk: Desk) -> None:
    job_id = desk.submit(3, *OPTIMAL, "--job-budget", "10")
    stage_and_settle(desk, job_id, 2)
    desk.tts("cancel", "last")
    refused = desk.tts("resume", "last", "--job-budget", "20")
    assert (refused.code, "is cancelled, so it cannot go on" in refused.stderr) == (2, True)


def test_status_shows_the_bins_of_such_a_job_alone(desk: Desk) -> None:
    job_id = desk.submit(3, *OPTIMAL)
    stage_and_settle(desk, job_id, 2)
    shown = desk.tts("status", "last").stdout
    assert "by how hard they look, the easiest first" in shown
    assert [line.split() for line in shown.splitlines() if line.startswith(("2 ", "not yet"))] == [
        ["2", "2", "2", "2/2", "4", "4", "26"], ["not", "yet", "1", "0", "-", "0", "0", "0"],
    ]  # fmt: skip
    plain = desk.submit(3, "-s", "greedy", "--new")
    assert desk.tts("status", str(plain), "--json").json["bins"] is None
    assert "by how hard" not in desk.tts("status", str(plain)).stdout


def test_explain_reads_what_is_stored(desk: Desk) -> None:
    job_id = desk.submit(3, *OPTIMAL)
    stage_and_settle(desk, job_id, 2)
    data = desk.tts("explain", "last", "k0", "--json").json
    assert (data["key"], data["state"], data["stopped"], data["bin"], data["job_policy"]) == (
        "k0", "done", "budget", 1, "seed",
    )  # fmt: skip
    assert data["decisions"][0]["reason"] == "budget"
    assert data["evidence"]["drawn"] == 2
    assert desk.tts("explain", "last", "k2").stdout == "Nothing has been decided yet: the query is pending.\n"
    desk.submit(3, "-s", "greedy", "--new")
    assert desk.tts("explain", "last", "k0").stdout == (
        "Every query of this job gets the same: greedy with a budget of 1 sample; nothing was decided for this one.\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--policy", "nobody"), "--policy: "),
        (("--allocation", "adaptive"), "--allocation adaptive: it shares the budget out"),
        (("--difficulty", "given"), "--difficulty given: 2 of 2 problems have no level"),
    ],
)
def test_what_cannot_be_submitted_is_a_sentence(desk: Desk, options: tuple[str, ...], message: str) -> None:
    desk.submit(2)
    said = desk.tts("submit", "problems.jsonl", "-g", "fast", *OPTIMAL, *options)
    assert (said.code, said.stdout) == (2, "")
    assert said.stderr.startswith(f"Error: {message}")
