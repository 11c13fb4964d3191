"""One attempt that is solved: what is reused, graded and booked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from models.settings import ModelEntry
from scheduler.submission import DEFAULT_VERIFIER
from strategies.protocols import Completion, Prefix, TokenUsage, TransientError
from strategies.registry import STRATEGIES
from strategies.task import Candidate
from tests.unit.worker.attempts import agrees, boxed, made, run, spent, work
from tests.unit.worker.scripted import COSTS, Reply, ScriptedEngine
from tests.unit.worker.test_steps import Writer
from worker.engines import instant
from worker.grading import GradingPool
from worker.meter import SharedEngine
from worker.solver import Attempt, candidate_row, longest_chain
from worker.verifiers import Verifiers


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[GradingPool]:
    pool = GradingPool()
    yield pool
    await asyncio.to_thread(pool.close)


# --- solved -----------------------------------------------------------------------------------------------------------


async def test_a_vote_is_graded_candidate_by_candidate(pool: GradingPool) -> None:
    outcome, _, engine = await run(work(), boxed("4", "5", "8/2", "2+2"), pool)
    assert (outcome.state, outcome.answer, outcome.correct, outcome.stopped) == ("done", "4", True, "complete")
    assert (outcome.votes, outcome.voters, outcome.score) == (3, 4, None)
    assert [row["path"] for row in outcome.candidates] == ["0", "1", "2", "3"]
    assert [row["correct"] for row in outcome.candidates] == [True, False, True, True]
    assert [row["answer_class"] for row in outcome.candidates] == [0, 1, 0, 0]
    (row,) = outcome.usage
    assert (row["calls"], row["canonical_prompt_tokens"], row["generated_tokens"]) == (4, 7, 20)
    assert spent(outcome) == 27
    assert outcome.sequential_tokens == 5
    assert engine.most_running == 4


async def test_one_of_a_class_can_be_right_and_another_not(pool: GradingPool) -> None:
    given = work(budget=(3, "samples"), answer="102")
    near = replace(given.context, template=replace(given.context.template, answer="number", tolerance=0.01))
    outcome, _, _ = await run(replace(given, context=near), boxed("100", "101", "7"), pool)
    assert [row["answer_class"] for row in outcome.candidates] == [0, 0, 1]
    assert [row["correct"] for row in outcome.candidates] == [False, True, False]
    assert (outcome.answer, outcome.correct) == ("100", False)


async def test_unparsed_and_cut_candidates_are_wrong_and_paid(pool: GradingPool) -> None:
    replies: list[Reply] = [(5, 1, "no idea"), (25, 1, r"\boxed{4}"), (5, 1, r"\boxed{5}")]
    outcome, _, _ = await run(work(budget=(3, "samples")), lambda call: replies[call], pool)
    assert (outcome.answer, outcome.correct) == ("5", False)
    assert [row["correct"] for row in outcome.candidates] == [False, False, False]
    assert [row["finish_reason"] for row in outcome.candidates] == ["stop", "length", "stop"]
    assert [row["answer"] for row in outcome.candidates] == [None, None, "5"]
    assert outcome.sequential_tokens == 20
    assert spent(outcome) == 7 + 5 + 20 + 5


async def test_no_answer_is_wrong_where_there_is_a_reference_and_ungraded_where_there_is_none(
    pool: GradingPool,
) -> None:
    outcome, _, _ = await run(work(), lambda call: (5, 1, "?"), pool)
    assert (outcome.state, outcome.answer, outcome.correct) == ("done", None, False)
    assert (outcome.votes, outcome.voters) == (0, 0)
    outcome, _, _ = await run(work(answer=None), boxed("4"), pool)
    assert (outcome.answer, outcome.correct) == ("4", None)
    assert [row["correct"] for row in outcome.candidates] == [None] * 4


async def test_the_exact_oracle_chooses_the_right_one(pool: GradingPool) -> None:
    replies = boxed("5", "5", r"\frac{8}{2}", "5")
    outcome, _, _ = await run(work("best_of_n", verifier="exact"), replies, pool)
    assert (outcome.answer, outcome.correct) == (r"\frac{8}{2}", True)
    assert [row["score"] for row in outcome.candidates] == [0.0, 0.0, 1.0, 0.0]
    assert [row["step_scores"] for row in outcome.candidates] == [[0.0], [0.0], [1.0], [0.0]]
    outcome, _, _ = await run(work("best_of_n", verifier="exact", answer=None), replies, pool)
    assert (outcome.state, outcome.reason) == (
        "failed",
        "exact: the problem has no reference answer; choose another verifier",
    )


async def test_confidence_chooses_by_the_engines_own_log_probabilities(pool: GradingPool) -> None:
    generator = await instant.start("instant", ModelEntry(engine="instant", model="-"))
    job = work("best_of_n", (16, "samples"), verifier="mean_logprob", answer="0")
    outcome = await Attempt(job, SharedEngine.around(generator), COSTS, pool, Verifiers()).run(5)
    agrees(outcome)
    for row in outcome.candidates:
        assert row["score"] == row["step_scores"][-1] == pytest.approx(math.exp(row["step_logprobs"][-1]))
    best = max(outcome.candidates, key=lambda row: row["score"])
    assert (outcome.answer, outcome.correct) == (best["answer"], best["answer"] == "0")
    assert len({row["score"] for row in outcome.candidates}) > 1


class TwoSteps(Writer):
    """Writes one step, and behind it the answer."""

    async def generate(self, prefix: Prefix, **options: Any) -> list[Completion]:
        self.texts.append("2+2\n\n" if prefix.token_count == 3 else r"\boxed{4}")
        return await super().generate(prefix, **options)


@pytest.mark.parametrize("strategy", [name for name, entry in STRATEGIES.items() if entry.searches])
async def test_every_search_works_with_the_verifier_it_gets_by_default(strategy: str, pool: GradingPool) -> None:
    job = work(strategy, verifier=DEFAULT_VERIFIER)
    outcome = await Attempt(job, SharedEngine.around(TwoSteps()), COSTS, pool, Verifiers()).run(5)
    assert (outcome.state, outcome.reason, outcome.answer, outcome.stopped) == ("done", None, "4", "complete")
    assert {row["path"].count(".") for row in outcome.candidates if row["score"] is not None} == {0, 1}


async def test_a_budget_in_tokens_ends_with_the_best_so_far(pool: GradingPool) -> None:
    outcome, _, _ = await run(work(budget=(7 + 3 * 15 + 8, "tokens")), boxed("4", "5", "4", length=15), pool)
    assert (outcome.state, outcome.stopped, outcome.answer) == ("done", "budget", "4")
    assert [row["finish_reason"] for row in outcome.candidates] == ["stop", "stop", "stop", "clipped"]
    assert spent(outcome) == 60
    outcome, _, engine = await run(work(budget=(7, "tokens")), boxed("4"), pool)
    assert (outcome.state, outcome.stopped, outcome.answer, outcome.correct) == ("done", "budget", None, False)
    assert (outcome.candidates, outcome.usage, engine.asked) == ([], [], [])


async def test_samples_that_were_given_up_are_discarded_and_not_wrong(pool: GradingPool) -> None:
    engine = Writer("a" * 99, r"\boxed{4}")
    job = work("first_finish", (2, "samples"), parameters={"segment": 9})
    outcome = await Attempt(job, SharedEngine.around(engine), COSTS, pool, Verifiers()).run(5)
    assert (outcome.answer, outcome.correct, outcome.sequential_tokens) == ("4", True, 9)
    assert [(row["path"], row["correct"], row["disposition"]) for row in outcome.candidates] == [
        ("f0", None, "discarded"),
        ("f1", True, "kept"),
    ]
    assert {row["disposition"]: row["generated_tokens"] for row in outcome.usage} == {"kept": 9, "discarded": 9}


# --- candidates made earlier ------------------------------------------------------------------------------------------


async def test_other_jobs_candidates_are_charged_to_the_query_but_not_spent_again(pool: GradingPool) -> None:
    reusable = [made("0", "5", reused_from=70), made("2", "4", reused_from=72), made("9", "5", reused_from=79)]
    outcome, attempt, engine = await run(work(candidates=reusable), boxed("4"), pool)
    assert len(engine.asked) == 2
    assert [row["reused_from"] for row in outcome.candidates] == [70, None, 72, None]
    assert {row["reused"]: row["generated_tokens"] for row in outcome.usage} == {True: 10, False: 10}
    assert spent(outcome) == 10  # the prompt was charged with the first reused one
    assert attempt.ledger.spent("tokens") == 27


async def test_the_querys_own_candidates_are_not_booked_again(pool: GradingPool) -> None:
    own = [made("0", "4"), made("1", "4", reused_from=70)]
    engine = ScriptedEngine(boxed("5"))
    attempt = Attempt(work(candidates=own, own=["0", "1"]), SharedEngine.around(engine), COSTS, pool, Verifiers())
    outcome = await attempt.run(5)
    assert (outcome.answer, len(engine.asked), len(outcome.candidates)) == ("4", 2, 4)
    (row,) = outcome.usage
    assert (row["calls"], row["canonical_prompt_tokens"], spent(outcome)) == (2, 0, 10)
    assert attempt.ledger.spent("tokens") == 27


async def test_greedy_takes_only_a_greedy_candidate(pool: GradingPool) -> None:
    reusable = [made("0", "5", reused_from=70), made("greedy", "4", reused_from=71)]
    outcome, _, engine = await run(work("greedy", (1, "samples"), candidates=reusable), boxed("6"), pool)
    assert (outcome.answer, engine.asked) == ("4", [])


async def test_what_is_reused_fits_the_budget_as_if_it_were_drawn(pool: GradingPool) -> None:
    reusable = [made(str(path), "5", reused_from=70 + path, length=9) for path in range(8)]
    outcome, attempt, engine = await run(
        work(budget=(7 + 9 + 9 + 4, "tokens"), candidates=reusable), boxed("5", length=9), pool
    )
    assert attempt.ledger.spent("tokens") == 29
    assert [row["finish_reason"] for row in outcome.candidates] == ["stop", "stop", "clipped"]
    assert (engine.asked, spent(outcome), outcome.stopped) == ([4], 4, "budget")
    outcome, attempt, engine = await run(work(budget=(10, "tokens"), candidates=reusable), boxed("5", length=9), pool)
    assert (engine.asked, attempt.ledger.spent("tokens")) == ([3], 10)


async def test_ones_own_come_first_for_they_are_paid_already(pool: GradingPool) -> None:
    others = [made(str(path), "5", reused_from=70 + path, length=9) for path in range(3)]
    engine = ScriptedEngine(boxed("5", length=9))
    job = work(budget=(7 + 9 + 9, "tokens"), candidates=[*others, made("5", "4", length=9)], own=["5"])
    attempt = Attempt(job, SharedEngine.around(engine), COSTS, pool, Verifiers())
    outcome = await attempt.run(5)
    assert [row["path"] for row in outcome.candidates] == ["0", "5"]
    assert (engine.asked, attempt.ledger.spent("tokens"), spent(outcome)) == ([], 25, 0)


async def test_a_vote_that_is_settled_earlier_is_charged_for_no_more_than_it_counted(pool: GradingPool) -> None:
    reusable = [made(str(path), "5", reused_from=70 + path) for path in range(8)]
    job = work("adaptive_consistency", (8, "samples"), candidates=reusable)
    outcome, attempt, engine = await run(job, boxed("5"), pool)
    assert ([row["path"] for row in outcome.candidates], engine.asked) == (["0", "1", "2", "3"], [])
    assert [(row["reused"], row["samples"], row["generated_tokens"]) for row in outcome.usage] == [(True, 4, 20)]
    assert attempt.ledger.spent("samples") == 4


async def test_work_taken_over_by_a_failed_attempt_is_the_next_ones_own(pool: GradingPool) -> None:
    """Or each retry would book the same reused candidates once more."""
    reusable = [made("0", "5", reused_from=70)]
    outcome, _, _ = await run(work(candidates=reusable), lambda call: TransientError("busy"), pool)
    assert outcome.state == "retry"
    assert [(row["path"], row["reused_from"]) for row in outcome.candidates] == [("0", 70)]


# --- rows -------------------------------------------------------------------------------------------------------------


def test_sequential_tokens_are_the_longest_chain() -> None:
    def node(path: str, parent: Candidate | None, tokens: int) -> Candidate:
        return Candidate(path, "", "stop", TokenUsage(1, 0, tokens), parent)

    first = node("s0", None, 10)
    second = node("s0.0", first, 5)
    tree = [first, second, node("s0.1", first, 30), node("s0.0.0", second, 30), node("0", None, 42)]
    assert longest_chain(tree) == 45
    assert longest_chain([]) == 0


def test_a_row_holds_all_of_a_candidate() -> None:
    one = replace(made("s0.1", "4", reused_from=9), parent=made("s0", "4"), answer="4", answer_class=2, kept=False)
    one.score, one.step_scores, one.tokens = 0.5, (0.25, 0.5), (7, 8)
    assert candidate_row(one) == {
        "path": "s0.1",
        "parent": "s0",
        "tokens": [7, 8],
        "text": r"\boxed{4}",
        "answer": "4",
        "answer_class": 2,
        "correct": None,
        "finish_reason": "stop",
        "score": 0.5,
        "step_scores": [0.25, 0.5],
        "step_logprobs": [-0.5],
        "prompt_tokens": 7,
        "cached_tokens": 0,
        "generated_tokens": 5,
        "gpu_seconds": 0.5,
        "disposition": "discarded",
        "reused_from": 9,
    }
