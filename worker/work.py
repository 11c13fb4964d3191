"""From a claim to everything its attempt needs: the job's context, the problem, and candidates to be reused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from models import tables
from models.specification import JobSpecification, template_from_dict
from models.templates import Template
from models.transitions import ATTEMPT, CANDIDATE, JOB, QUERY, Claim, table
from strategies.budget_forcing import THOUGHT
from strategies.first_finish import FIRST_SEGMENT
from strategies.protocols import Sampling, TokenUsage
from strategies.sequential_revision import REVISION
from strategies.task import Candidate

PROBLEM = table(tables.Problem)


@dataclass(frozen=True, slots=True)
class JobContext:
    """A job as its attempts see it; immutable, so that one copy serves all of them."""

    specification: JobSpecification
    template: Template
    sampling: Sampling
    sampling_key: str


@dataclass(frozen=True, slots=True)
class Work:
    """One claimed query. `candidates` were made earlier; those in `own` by this query's own earlier attempts, and those
    in `staged` by its stages before this one."""

    claim: Claim
    context: JobContext
    key: str
    prompt: str
    answer: str | None
    subject: str | None
    level: str | None
    candidates: tuple[Candidate, ...]
    own: frozenset[str]
    staged: frozenset[str] = frozenset()


def load_context(connection: Connection, job_id: int) -> JobContext:
    row = connection.execute(select(JOB.c.specification, JOB.c.sampling_key).where(JOB.c.id == job_id)).one()
    specification = JobSpecification(**row.specification)
    return JobContext(
        specification=specification,
        template=template_from_dict(specification.template),
        sampling=Sampling(**specification.sampling),
        sampling_key=row.sampling_key,
    )


def load_work(connection: Connection, claims: Sequence[Claim], contexts: dict[int, JobContext]) -> list[Work]:
    """Read what the claims need, in two SELECTs for all of them; `contexts` is filled with the jobs seen."""
    for job_id in {claim.job_id for claim in claims} - contexts.keys():
        contexts[job_id] = load_context(connection, job_id)
    problems = {
        row.id: row
        for row in connection.execute(select(PROBLEM).where(PROBLEM.c.id.in_({claim.problem_id for claim in claims})))
    }
    reusable = _reusable(connection, claims, contexts)
    works = []
    for claim in claims:
        problem = problems[claim.problem_id]
        candidates, own, staged = reusable.get(
            (claim.problem_id, contexts[claim.job_id].sampling_key, claim.query_id), ((), frozenset(), frozenset())
        )
        works.append(
            Work(
                claim, contexts[claim.job_id], problem.key, problem.prompt, problem.answer, problem.subject, problem.level,
                candidates, own, staged,
            )
        )  # fmt: skip
    return works


def _reusable(
    connection: Connection, claims: Sequence[Claim], contexts: dict[int, JobContext]
) -> dict[tuple[int, str, int], tuple[tuple[Candidate, ...], frozenset[str], frozenset[str]]]:
    """Finished candidates of the same problem, model, template, sampling and seed; the query's own come first, its
    steps and revisions among them.

    What another query's budget clipped is not interchangeable with what this one would draw, nor are its steps, which
    went on as its verifier had it, nor its revisions, which saw attempts of its own, nor its segments and its thinking,
    which are as long as its parameters had them.
    """
    keys = {contexts[claim.job_id].sampling_key for claim in claims}
    rows = connection.execute(
        select(CANDIDATE, QUERY.c.problem_id, JOB.c.sampling_key, ATTEMPT.c.stage)
        .join(QUERY, QUERY.c.id == CANDIDATE.c.query_id)
        .join(ATTEMPT, (ATTEMPT.c.query_id == CANDIDATE.c.query_id) & (ATTEMPT.c.number == CANDIDATE.c.attempt))
        .join(JOB, JOB.c.id == QUERY.c.job_id)
        .where(
            QUERY.c.problem_id.in_({claim.problem_id for claim in claims}),
            JOB.c.sampling_key.in_(keys),
            CANDIDATE.c.disposition != "pruned",
            or_(
                and_(
                    CANDIDATE.c.query_id.in_({claim.query_id for claim in claims}),
                    CANDIDATE.c.finish_reason != "cancelled",
                ),
                and_(
                    CANDIDATE.c.finish_reason.in_(("stop", "length", "clipped")),
                    CANDIDATE.c.parent.is_(None),
                    *(CANDIDATE.c.path.not_like(f"{start}%") for start in (REVISION, FIRST_SEGMENT, THOUGHT)),
                ),
            ),
        )
        .order_by(CANDIDATE.c.id)
    ).all()
    by_problem = defaultdict(list)
    for row in rows:
        by_problem[row.problem_id, row.sampling_key].append(row)
    found = {}
    for claim in claims:
        key = (claim.problem_id, contexts[claim.job_id].sampling_key)
        if key not in by_problem:
            continue
        chosen: dict[str, Candidate] = {}
        mine = [row for row in by_problem[key] if row.query_id == claim.query_id]
        # A step comes after the one it continues.
        for row in sorted(
            by_problem[key], key=lambda row: (row.query_id != claim.query_id, row.path.count("."), row.id)
        ):
            own = row.query_id == claim.query_id
            if own or row.finish_reason != "clipped":
                chosen.setdefault(row.path, _candidate(row, own, chosen))
        found[(*key, claim.query_id)] = (
            tuple(chosen.values()),
            frozenset(row.path for row in mine),
            frozenset(row.path for row in mine if row.stage < claim.stage),
        )
    return found


def _candidate(row: Any, mine: bool, before: Mapping[str, Candidate]) -> Candidate:
    return Candidate(
        path=row.path,
        text=row.text,
        finish_reason=row.finish_reason,
        usage=TokenUsage(row.prompt_tokens, row.cached_tokens, row.generated_tokens),
        parent=before[row.parent] if row.parent is not None else None,
        tokens=None if row.tokens is None else tuple(row.tokens),
        step_logprobs=None if row.step_logprobs is None else tuple(row.step_logprobs),
        answer=row.answer,
        # Another job's verifier may be another.
        score=row.score if mine else None,
        step_scores=tuple(row.step_scores) if mine and row.step_scores is not None else None,
        gpu_seconds=row.gpu_seconds,
        # A copy will do where the original is not there any more, and tells whose it was.
        reused_from=row.reused_from if mine else row.reused_from or row.id,
    )
