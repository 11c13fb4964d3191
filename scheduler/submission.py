"""Submission: from what a user asked for to an open job, found again by its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from models.budgets import format_budget
from models.catalogue import Model, find_generator, find_verifier, record_model, verified
from models.costs import CostModel
from models.database import Database
from models.errors import UserError
from models.heartbeats import product_version
from models.specification import JobSpecification, KeepTree, template_to_dict
from models.templates import ANSWER_KINDS, DEFAULT_TEMPLATE, TEMPLATE_OF_ANSWER, Template, load_template
from models.thinking import thinks
from models.transitions import JOB, change_job, open_job
from models.wire import lane_of
from scheduler.checks import check_dataset
from scheduler.extensions import find_added, is_oracle
from scheduler.intake import Progress, load_dataset, load_queries
from scheduler.policy import Policy
from scheduler.readers import DatasetReader
from scheduler.staging import Staging, Wish, refuse, stage
from strategies import registry
from strategies.budget_forcing import EFFORTS, END_OF_THINKING, BudgetForcing
from strategies.extensions import extensions
from strategies.protocols import Sampling
from strategies.seeds import seed_for

DEFAULT_VERIFIER = "mean_logprob"


@dataclass(frozen=True, slots=True)
class Request:
    """A job as the command line asks for it; `sampling` holds the fields that differ from the defaults.

    Without a `template` the generator's own is taken, where it has one; without an `answer` kind the template's. The last
    four are for a job that is answered in stages (`scheduler.staging.Wish`).
    """

    generator: str
    strategy: str
    parameters: Mapping[str, Any]
    budget: tuple[float, str]
    verifier: str | None = None
    template: str | None = None
    answer: str | None = None
    tolerance: float | None = None
    sampling: Mapping[str, Any] | None = None
    seed: int = 0
    keep_tree: KeepTree = "full"
    name: str | None = None
    priority: int = 5
    job_budget: tuple[float, str] | None = None
    deadline: datetime | None = None
    fail_on_error: float | None = None
    effort: str | None = None
    difficulty: str | None = None
    policy: tuple[Policy, str] | None = None
    policy_anyway: bool = False
    allocation: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job that now stands for a request; `created` is False where an earlier command had made it."""

    job_id: int
    created: bool
    state: str
    query_count: int


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a job; `verifier` is None for one that needs no model, `every_step` tells that it scores each."""

    generator: Model
    verifier: Model | None
    every_step: bool = False

    @property
    def costs(self) -> CostModel:
        costs = verified(self.generator.costs, self.verifier.costs if self.verifier else None)
        return replace(costs, every_step=self.every_step)


def specify(request: Request) -> tuple[JobSpecification, Models]:
    """Check a request and write it out in full.

    Raises:
        UserError: an unknown generator, verifier, strategy, parameter or template, named by its option.
    """
    try:
        entry = registry.find(request.strategy)
        strategy: Any = registry.build(entry.name, {**_preset(request.effort, entry), **request.parameters})
    except ValueError as error:
        raise UserError(f"--strategy: {error}") from None
    wish = Wish(request.difficulty, request.policy, request.policy_anyway, request.allocation)
    if not entry.scheduled:
        refuse(wish, entry)
    verifier, model = request.verifier or wish.verifier, find_generator(request.generator)
    added = find_added("verifiers", verifier) if verifier is not None else None
    scorer = find_verifier(verifier, model) if verifier is not None and added is None else None
    parameters = strategy.model_dump(mode="json")
    if entry.wants_verifier(parameters) or (entry.may_verify and verifier is not None):
        verifier = verifier or DEFAULT_VERIFIER
        feedback = entry.gives_feedback(parameters)
        if (entry.searches or feedback) and is_oracle(verifier):
            raise UserError(f"--verifier: {verifier} judges answers and {entry.name} scores steps; choose another")
    elif verifier is not None:
        raise UserError(f"--verifier: {entry.name} uses no verifier; leave the option out or choose another --strategy")
    template = _template(request, model)
    if entry.gives_feedback(parameters) and not template.revise:
        raise UserError(
            f"--param feedback: the template {template.name} says nothing behind an attempt; leave it out or choose another"
        )
    thought = 0
    if isinstance(strategy, BudgetForcing):
        _check_thinking(model)
        thought = strategy.maximum
    defaults = template.sampling | {"max_tokens": thought + template.max_tokens}
    sampling = Sampling(**defaults | dict(request.sampling or {}))
    if sampling.max_tokens <= thought:
        raise UserError(
            f"--max-tokens: {sampling.max_tokens} leave no room for an answer behind {thought} tokens of thinking; "
            "raise it, or lower --param maximum"
        )
    judge = (scorer.name, scorer.identity) if scorer else (verifier, verifier) if verifier is not None else None
    staging = stage(wish, request.budget, model, judge, template) if entry.scheduled else Staging()
    models = Models(model, scorer, entry.scores_every_step(parameters) or staging.every_step)
    specification = JobSpecification(
        generator=model.name,
        generator_identity=model.identity,
        verifier=judge[0] if judge else None,
        verifier_identity=judge[1] if judge else None,
        strategy=entry.name,
        parameters=parameters,
        budget_amount=1.0 if entry.name == "greedy" and request.budget[1] == "samples" else request.budget[0],
        budget_unit=request.budget[1],
        sampling=asdict(sampling),
        template=template_to_dict(template),
        seed=request.seed,
        difficulty=staging.difficulty,
        policy=staging.name,
        allocation=staging.allocation,
        plan=staging.policy.model_dump(mode="json") if staging.policy else None,
        keep_tree=request.keep_tree,
        packages={
            one.package: one.version
            for one in (entry.package, added, find_added("graders", template.answer), *staging.packages)
            if one
        },
    )
    for budget in filter(None, (request.budget, request.job_budget)):
        # Computable at all for this model? A wrong unit must be a sentence now, not a failed query later.
        models.costs.amount(budget[1], 1, 1, first=True)
    return specification, models


def _template(request: Request, model: Model) -> Template:
    """The template with the answer kind and tolerance that were asked for."""
    name = request.template or model.entry.template or TEMPLATE_OF_ANSWER.get(request.answer or "", DEFAULT_TEMPLATE)
    template = load_template(name)
    if request.answer is not None:
        if request.answer not in ANSWER_KINDS and find_added("graders", request.answer) is None:
            known = ", ".join([*ANSWER_KINDS, *(one.name for one in extensions("graders"))])
            raise UserError(f"--answer: unknown kind {request.answer!r}; choose one of {known}")
        template = replace(template, answer=request.answer)
    if request.tolerance is not None:
        if template.answer != "number":
            raise UserError(f"--tolerance: the answers are {template.answer}; give --answer number as well")
        template = replace(template, tolerance=request.tolerance)
    return template


def _preset(effort: str | None, entry: registry.Entry) -> Mapping[str, int]:
    if effort is None:
        return {}
    if entry.make is not BudgetForcing:
        raise UserError(
            f"--effort: {entry.name} does not hold a model's thinking; choose --strategy budget_forcing, or set "
            "reasoning_effort in the entry of a generator that takes it"
        )
    return EFFORTS[effort]


def _check_thinking(model: Model) -> None:
    """Raises UserError for a generator whose thinking cannot be held."""
    if model.entry.reasoning_effort is not None:
        raise UserError(
            f"--strategy budget_forcing: the entry of {model.name} sets reasoning_effort, so that its thinking is held "
            "already; take that out, or choose another strategy"
        )
    if not thinks(model, END_OF_THINKING):
        raise UserError(
            f"--strategy budget_forcing: {model.name} is not known to think, for no chat template of it holds "
            f"{END_OF_THINKING}; choose a reasoning model, or set thinking = true in its entry"
        )


def submit(
    database: Database, reader: DatasetReader, request: Request, *, skip_bad: bool, new: bool, progress: Progress
) -> Submitted:
    """Make the job, or find and continue the one that an earlier, perhaps interrupted, command made.

    Raises:
        UserError: as `specify` and `scheduler.intake.load_dataset`.
    """
    specification, models = specify(request)
    dataset_id, content_hash = load_dataset(database, reader, skip_bad=skip_bad, progress=progress)
    with database.reading() as connection:
        check_dataset(connection, specification, dataset_id)
    fingerprint = specification.fingerprint(content_hash)
    with database.transaction() as connection:
        now = database.clock.now(connection)
        record_model(connection, models.generator, now)
        if models.verifier is not None:
            record_model(connection, models.verifier, now, kind="verifier")
        earlier = connection.execute(
            select(JOB.c.id, JOB.c.state, JOB.c.replicate, JOB.c.query_count)
            .where(JOB.c.fingerprint == fingerprint)
            .order_by(JOB.c.replicate.desc())
            .limit(1)
        ).one_or_none()
        if earlier is not None and not new and earlier.state != "loading":
            return Submitted(earlier.id, False, earlier.state, earlier.query_count)
        if earlier is None or new:
            replicate = 0 if earlier is None else earlier.replicate + 1
            seed = seed_for(specification.seed, "replicate", str(replicate)) if replicate else specification.seed
            job_id = _create(
                connection,
                request,
                specification.model_copy(update={"seed": seed}),
                fingerprint,
                replicate,
                dataset_id,
                reader.name,
                now,
            )
        else:
            job_id = earlier.id
    count = load_queries(database, job_id, dataset_id, progress)
    with database.transaction() as connection:
        if specification.allocation == "adaptive" and request.job_budget is None:
            change_job(connection, job_id, cap_amount=specification.budget_amount * count, cap_unit="samples")
        open_job(connection, job_id, database.clock.now(connection), count)
    return Submitted(job_id, True, "open", count)


def _create(
    connection: Connection,
    request: Request,
    specification: JobSpecification,
    fingerprint: str,
    replicate: int,
    dataset_id: int,
    dataset_name: str,
    now: datetime,
) -> int:
    cap_amount, cap_unit = request.job_budget or (None, None)
    row = connection.execute(
        insert(JOB)
        .values(
            name=request.name or f"{dataset_name} {specification.strategy}",
            dataset_id=dataset_id,
            fingerprint=fingerprint,
            replicate=replicate,
            state="loading",
            priority=request.priority,
            generator=specification.generator,
            lane=lane_of(specification.generator, specification.generator_identity),
            budget=format_budget(specification.budget_amount, specification.budget_unit),  # type: ignore[arg-type]
            verifier=specification.verifier,
            strategy=specification.strategy,
            oracle=is_oracle(specification.verifier) or specification.difficulty == "oracle",
            sampling_key=specification.sampling_key,
            specification=specification.model_dump(mode="json"),
            versions={"tts-jobs": product_version()},
            query_count=0,
            cap_amount=cap_amount,
            cap_unit=cap_unit,
            spent=0.0,
            reserved=0.0,
            deadline=request.deadline,
            fail_on_error=request.fail_on_error,
            created_at=now,
        )
        .returning(JOB.c.id)
    )
    job_id: int = row.scalar_one()
    return job_id
