"""Attempts that are not solved: whose fault it is, what is kept, what is booked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from models.errors import UserError
from models.transitions import Outcome
from strategies.protocols import EngineDied, QueryError, TransientError
from tests.unit.worker.attempts import agrees, boxed, made, run, spent, work
from tests.unit.worker.scripted import COSTS, Reply, ScriptedEngine, says
from worker.engines.request import room
from worker.grading import GradingPool
from worker.meter import SharedEngine
from worker.solver import BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, Attempt
from worker.verifiers import Verifiers
from worker.work import Work


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[GradingPool]:
    pool = GradingPool()
    yield pool
    await asyncio.to_thread(pool.close)


def after(count: int, error: Exception) -> Callable[[int], Reply]:
    """`count` quick completions, then a call that fails while others run on."""

    def reply(call: int) -> Reply:
        if call == count:
            return error
        return (5, 1 if call < count else 99, r"\boxed{4}")

    return reply


@pytest.mark.parametrize("error", [QueryError("the prompt is too long"), UserError("template: wrong; correct it")])
async def test_the_querys_own_error_fails_it_at_once(error: Exception, pool: GradingPool) -> None:
    outcome, _, engine = await run(work(), after(2, error), pool)
    assert (outcome.state, outcome.reason, outcome.retry_after) == ("failed", str(error), 0)
    assert (outcome.answer, outcome.correct) == (None, None)
    assert engine.cancelled == 1
    wasted = [row for row in outcome.usage if row["disposition"] == "wasted"]
    assert [(row["calls"], row["at_least"]) for row in wasted] == [(2, True)]


@pytest.mark.parametrize(
    ("packages", "here"),
    [({"tts-nobodys": "0.1"}, "not installed"), ({"pytest": "0.1"}, pytest.__version__)],
)
async def test_a_job_of_a_package_that_is_not_here_fails_with_a_sentence(
    packages: dict[str, str], here: str, pool: GradingPool
) -> None:
    given = work()
    specification = given.context.specification.model_copy(update={"packages": packages})
    given = replace(given, context=replace(given.context, specification=specification))
    outcome, _, _ = await run(given, boxed("4"), pool)
    (name,) = packages
    assert (outcome.state, outcome.reason) == (
        "failed",
        f"this worker has {name} {here} and the job needs 0.1; install it",
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TransientError("the server is busy"), "the server is busy"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
async def test_what_may_pass_is_retried_and_then_fails(error: Exception, reason: str, pool: GradingPool) -> None:
    for retries in range(12):
        outcome, _, _ = await run(work(retries=retries), after(2, error), pool, max_retries=12)
        assert (outcome.state, outcome.reason) == ("retry", reason)
        delay = min(BACKOFF_SECONDS * 2**retries, LONGEST_BACKOFF_SECONDS)
        assert 0.5 * delay <= outcome.retry_after <= 1.5 * delay
    outcome, _, _ = await run(work(retries=12), after(2, error), pool, max_retries=12)
    assert (outcome.state, outcome.reason, outcome.retry_after) == ("failed", reason, 0)


async def test_what_was_finished_before_an_error_is_kept(pool: GradingPool) -> None:
    shared = SharedEngine.around(ScriptedEngine(after(2, TransientError("busy")), capacity=1))
    shared.admission = asyncio.Semaphore(1)  # one after the other
    outcome = await Attempt(work(), shared, COSTS, pool, Verifiers()).run(5)
    agrees(outcome)
    assert [row["path"] for row in outcome.candidates] == ["0", "1"]
    # The last one had been let in when the third gave its place away.
    assert sorted((row["disposition"], row["calls"]) for row in outcome.usage) == [("kept", 2), ("wasted", 2)]


async def test_the_gravest_error_of_a_group_counts(pool: GradingPool) -> None:
    errors: list[Reply] = [TransientError("busy"), ValueError("odd"), QueryError("too long"), TransientError("busy")]
    outcome, _, _ = await run(work(), lambda call: errors[call], pool)
    assert (outcome.state, outcome.reason) == ("failed", "too long")
    errors[3] = EngineDied("gone")
    with pytest.raises(EngineDied):
        await run(work(), lambda call: errors[call], pool)


async def test_a_dead_engine_is_not_the_querys_fault(pool: GradingPool) -> None:
    with pytest.raises(EngineDied, match="gone"):
        await run(work(retries=99), after(1, EngineDied("gone")), pool)


async def test_a_prompt_that_does_not_fit_the_context(pool: GradingPool) -> None:
    class Small(ScriptedEngine):
        async def generate(self, prefix: Any, **options: Any) -> Any:
            room(prefix, 7, options["max_tokens"])
            return await super().generate(prefix, **options)

    outcome = await Attempt(work(), SharedEngine.around(Small(says(5))), COSTS, pool, Verifiers()).run(5)
    assert (outcome.state, outcome.reason) == ("failed", "the prompt has 7 tokens and the model's context holds 7")
    assert spent(outcome) == 0


async def test_a_failed_score_fails_the_attempt(pool: GradingPool) -> None:
    outcome, _, _ = await run(work("weighted_vote", verifier="mean_logprob"), boxed("4"), pool)
    assert outcome.state == "failed"
    assert outcome.reason == "mean_logprob: the engine returned no log-probabilities; choose another verifier"
    assert len(outcome.candidates) == 4
    assert {row["score"] for row in outcome.candidates} == {None}


async def test_an_unknown_verifier_is_a_sentence(pool: GradingPool) -> None:
    outcome, _, _ = await run(work("best_of_n", verifier="prm"), boxed("4"), pool)
    assert outcome.state == "failed"
    assert (outcome.reason or "").startswith("--verifier: unknown verifier 'prm'")


# --- cut short --------------------------------------------------------------------------------------------------------


async def interrupted(
    work: Work, reply: Callable[[int], Reply], pool: GradingPool, ended_by: Any, turns: int = 20
) -> tuple[Outcome, ScriptedEngine]:
    engine = ScriptedEngine(reply)
    attempt = Attempt(work, SharedEngine.around(engine), COSTS, pool, Verifiers())
    task = asyncio.ensure_future(attempt.run(5))
    for _ in range(turns):
        await asyncio.sleep(0)
    attempt.ended_by = ended_by
    task.cancel()
    return await task, engine


def half_stuck(call: int) -> Reply:
    return (5, 1 if call < 2 else 10_000, r"\boxed{4}")


@pytest.mark.parametrize("state", ["drained", "cancelled"])
async def test_what_is_cut_short_keeps_what_was_finished(state: str, pool: GradingPool) -> None:
    reusable = [made("3", "5", reused_from=73)]
    outcome, engine = await interrupted(work(candidates=reusable), half_stuck, pool, state)
    agrees(outcome)
    assert (outcome.state, outcome.reason, outcome.answer, outcome.retry_after) == (state, None, None, 0)
    assert {row["path"] for row in outcome.candidates} == {"0", "1", "3"}
    assert engine.cancelled == 1
    assert sorted((row["disposition"], row["reused"], row["calls"]) for row in outcome.usage) == [
        ("kept", False, 2),
        ("kept", True, 1),
        ("wasted", False, 1),
    ]


async def test_a_lost_lease_leaves_nothing_to_commit(pool: GradingPool) -> None:
    with pytest.raises(asyncio.CancelledError):
        await interrupted(work(), half_stuck, pool, None)


@pytest.mark.parametrize("state", ["drained", "cancelled"])
async def test_an_error_on_the_way_out_does_not_count_against_the_query(state: str, pool: GradingPool) -> None:
    class Clumsy(ScriptedEngine):
        async def generate(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().generate(*args, **options)
            except asyncio.CancelledError:
                raise TransientError("connection lost while aborting") from None

    attempt = Attempt(work(), SharedEngine.around(Clumsy(half_stuck)), COSTS, pool, Verifiers())
    task = asyncio.ensure_future(attempt.run(5))
    for _ in range(20):
        await asyncio.sleep(0)
    attempt.ended_by = state  # type: ignore[assignment]
    task.cancel()
    outcome = await task
    agrees(outcome)
    assert (outcome.state, outcome.reason) == (state, None)
    assert len(outcome.candidates) == 2


async def test_the_ledger_can_be_read_while_it_runs(pool: GradingPool) -> None:
    engine = ScriptedEngine(half_stuck)
    attempt = Attempt(work(), SharedEngine.around(engine), COSTS, pool, Verifiers())
    assert attempt.usage_if_lost() == []
    task = asyncio.ensure_future(attempt.run(5))
    for _ in range(20):
        await asyncio.sleep(0)
    (row,) = attempt.usage_if_lost()
    assert (row["disposition"], row["calls"], row["generated_tokens"], row["prompt_tokens"]) == ("wasted", 4, 10, 28)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
