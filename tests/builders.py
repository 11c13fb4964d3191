"""What tests of the record are built from: databases of both kinds, a clock moved by hand, jobs with their queries."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Connection, func, insert, select, text, update

from models import heartbeats, tables, transitions
from models.catalogue import Model, record_model
from models.database import Database, upgrade
from models.settings import ModelEntry
from models.specification import JobSpecification, template_to_dict
from models.templates import load_template
from models.transitions import ATTEMPT, JOB, QUERY, USAGE, Claim, Outcome, table
from models.wire import KEY_PREFIX, PRIORITY_STEPS, probe_queue, solve_queue
from strategies.protocols import Sampling

DATASET, PROBLEM = table(tables.Dataset), table(tables.Problem)
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LEASE = 60.0
FAST = Model("fast", ModelEntry(engine="instant", model="instant"), None, "instant::instant", None)


class ManualClock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self, connection: Connection) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def database(url: str, clock: ManualClock) -> Iterator[Database]:
    """A database of each kind with the newest schema, on a clock moved by hand."""
    made = Database(url, clock)
    upgrade(made)
    yield made
    made.close()


@dataclass(frozen=True, slots=True)
class Shelf:
    """A job and its queries, in order."""

    job_id: int
    queries: list[int]


def specification(**changes: Any) -> JobSpecification:
    return JobSpecification(
        generator=FAST.name,
        generator_identity=FAST.identity,
        **{
            "strategy": "majority_vote",
            "budget_amount": 4,
            "budget_unit": "samples",
            "sampling": asdict(Sampling()),
            "template": template_to_dict(load_template("plain")),
            **changes,
        },
    )


def add_dataset(connection: Connection, count: int, name: str = "sums") -> tuple[int, list[int]]:
    """A ready dataset of `count` problems; returns its id and theirs."""
    number = connection.execute(select(func.count()).select_from(DATASET)).scalar_one()
    dataset_id: int = connection.execute(
        insert(DATASET)
        .values(
            name=name, source=name, content_hash=f"hash-{number}", state="ready", loaded=count, problem_count=count,
            created_at=START,
        )
        .returning(DATASET.c.id)
    ).scalar_one()  # fmt: skip
    rows = [
        {"dataset_id": dataset_id, "position": n, "key": f"k{n}", "prompt": f"{n} + 1?", "answer": str(n + 1)}
        for n in range(1, count + 1)
    ]
    connection.execute(insert(PROBLEM), rows)
    problems = connection.execute(select(PROBLEM.c.id).where(PROBLEM.c.dataset_id == dataset_id).order_by(PROBLEM.c.id))
    return dataset_id, list(problems.scalars())


def add_job(
    database: Database,
    count: int = 1,
    *,
    dataset: tuple[int, list[int]] | None = None,
    open_: bool = True,
    **values: Any,
) -> Shelf:
    """A job of `count` planned queries on its own dataset (or the given one), opened unless told otherwise.

    `values` are columns of the job, or fields of its specification.
    """
    wanted = {name: values.pop(name) for name in list(values) if name in JobSpecification.model_fields}
    spec = specification(**wanted)
    with database.transaction() as connection:
        now = database.clock.now(connection)
        record_model(connection, FAST, now)
        dataset_id, problems = dataset or add_dataset(connection, count)
        number = connection.execute(select(func.count()).select_from(JOB)).scalar_one()
        columns = {
            "name": f"job {number + 1}", "dataset_id": dataset_id, "fingerprint": f"print-{number}", "state": "loading",
            "generator": spec.generator, "lane": spec.generator, "budget": "4", "strategy": spec.strategy, "sampling_key": spec.sampling_key,
            "specification": spec.model_dump(mode="json"), "created_at": now, **values,
        }  # fmt: skip
        job_id: int = connection.execute(insert(JOB).values(columns).returning(JOB.c.id)).scalar_one()
        connection.execute(insert(QUERY), [{"job_id": job_id, "problem_id": problem} for problem in problems[:count]])
        chosen = select(QUERY.c.id).where(QUERY.c.job_id == job_id).order_by(QUERY.c.id)
        queries = list(connection.execute(chosen).scalars())
        transitions.plan(connection, [plan_row(query_id) for query_id in queries])
        if open_:
            transitions.open_job(connection, job_id, now, count)
    return Shelf(job_id, queries)


def plan_row(query_id: int, **values: Any) -> dict[str, Any]:
    return {
        "id": query_id, "stage": 0, "strategy": "majority_vote", "parameters": {}, "budget_amount": 4.0,
        "budget_unit": "samples", "sequences": 4, "final": True, "difficulty": None, "bin": None, "gain": 1.0,
        "confidence": None, "decisions": None, **values,
    }  # fmt: skip


def worker(database: Database, name: str = "w1", *, slots: int = 8, generator: str = "fast") -> str:
    """Register a worker that has just been heard of."""
    with database.transaction() as connection:
        identity = heartbeats.Identity(name, "worker", generator, "instant", slots, lane=generator)
        heartbeats.register(connection, identity, database.clock.now(connection))
    return name


def ring(database: Database, shelf: Shelf, worst: float = 0.0, queries: Sequence[int] | None = None) -> list[int]:
    """Ring these queries, or all that are pending."""
    pending = [row.id for row in rows(database, QUERY, QUERY.c.job_id == shelf.job_id) if row.state == "pending"]
    with database.transaction() as connection:
        reservations = dict.fromkeys(pending if queries is None else queries, worst)
        return transitions.ring(connection, shelf.job_id, reservations, database.clock.now(connection))


def claim(
    database: Database, queries: Sequence[int], worker_id: str = "w1", *, alone: bool = False, stage: int = 0
) -> list[Claim]:
    with database.transaction() as connection:
        bells = [(query_id, stage, alone) for query_id in queries]
        return transitions.claim(connection, worker_id, bells, database.clock.now(connection), LEASE)


def claimed(
    database: Database, shelf: Shelf, worker_id: str = "w1", *, worst: float = 0.0, alone: bool = False
) -> list[Claim]:
    """Ring and claim all of a job's queries."""
    return claim(database, ring(database, shelf, worst), worker_id, alone=alone)


