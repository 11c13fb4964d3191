"""Claimed queries to be solved on a scripted engine, and what must hold of every outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import pytest

from models.specification import JobSpecification, template_to_dict
from models.templates import load_template
from models.transitions import Claim, Outcome, charged
from strategies.protocols import Sampling, TokenUsage
from strategies.task import Candidate
from tests.unit.worker.scripted import COSTS, Reply, ScriptedEngine
from worker.grading import GradingPool
from worker.meter import SharedEngine
from worker.solver import Attempt
from worker.verifiers import Verifiers
from worker.work import JobContext, Work

SAMPLING = Sampling(max_tokens=20)


def spent(outcome: Outcome) -> float:
    """What an outcome takes from a cap in tokens."""
    return sum(charged(row, "tokens") for row in outcome.usage)


def work(
    strategy: str = "majority_vote",
    budget: tuple[float, str] = (4, "samples"),
    *,
    parameters: dict[str, Any] | None = None,
    verifier: str | None = None,
    candidates: Sequence[Candidate] = (),
    own: Sequence[str] = (),
    retries: int = 0,
    answer: str | None = "4",
    final: bool = True,
    staged: Sequence[str] = (),
    plan: dict[str, Any] | None = None,
) -> Work:
    template = load_template("math-boxed")
    specification = JobSpecification(
        generator="scripted",
        generator_identity="scripted",
        verifier=verifier,
        strategy=strategy,
        budget_amount=budget[0],
        budget_unit=budget[1],
        sampling=asdict(SAMPLING),
        template=template_to_dict(template),
        seed=3,
        plan=plan,
    )
    return Work(
        claim=Claim(11, 1, 5, 21, 1, 0, retries, strategy, parameters or {}, *budget, final=final),
        context=JobContext(specification, template, SAMPLING, specification.sampling_key),
        key="p",
        prompt="2 + 2?",
        answer=answer,
        subject=None,
        level=None,
        candidates=tuple(candidates),
        own=frozenset(own),
        staged=frozenset(staged),
    )


def boxed(*answers: str, length: int = 5, turns: int = 1) -> Callable[[int], Reply]:
    return lambda call: (length, turns, rf"So it is \boxed{{{answers[call % len(answers)]}}}.")


def made(path: str, answer: str, *, reused_from: int | None = None, length: int = 5) -> Candidate:
    text = rf"\boxed{{{answer}}}"
    usage = TokenUsage(7, 0, length)
    return Candidate(path, text, "stop", usage, step_logprobs=(-0.5,), gpu_seconds=0.5, reused_from=reused_from)


async def run(
    work: Work, reply: Callable[[int], Reply], pool: GradingPool, max_retries: int = 5
) -> tuple[Outcome, Attempt, ScriptedEngine]:
    engine = ScriptedEngine(reply)
    attempt = Attempt(work, SharedEngine.around(engine), COSTS, pool, Verifiers())
    outcome = await attempt.run(max_retries)
    agrees(outcome)
    return outcome, attempt, engine


def agrees(outcome: Outcome) -> None:
    """The kept rows of the ledger are the candidates, token by token, and the cap is charged for what was new."""
    kept = [row for row in outcome.usage if row["disposition"] == "kept" and row["phase"] == "generate"]
    fresh = [row for row in kept if not row["reused"]]
    new = [row for row in outcome.candidates if row["reused_from"] is None]
    old = [row for row in outcome.candidates if row["reused_from"] is not None]
    for rows, candidates in ((fresh, new), ([row for row in kept if row["reused"]], old)):
        for name in ("prompt_tokens", "generated_tokens"):
            assert sum(row[name] for row in rows) == sum(one[name] for one in candidates)
        assert sum(row["calls"] for row in rows) == len(candidates)
        assert sum(row["gpu_seconds"] for row in rows) == pytest.approx(sum(one["gpu_seconds"] for one in candidates))
    assert spent(outcome) == sum(row["canonical_prompt_tokens"] + row["generated_tokens"] for row in fresh)
