"""A strategy's task on a real engine: generator and verifier metered, answers read and compared."""

from __future__ import annotations

from dataclasses import dataclass

from models.catalogue import verified
from models.costs import CostModel
from models.templates import Template
from strategies.protocols import Answers, Message, ProblemView, Sampling, Verifier
from strategies.task import Budget, Task
from worker.ledger import Ledger
from worker.meter import Meter, SharedEngine
from worker.scoring import ScoringMeter


@dataclass(frozen=True, slots=True)
class Question:
    """A problem and how it is to be asked."""

    problem: ProblemView
    template: Template
    sampling: Sampling
    seed: int
    subject: str | None = None
    level: str | None = None


async def metered_task(
    question: Question,
    engine: SharedEngine,
    ledger: Ledger,
    answers: Answers,
    budget: Budget,
    verifier: tuple[Verifier, CostModel | None] | None,
) -> tuple[Task, Meter]:
    """The task, without any candidates yet, and its metered generator; `verifier` comes with its costs if it is a model.

    Raises:
        QueryError: the prompt does not fit the model.
        UserError: the template cannot be rendered for this problem.
    """
    template = question.template
    turns = template.messages(question.problem.prompt, question.subject, question.level)
    messages = [Message(role, content) for role, content in turns]
    prefix = await engine.generator.encode(messages)
    scoring = None
    if verifier is not None:
        scorer, costs = verifier
        ledger.costs = verified(ledger.costs, costs)
        scoring = ScoringMeter(scorer, ledger, question.problem, template, engine.clock)
    meter = Meter(
        engine,
        ledger,
        prefix=prefix,
        messages=messages,
        template=template,
        sampling=question.sampling,
        budget=budget,
        job_seed=question.seed,
        problem_key=question.problem.key,
    )
    task = Task(
        problem=question.problem,
        generator=meter,
        verifier=scoring,
        answers=answers,
        budget=budget,
        seed=question.seed,
        width=meter.width(),
    )
    return task, meter
