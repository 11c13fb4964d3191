"""The tables. Every state change of a job or query is in `models.transitions`; nothing else updates `state`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.sqltypes import AnyText, Identifier, Json, UtcDateTime


def _time(**options: Any) -> Any:
    return Field(sa_type=UtcDateTime, **options)


def _key() -> Any:
    return Field(default=None, primary_key=True, sa_type=Identifier)


def _reference(column: str, **options: Any) -> Any:
    return Field(foreign_key=column, sa_type=Identifier, **options)


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index of the few rows that `where` holds for; a statement that says the same finds them without the others."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class Dataset(SQLModel, table=True):
    """A named set of prompts, identified by its content; `loaded` rows of `problem_count` are in `problem`."""

    id: int | None = _key()
    name: str = Field(sa_type=AnyText)
    source: str = Field(sa_type=AnyText)
    content_hash: str = Field(unique=True)
    state: str = "loading"
    loaded: int = 0
    problem_count: int = 0
    skipped: list[Any] | None = Field(default=None, sa_type=Json)
    created_at: datetime = _time()


class Problem(SQLModel, table=True):
    """One prompt with, where known, its reference answer, subject and level. `position` is its row in the file."""

    __table_args__ = (UniqueConstraint("dataset_id", "position"), UniqueConstraint("dataset_id", "key"))
    id: int | None = _key()
    dataset_id: int = _reference("dataset.id")
    position: int
    key: str
    prompt: str = Field(sa_type=Text)
    answer: str | None = Field(default=None, sa_type=Text)
    subject: str | None = None
    level: str | None = None


class ModelSpecification(SQLModel, table=True):
    """A generator or verifier as it was used: engine, weights' identity, architecture for FLOPs, prices."""

    __tablename__ = "model_specification"
    __table_args__ = (UniqueConstraint("name", "kind", "identity"),)
    id: int | None = _key()
    name: str
    kind: str
    engine: str
    identity: str
    architecture: dict[str, Any] | None = Field(default=None, sa_type=Json)
    price: dict[str, Any] | None = Field(default=None, sa_type=Json)
    versions: dict[str, Any] | None = Field(default=None, sa_type=Json)
    created_at: datetime = _time()


class Policy(SQLModel, table=True):
    """A measured table (bin, budget) -> strategy and parameters, versioned, with its evidence."""

    __table_args__ = (UniqueConstraint("name", "version"),)
    id: int | None = _key()
    name: str
    version: int
    table: dict[str, Any] = Field(sa_type=Json)
    evidence: dict[str, Any] | None = Field(default=None, sa_type=Json)
    created_at: datetime = _time()


class Job(SQLModel, table=True):
    """One dataset under one specification.

    `spent` and `reserved` are in `cap_unit` (samples, tokens, canonical FLOPs, dollars); `reserved` is the sum of the
    worst cases of the queries in flight (escrow). `sampling_key` names what makes candidates interchangeable: model,
    what its template asks, sampling and seed. `lane` names the generator and its identity: whoever serves other
    weights under the same name is not rung. `imported_from` names the recording that its answers were read from, and is
    None for a job of ours.
    """

    __table_args__ = (UniqueConstraint("fingerprint", "replicate"), Index("job_by_state", "state", "priority", "id"))
    id: int | None = _key()
    name: str = Field(sa_type=AnyText)
    dataset_id: int = _reference("dataset.id")
    fingerprint: str
    replicate: int = 0
    state: str = "loading"
    reason: str | None = Field(default=None, sa_type=AnyText)
    priority: int = 5
    generator: str
    lane: str
    verifier: str | None = None
    strategy: str
    budget: str
    oracle: bool = False
    imported_from: str | None = Field(default=None, sa_type=AnyText)
    sampling_key: str = Field(index=True)
    specification: dict[str, Any] = Field(sa_type=Json)
    versions: dict[str, Any] | None = Field(default=None, sa_type=Json)
    query_count: int = 0
    cap_amount: float | None = None
    cap_unit: str | None = None
    spent: float = 0.0
    reserved: float = 0.0
    deadline: datetime | None = _time(default=None)
    fail_on_error: float | None = None
    created_at: datetime = _time()
    opened_at: datetime | None = _time(default=None)
    ended_at: datetime | None = _time(default=None)


