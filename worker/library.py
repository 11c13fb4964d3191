"""One problem at a time, without a queue or a database: an engine in this process, and strategies on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.budgets import parse_budget
from models.catalogue import find_generator
from models.costs import CostModel
from models.errors import UserError
from models.templates import DEFAULT_TEMPLATE, load_template
from strategies import registry
from strategies.protocols import Answers, ProblemView, Sampling, Verifier
from strategies.task import Budget, Candidate, Strategy
from worker.engines import start_engine
from worker.grading import GradingPool, answers_of, grade_by
from worker.ledger import Ledger
from worker.meter import SharedEngine
from worker.metered import Question, metered_task
from worker.verifiers import Verifiers


@dataclass(frozen=True, slots=True)
class Solved:
    """A strategy's result and what it cost: `usage` are rows as in the table `usage` (docs/database.md).

    `correct` is None without a reference answer; `stopped` and `chosen` as in `strategies.task.Solution`.
    """

    answer: str | None
    correct: bool | None
    stopped: str
    chosen: str | None
    candidates: list[Candidate]
    usage: list[dict[str, Any]]


class Solver:
    """A generator, and a verifier where one is named, for as long as the `async with` block lasts.

    `generator` is a name, a directory, a .gguf file or a URL, as for `--generator`. `verifier` and `answers` are names,
    as for `--verifier` and `--answer`, or objects with the methods of `strategies.protocols.Verifier` and `Answers`.
    `sampling` holds the fields of `strategies.protocols.Sampling` that differ from the template's.

    Raises:
        UserError: a name that means nothing, or an engine that cannot be started.
    """

    def __init__(
        self,
        generator: str,
        *,
        verifier: str | Verifier | None = None,
        answers: str | Answers | None = None,
        template: str | Path | None = None,
        sampling: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self._model = find_generator(generator)
        self._template = load_template(template or self._model.entry.template or DEFAULT_TEMPLATE)
        if isinstance(answers, str):
            self._template = replace(self._template, answer=answers)
        self._answers = answers if not isinstance(answers, str) else None
        self._sampling = Sampling(**self._template.sampling | dict(sampling or {}))
        self._verifier = verifier
        self._seed = seed
        self._verifiers = Verifiers()
        self._pool = GradingPool()
        self._engine: SharedEngine

    async def __aenter__(self) -> Solver:
        self._engine = SharedEngine.around(await start_engine(self._model.name, self._model.entry))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._verifiers.close()
        await self._engine.generator.close()
        await asyncio.to_thread(self._pool.close)

    async def solve(
        self,
        problem: str,
        strategy: str | Strategy = "majority_vote",
        *,
        budget: str = "4",
        reference: str | None = None,
    ) -> Solved:
        """Answer one problem; many may be solved at once, and share the engine's batch.

        `strategy` is a name, or an object with parameters of its own: `BestOfN(aggregation="min")`. `budget` is written
        as for `--budget`. The problem's own text is its key: with the same seed it is answered the same.

        Raises:
            UserError: an unknown name, or a strategy without the verifier that it needs.
            QueryError: the problem does not fit the model.
        """
        amount, unit = parse_budget(budget, "budget")
        question = Question(ProblemView(problem, problem, reference), self._template, self._sampling, self._seed)
        answers = self._answers or answers_of(self._template, self._pool, problem)
        ledger = Ledger(self._model.costs)
        task, _ = await metered_task(
            question, self._engine, ledger, answers, Budget(amount, unit), await self._scorer(answers)
        )
        solution = await self._chosen(strategy).solve(task)
        right = None
        if reference is not None:
            right = solution.answer is not None and await answers.equivalent(solution.answer, reference)
        discarded = {candidate.path for candidate in solution.candidates if not candidate.kept}
        return Solved(
            solution.answer, right, solution.stopped, solution.chosen, solution.candidates, ledger.rows(discarded)
        )

    def _chosen(self, strategy: str | Strategy) -> Strategy:
        if not isinstance(strategy, str):
            return strategy
        try:
            entry = registry.find(strategy)
            if entry.scheduled:
                raise UserError(
                    f"{entry.name} plans the stages of a job's queries, and here is no job; name another strategy, or use "
                    "`tts-jobs run`"
                )
            if entry.needs_verifier and self._verifier is None:
                raise UserError(f"{strategy} needs a verifier; name one, as in Solver(..., verifier='mean_logprob')")
            return registry.build(strategy)
        except ValueError as error:
            raise UserError(str(error)) from None

    async def _scorer(self, answers: Answers) -> tuple[Verifier, CostModel | None] | None:
        if self._verifier is None:
            return None
        if not isinstance(self._verifier, str):
            return self._verifier, None
        return await self._verifiers.find(self._verifier, None, grade_by(answers))
