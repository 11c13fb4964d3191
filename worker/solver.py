"""One attempt from claim to outcome: build the strategy's task, let it solve, grade, and add up."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any, Literal

from models.costs import CostModel
from models.errors import UserError
from models.specification import KeepTree
from models.transitions import Claim, Outcome
from strategies import registry
from strategies.evidence import evidence_of
from strategies.protocols import Answers, EngineDied, ProblemView, QueryError, TransientError
from strategies.sampling import GREEDY_PATH
from strategies.sequential_revision import place_of
from strategies.task import Budget, Candidate, Solution, Strategy
from strategies.votes import classify
from worker.extensions import check_packages
from worker.grading import GradingPool, answers_of, grade_by
from worker.ledger import Ledger
from worker.meter import Meter, SharedEngine
from worker.metered import Question, metered_task
from worker.verifiers import Own, Verifiers
from worker.work import Work

log = logging.getLogger(__name__)

EndState = Literal["done", "staged", "drained", "failed", "retry", "cancelled"]
BACKOFF_SECONDS = 2.0
LONGEST_BACKOFF_SECONDS = 300.0


class Attempt:
    """One attempt in flight. Its ledger can be read while it runs; `ended_by` says why it is being cancelled."""

    def __init__(
        self, work: Work, engine: SharedEngine, costs: CostModel, pool: GradingPool, verifiers: Verifiers
    ) -> None:
        self.work = work
        self.ended_by: EndState | None = None
        self.ledger = Ledger(costs, prompt_charged=bool(work.own))
        self._engine = engine
        self._verifiers = verifiers
        self._pool = pool
        self._answers: Answers
        self._meter: Meter | None = None
        self._taken: list[Candidate] = []

    async def run(self, max_retries: int) -> Outcome:
        """Solve the query. Errors become outcomes, told apart by whose they are.

        Raises:
            EngineDied: the process must leave.
            asyncio.CancelledError: the lease was lost, so there is nothing to commit.
        """
        try:
            solution = await self._solve()
            return await self._answered(solution)
        except asyncio.CancelledError:
            if self.ended_by is None:
                raise
            return self._unfinished(self.ended_by, reason=None)
        except Exception as error:
            cause = _first(error)
            if self.ended_by is not None and not isinstance(cause, EngineDied):
                return self._unfinished(self.ended_by, reason=None)  # an error on the way out is no failure
            return self._failed(cause, max_retries)

    def usage_if_lost(self) -> list[dict[str, Any]]:
        """Usage rows for the heartbeat: what has to be booked as wasted if the process dies now."""
        return self.ledger.rows_if_lost(*(self._meter.in_flight() if self._meter else (0, 0, 0, 0.0)))

    async def _solve(self) -> Solution:
        work, context = self.work, self.work.context
        claim, specification = work.claim, context.specification
        check_packages(specification.packages)
        entry = registry.find(claim.strategy)
        self._answers = answers_of(context.template, self._pool, work.prompt)
        budget = Budget(claim.budget_amount, claim.budget_unit)  # type: ignore[arg-type]
        verifier = None
        if specification.verifier and (specification.plan is None or entry.asks_verifier(claim.parameters)):
            verifier = await self._verifiers.find(
                specification.verifier, specification.verifier_identity, grade_by(self._answers), self._own()
            )
            # A search has each step scored by itself, as it is drawn.
            every_step = not entry.searches and entry.scores_every_step(claim.parameters)
            self.ledger.costs = replace(self.ledger.costs, every_step=every_step)
        question = Question(
            ProblemView(work.key, work.prompt, work.answer),
            context.template,
            context.sampling,
            specification.seed,
            work.subject,
            work.level,
        )
        task, self._meter = await metered_task(question, self._engine, self.ledger, self._answers, budget, verifier)
        strategy = self._strategy(claim)
        task.candidates = self._take_over(budget, task.width)
        seats = self._engine.seats.taken(task.width, self._meter.cache_needed(task.width))
        async with seats if entry.searches else nullcontext():
            solution = await strategy.solve(task)
        if entry.package is not None:
            await classify(solution.candidates, self._answers)  # what the record needs, a package need not know
        return solution

    def _strategy(self, claim: Claim) -> Strategy:
        try:
            return registry.build(claim.strategy, claim.parameters)
        except ValueError as error:
            raise QueryError(str(error)) from None

    def _own(self) -> Own:
        """The generator that writes, where it is to be its own judge."""
        return self._engine.generator, self.ledger.costs

    def _take_over(self, budget: Budget, width: int) -> list[Candidate]:
        """The earlier candidates this plan can use: its own, and others' at their original cost while they fit."""
        strategy, parameters = registry.find(self.work.claim.strategy), self.work.claim.parameters
        usable = [one for one in self.work.candidates if strategy.uses(one.path, budget, parameters, width)]
        usable.sort(key=lambda one: (one.path not in self.work.own, one.path != GREEDY_PATH, len(one.path), one.path))
        for candidate in usable:
            if candidate.path in self.work.own:
                self.ledger.carry(candidate)
            elif budget.unit == "samples" or self._fits(candidate, budget):
                self.ledger.completion(candidate, reused=True)
            else:
                break
            self._taken.append(candidate)
        return self._taken

    def _fits(self, candidate: Candidate, budget: Budget) -> bool:
        price = self.ledger.price_of(candidate, budget.unit)
        return self.ledger.spent(budget.unit) + price <= budget.amount

    async def _answered(self, solution: Solution) -> Outcome:
        reference = self.work.answer
        self.ledger.give_back({candidate.path for candidate in solution.candidates})
        # Nobody goes on from here, so the ids that steps would continue are not kept.
        whole = [replace(candidate, tokens=None) for candidate in solution.candidates]
        final = self.work.claim.final
        outcome = self._ended("done" if final else "staged", whole)
        outcome.answer = solution.answer
        if final:
            outcome.stopped = solution.stopped
        else:
            outcome.evidence = asdict(evidence_of(solution.candidates))
        voters = [one for one in solution.candidates if one.answer_class >= 0]
        chosen = next((one for one in voters if one.path == solution.chosen), None)
        outcome.voters = len(voters)
        outcome.votes = sum(chosen is not None and one.answer_class == chosen.answer_class for one in voters)
        outcome.score = chosen.score if chosen else None
        if reference is not None:
            # Each answer by itself: with a tolerance, one of a class can be right and another not.
            verdicts: dict[str | None, bool] = {None: False}
            for answer in (solution.answer, *(candidate.answer for candidate in solution.candidates)):
                if answer not in verdicts and answer is not None:
                    verdicts[answer] = await self._answers.equivalent(answer, reference)
            for candidate, row in zip(solution.candidates, outcome.candidates, strict=True):
                row["correct"] = None if candidate.finish_reason == "step" else verdicts[candidate.answer]
            outcome.correct = verdicts[solution.answer]
        if final:
            left = left_behind(solution, self.work.context.specification.keep_tree)
            outcome.candidates = [row for row in outcome.candidates if row["path"] in left]
        return outcome

    def _failed(self, error: BaseException, max_retries: int) -> Outcome:
        if isinstance(error, EngineDied):
            raise error
        known = isinstance(error, QueryError | TransientError | UserError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        retries = self.work.claim.retries
        if isinstance(error, QueryError | UserError) or retries >= max_retries:
            log.info("failed: %s", reason)
            return self._unfinished("failed", reason)
        if not known:
            log.exception("unexpected error, the query will be tried again", exc_info=error)
        outcome = self._unfinished("retry", reason)
        delay = min(BACKOFF_SECONDS * 2**retries, LONGEST_BACKOFF_SECONDS)
        outcome.retry_after = delay * random.uniform(0.5, 1.5)  # noqa: S311  (spreads retries, decides nothing)
        if known:
            log.info("will be tried again in %.1f s: %s", outcome.retry_after, reason)
        return outcome

    def _unfinished(self, state: EndState, reason: str | None) -> Outcome:
        """What was completed or taken over is kept: the next attempt finds it as its own, booked once."""
        outcome = self._ended(state, [*self._taken, *(self._meter.finished if self._meter else [])])
        outcome.reason = reason
        return outcome

    def _ended(self, state: EndState, candidates: Sequence[Candidate]) -> Outcome:
        usage = self.ledger.rows({candidate.path for candidate in candidates if not candidate.kept})
        return Outcome(
            claim=self.work.claim,
            state=state,
            sequential_tokens=longest_chain([one for one in candidates if one.path not in self.work.staged]),
            candidates=[candidate_row(candidate) for candidate in candidates],
            usage=usage,
        )


def left_behind(solution: Solution, keep_tree: KeepTree) -> set[str]:
    """The paths of the candidates that are stored: all, those that led to an end, or the chosen one's steps."""
    if keep_tree == "full":
        return {candidate.path for candidate in solution.candidates}
    if keep_tree == "winners":
        return {candidate.path for candidate in solution.candidates if candidate.kept}
    chosen = [candidate for candidate in solution.candidates if candidate.path == solution.chosen]
    return {step.path for candidate in chosen for step in candidate.lineage}


def candidate_row(candidate: Candidate) -> dict[str, Any]:
    """A candidate as a row of the `candidate` table, without its keys."""
    return {
        "path": candidate.path,
        "parent": candidate.parent.path if candidate.parent else None,
        "tokens": None if candidate.tokens is None else list(candidate.tokens),
        "text": candidate.text,
        "answer": candidate.answer,
        "answer_class": candidate.answer_class,
        "correct": None,
        "finish_reason": candidate.finish_reason,
        "score": candidate.score,
        "step_scores": None if candidate.step_scores is None else list(candidate.step_scores),
        "step_logprobs": None if candidate.step_logprobs is None else list(candidate.step_logprobs),
        "prompt_tokens": candidate.usage.prompt_tokens,
        "cached_tokens": candidate.usage.cached_tokens,
        "generated_tokens": candidate.usage.generated_tokens,
        "gpu_seconds": candidate.gpu_seconds,
        "disposition": "kept" if candidate.kept else "discarded",
        "reused_from": candidate.reused_from,
    }


def longest_chain(candidates: Sequence[Candidate]) -> int:
    """`sequential_tokens`: the most generated tokens on any path from the root or in any chain of revisions, what the
    query had to wait for."""
    chains: Counter[int] = Counter()
    for one in candidates:
        place = place_of(one.path)
        if place is not None:
            chains[place[0]] += one.usage.generated_tokens
    trees = (sum(one.usage.generated_tokens for one in last.lineage) for last in candidates)
    return max((*trees, *chains.values()), default=0)


def _first(error: BaseException) -> BaseException:
    """The error to act on: inside a group an engine's death before a query's own fault before anything passing."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_first(inner) for inner in error.exceptions]
    ranks = (EngineDied, QueryError, UserError)
    return min(leaves, key=lambda leaf: next((i for i, kind in enumerate(ranks) if isinstance(leaf, kind)), len(ranks)))