class Snapshot(SQLModel, table=True):
    """The sums of a large job (`models.snapshots`) when the scheduler took them last, and when it will again."""

    job_id: int | None = Field(default=None, foreign_key="job.id", primary_key=True, sa_type=Identifier)
    taken_at: datetime = _time()
    due_at: datetime | None = _time(default=None)
    job_state: str
    sums: dict[str, Any] = Field(sa_type=Json)


class Query(SQLModel, table=True):
    """One problem inside one job. `attempt` fences commits; `suspect` counts the worker deaths it was present at.

    `sequences` is how many sequences its plan runs at once; `sequential_tokens` the longest chain it waited for.
    `stage` counts the stages that have been committed; `final` tells that the planned one is to be its last, or else a
    decision follows. `evidence` is what its samples show (`strategies.evidence.Evidence`), `decisions` what was decided
    on that before each stage (`scheduler.decisions`), `gain` what its next stage is worth (`models.transitions.stages`)
    and `confidence` the probability that its answer is right, where a calibrated policy foretells that.
    `voters` are its solutions with a readable answer, `votes` those of them that give the chosen one, `score` what the
    verifier thinks of the chosen solution.
    """

    __table_args__ = (
        UniqueConstraint("job_id", "problem_id"),
        Index("query_by_state", "job_id", "state", "id"),
        Index("query_by_gain", "job_id", "state", "gain", "id"),
        Index("query_by_problem", "problem_id"),
        Index("query_by_lease", "state", "lease_until"),
        _partial("query_in_trouble", "job_id", where="suspect > 0 OR not_before IS NOT NULL"),
        _partial("query_by_end", "job_id", "ended_at", where="ended_at IS NOT NULL"),
    )
    id: int | None = _key()
    job_id: int = _reference("job.id")
    problem_id: int = _reference("problem.id")
    state: str = "pending"
    planned: bool = False
    stage: int = 0
    final: bool = True
    gain: float = 1.0
    evidence: dict[str, Any] | None = Field(default=None, sa_type=Json)
    decisions: list[Any] | None = Field(default=None, sa_type=Json)
    confidence: float | None = None
    attempt: int = 0
    retries: int = 0
    suspect: int = 0
    strategy: str | None = None
    parameters: dict[str, Any] | None = Field(default=None, sa_type=Json)
    budget_amount: float | None = None
    budget_unit: str | None = None
    difficulty: float | None = None
    bin: int | None = None
    sequences: int = 1
    reserved: float = 0.0
    worker_id: str | None = None
    lease_until: datetime | None = _time(default=None)
    rung_at: datetime | None = _time(default=None)
    not_before: datetime | None = _time(default=None)
    answer: str | None = Field(default=None, sa_type=AnyText)
    correct: bool | None = None
    votes: int | None = None
    voters: int | None = None
    score: float | None = None
    stopped: str | None = None
    error: str | None = Field(default=None, sa_type=AnyText)
    sequential_tokens: int | None = 0
    started_at: datetime | None = _time(default=None)
    ended_at: datetime | None = _time(default=None)


class Attempt(SQLModel, table=True):
    """One try of a worker at a stage: running, then done, drained, lost, failed or cancelled.

    `running_usage` is what the last heartbeat said of its cost; it is booked as wasted when the attempt is lost.
    """

    __table_args__ = (
        UniqueConstraint("query_id", "number"),
        Index("attempt_by_job", "job_id", "ended_at"),
        _partial("attempt_lost", "job_id", where="state = 'lost'"),
    )
    id: int | None = _key()
    job_id: int = _reference("job.id")
    query_id: int = _reference("query.id")
    number: int
    stage: int
    state: str = "running"
    alone: bool = False
    worker_id: str
    running_usage: list[Any] | None = Field(default=None, sa_type=Json)
    reason: str | None = Field(default=None, sa_type=AnyText)
    started_at: datetime = _time()
    ended_at: datetime | None = _time(default=None)


