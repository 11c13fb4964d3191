"""Imported recordings: a job that was answered elsewhere, stored batch by batch. loading -> done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from models import tables
from models.recorded import Spent
from models.specification import JobSpecification
from models.transitions.escrow import CANDIDATE, JOB, QUERY, USAGE, table
from models.wire import lane_of

MODEL = table(tables.ModelSpecification)


_FOUND = select(JOB.c.id, JOB.c.state, JOB.c.query_count, JOB.c.replicate)


@dataclass(frozen=True, slots=True)
class ImportedJob:
    """What an imported job is made of, besides its answers."""

    name: str
    dataset_id: int
    specification: JobSpecification
    budget: str
    source: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class ImportedQuery:
    """One answered problem. `query` holds the columns `answer`, `correct`, `votes`, `voters`, `score`, `stopped`;
    `candidates` are rows without their keys; `requests` what the recording says they took; `samples` counts solutions."""

    problem_id: int
    query: dict[str, Any]
    candidates: list[dict[str, Any]]
    requests: Sequence[Spent]
    scored: bool

    @property
    def samples(self) -> int:
        return len(self.candidates)


@dataclass(frozen=True, slots=True)
class Found:
    """An import's job: how many of its queries are stored already."""

    job_id: int
    state: str
    stored: int
    replicate: int


def find_import(connection: Connection, fingerprint: str) -> Found | None:
    """The newest job of this fingerprint; an import that was interrupted is `loading`."""
    chosen = _FOUND.where(JOB.c.fingerprint == fingerprint).order_by(JOB.c.replicate.desc()).limit(1)
    row = connection.execute(chosen).one_or_none()
    return None if row is None else Found(*row)


def read_import(connection: Connection, job_id: int) -> Found:
    return Found(*connection.execute(_FOUND.where(JOB.c.id == job_id)).one())


def create_import(connection: Connection, job: ImportedJob, fingerprint: str, replicate: int, now: datetime) -> Found:
    """A job without a query yet; where another process has just made it, that one."""
    specification = job.specification
    generator = {"name": specification.generator, "kind": "generator", "identity": specification.generator_identity}
    connection.execute(
        _insert(connection, MODEL)
        .values(**generator, engine="recorded", architecture=None, price={}, versions=None, created_at=now)
        .on_conflict_do_nothing()
    )
    connection.execute(
        _insert(connection, JOB)
        .values(
            name=job.name,
            dataset_id=job.dataset_id,
            fingerprint=fingerprint,
            replicate=replicate,
            state="loading",
            generator=specification.generator,
            lane=lane_of(specification.generator, specification.generator_identity),
            verifier=specification.verifier,
            strategy=specification.strategy,
            budget=job.budget,
            imported_from=job.source,
            sampling_key=specification.sampling_key,
            specification=specification.model_dump(mode="json"),
            versions=job.versions,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=["fingerprint", "replicate"])
    )
    found = find_import(connection, fingerprint)
    assert found is not None
    return found


def store_imported(connection: Connection, job_id: int, after: int, queries: Sequence[ImportedQuery]) -> bool:
    """Store the next queries of a job that has `after` of them, with candidates and usage; all of them or none.

    Refused where it has another number of them (another process imports the same, and was faster) or is not loading.
    """
    taken = connection.execute(
        update(JOB)
        .where(JOB.c.id == job_id, JOB.c.state == "loading", JOB.c.query_count == after)
        .values(query_count=after + len(queries))
    )
    if taken.rowcount != 1:
        return False
    specification = connection.execute(select(JOB.c.specification).where(JOB.c.id == job_id)).scalar_one()
    connection.execute(insert(QUERY), [_query_row(job_id, specification, one) for one in queries])
    ids = connection.execute(
        select(QUERY.c.problem_id, QUERY.c.id).where(
            QUERY.c.job_id == job_id, QUERY.c.problem_id.in_([one.problem_id for one in queries])
        )
    )
    by_problem = {problem_id: query_id for problem_id, query_id in ids}
    keyed = [(one, {"job_id": job_id, "query_id": by_problem[one.problem_id]}) for one in queries]
    connection.execute(
        insert(CANDIDATE), [{**row, **keys, "attempt": 0} for one, keys in keyed for row in one.candidates]
    )
    generator, verifier = specification["generator"], specification["verifier"]
    rows = [{**row, **keys} for one, keys in keyed for row in usage_rows(one, generator, verifier)]
    connection.execute(insert(USAGE), rows)
    return True


def finish_import(connection: Connection, job_id: int, count: int, now: datetime) -> bool:
    """loading -> done, once all `count` queries are stored."""
    ended = connection.execute(
        update(JOB)
        .where(JOB.c.id == job_id, JOB.c.state == "loading", JOB.c.query_count == count)
        .values(state="done", ended_at=now)
    )
    return ended.rowcount == 1


def usage_rows(one: ImportedQuery, generator: str, verifier: str | None) -> list[dict[str, Any]]:
    """The ledger of one imported query; what the recording does not say is None, unknown."""
    unknown: dict[str, Any] = dict.fromkeys(("flops", "flops_canonical", "flops_2nd", "gpu_seconds", "dollars"))
    requests = one.requests
    drawn = {
        "phase": "generate", "model": generator, "calls": len(requests), "samples": one.samples, **unknown,
        "prompt_tokens": _sum(spent.prompt_tokens for spent in requests),
        # Its solutions share one prompt, which is prefilled once if the query ran alone.
        "canonical_prompt_tokens": _most(spent.prompt_tokens for spent in requests),
        "cached_tokens": _sum(spent.cached_tokens for spent in requests),
        "generated_tokens": _sum(spent.generated_tokens for spent in requests),
        "scored_tokens": 0,
    }  # fmt: skip
    if verifier is None or not one.scored:
        return [drawn]
    read = {
        "phase": "score", "model": verifier, "calls": one.samples, "samples": 0, **unknown, "prompt_tokens": None,
        "canonical_prompt_tokens": 0, "cached_tokens": None, "generated_tokens": 0, "scored_tokens": None,
    }  # fmt: skip
    return [drawn, read]


def _query_row(job_id: int, specification: dict[str, Any], one: ImportedQuery) -> dict[str, Any]:
    lengths = [row["generated_tokens"] for row in one.candidates]
    return {
        "job_id": job_id, "problem_id": one.problem_id, "state": "done", "planned": True, "final": True,
        "strategy": specification["strategy"], "parameters": specification["parameters"],
        "budget_amount": float(one.samples), "budget_unit": "samples", "sequences": one.samples,
        "sequential_tokens": None if None in lengths else max(lengths, default=0), **one.query,
    }  # fmt: skip


def _sum(values: Iterable[int | None]) -> int | None:
    listed = list(values)
    return None if None in listed or not listed else sum(one for one in listed if one is not None)


def _most(values: Iterable[int | None]) -> int | None:
    listed = list(values)
    return None if None in listed or not listed else max(one for one in listed if one is not None)


def _insert(connection: Connection, target: Any) -> Any:
    return (sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert)(target)