def commit(database: Database, *outcomes: Outcome) -> set[int]:
    with database.transaction() as connection:
        return transitions.commit(connection, outcomes, database.clock.now(connection))


def candidate_row(path: str = "0", **values: Any) -> dict[str, Any]:
    return {
        "path": path, "parent": None, "text": f"text of {path}", "answer": "2", "answer_class": 0, "correct": None,
        "finish_reason": "stop", "score": None, "step_scores": None, "step_logprobs": None, "prompt_tokens": 10,
        "cached_tokens": 0, "generated_tokens": 5, "gpu_seconds": 0.5, "disposition": "kept", "reused_from": None, **values,
    }  # fmt: skip


def usage_row(**values: Any) -> dict[str, Any]:
    calls = values.get("calls", 1)
    return {
        "phase": "generate", "model": "fast", "disposition": "kept", "reused": False, "at_least": False,
        "calls": calls, "samples": calls if values.get("phase", "generate") == "generate" else 0,
        "prompt_tokens": 10, "canonical_prompt_tokens": 10, "cached_tokens": 0, "generated_tokens": 5,
        "scored_tokens": 0, "flops": 100.0, "flops_canonical": 90.0, "flops_2nd": 80.0, "gpu_seconds": 0.5,
        "dollars": 0.25, **values,
    }  # fmt: skip


def lost_usage(**values: Any) -> dict[str, Any]:
    """Usage as a heartbeat reports it: already marked for the case that the attempt is lost."""
    return usage_row(disposition="wasted", at_least=True, **values)


def beat(database: Database, worker_id: str, usage: dict[int, list[Any]]) -> dict[int, str]:
    """Extend a worker's leases and note what its attempts (attempt id -> rows) have used so far."""
    with database.transaction() as connection:
        return transitions.extend_leases(connection, worker_id, usage, database.clock.now(connection), LEASE)


def job_of(database: Database, job_id: int) -> Any:
    return rows(database, JOB, JOB.c.id == job_id)[0]


def query_of(database: Database, query_id: int) -> Any:
    return rows(database, QUERY, QUERY.c.id == query_id)[0]


def states(database: Database, shelf: Shelf) -> list[str]:
    return [row.state for row in rows(database, QUERY, QUERY.c.job_id == shelf.job_id)]


def attempts(database: Database, shelf: Shelf) -> list[Any]:
    return rows(database, ATTEMPT, ATTEMPT.c.job_id == shelf.job_id)


def usage(database: Database, shelf: Shelf) -> list[Any]:
    return rows(database, USAGE, USAGE.c.job_id == shelf.job_id)


def rows(database: Database, of: Any, *where: Any) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(select(of).where(*where).order_by(of.c.id)))


def count(database: Database, name: str) -> int:
    with database.reading() as connection:
        found: int = connection.execute(text(f"SELECT COUNT(*) FROM {name}")).scalar_one()
        return found


def force(database: Database, of: Any, row_id: int, **values: Any) -> None:
    """Put a row into a state by force, as no transition would."""
    with database.transaction() as connection:
        connection.execute(update(of).where(of.c.id == row_id).values(**values))


def write_problems(path: Path, count: int, **replaced: str) -> Path:
    """A JSON-lines file of `count` problems; `replaced` maps "line3" to that line's own text."""
    with path.open("w") as file:
        for n in range(1, count + 1):
            line = json.dumps({"unique_id": f"k{n}", "problem": f"What is {n} + 1?", "answer": str(n + 1)})
            file.write(replaced.get(f"line{n}", line) + "\n")
    return path


def messages(redis_url: str, generator: str = "fast", *, probes: bool = False) -> list[tuple[int, int, bool]]:
    """What waits in a generator's queue on Redis, or in that of its probes, urgent ones first: (query id, stage, alone)."""
    queue = f"{KEY_PREFIX}{(probe_queue if probes else solve_queue)(generator)}"
    found: list[tuple[int, int, bool]] = []
    with redis.Redis.from_url(redis_url) as client:
        for step in PRIORITY_STEPS:
            waiting: Any = client.lrange(f"{queue}\x06\x16{step}" if step else queue, 0, -1)
            for raw in reversed(waiting):
                query_id, stage, alone = json.loads(base64.b64decode(json.loads(raw)["body"]))[0]
                found.append((query_id, stage, alone))
    return found