class Candidate(SQLModel, table=True):
    """One complete or partial solution, addressed inside its query by `path`; holds its own text only.

    `tokens` are the ids of a step, kept while its query may go on from it. `disposition` is kept, discarded or pruned:
    without its text. `reused_from` is the candidate of another job that this is a copy of, 0 once that job is pruned.
    """

    __table_args__ = (UniqueConstraint("query_id", "path"),)
    id: int | None = _key()
    job_id: int = _reference("job.id")
    query_id: int = _reference("query.id")
    attempt: int
    path: str
    parent: str | None = None
    text: str = Field(sa_type=AnyText)
    tokens: list[int] | None = Field(default=None, sa_type=Json)
    answer: str | None = Field(default=None, sa_type=AnyText)
    answer_class: int = -1
    correct: bool | None = None
    finish_reason: str
    score: float | None = None
    step_scores: list[float | None] | None = Field(default=None, sa_type=Json)
    step_logprobs: list[float] | None = Field(default=None, sa_type=Json)
    prompt_tokens: int | None = 0
    cached_tokens: int | None = None
    generated_tokens: int | None = 0
    gpu_seconds: float | None = 0.0
    disposition: str = "kept"
    reused_from: int | None = Field(default=None, sa_type=Identifier)


class Usage(SQLModel, table=True):
    """The ledger: one row per attempt, phase, model, disposition and reuse.

    `disposition` is kept, discarded or wasted; `reused` rows were paid by an earlier job and are not spent again.
    `at_least` marks what a lost attempt was last heard to have used. `phase` is generate, score or idle; idle
    rows belong to a worker, not to a query. `samples` are the solutions begun, `calls` all requests. NULL means unknown, as
    what a recording does not say; such a row has no attempt. FLOPs are floating-point operations, `flops` as
    executed with prefix caching, `flops_canonical` as if the query ran alone, `flops_2nd` the papers' 2NT.
    """

    __table_args__ = (
        UniqueConstraint("attempt_id", "phase", "model", "disposition", "reused"),
        Index("usage_by_query", "query_id"),
        Index("usage_by_job", "job_id"),
        Index("usage_by_worker", "worker_id", "phase"),
        _partial("usage_wasted", "job_id", where="disposition = 'wasted'"),
    )
    id: int | None = _key()
    job_id: int | None = _reference("job.id", default=None)
    query_id: int | None = _reference("query.id", default=None)
    attempt_id: int | None = _reference("attempt.id", default=None)
    worker_id: str | None = None
    phase: str
    model: str
    disposition: str = "kept"
    reused: bool = False
    at_least: bool = False
    calls: int = 0
    samples: int = 0
    prompt_tokens: int | None = 0
    canonical_prompt_tokens: int | None = 0
    cached_tokens: int | None = 0
    generated_tokens: int | None = 0
    scored_tokens: int | None = 0
    flops: float | None = 0.0
    flops_canonical: float | None = 0.0
    flops_2nd: float | None = 0.0
    gpu_seconds: float | None = 0.0
    dollars: float | None = None


class Worker(SQLModel, table=True):
    """A process's heartbeat. `completed` is its progress; held = busy + idle GPU-seconds."""

    id: str = Field(primary_key=True)
    kind: str
    hostname: str
    pid: int
    generator: str | None = None
    lane: str | None = None
    engine: str | None = None
    slots: int = 0
    version: str
    completed: int = 0
    in_flight: int = 0
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    started_at: datetime = _time()
    seen_at: datetime = _time()
    progress_at: datetime = _time()
    stopped_at: datetime | None = _time(default=None)
