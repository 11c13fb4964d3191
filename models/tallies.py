"""Running totals over all jobs, for monitoring: read from the rows, so that they survive every restart, and read
incrementally, so that a ledger of millions of rows is gone through once and not at every look."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, case, func, or_, select

from models.database import Database
from models.transitions import ATTEMPT, JOB, QUERY, USAGE

SETTLE_SECONDS = 60.0
"""A younger row may have neighbours whose transaction is still open: what is younger is read again each time."""
LATE_ENDS = timedelta(hours=1)
"""A cancelled job's last attempts end after it: within seconds, or with their leases."""
SHORTEST_PAUSE = 5.0
PATIENCE = 20
"""A reading that took t seconds is kept for PATIENCE * t: however large the tables, it takes a twentieth of the time."""

AMOUNTS = (
    "calls", "samples", "prompt_tokens", "cached_tokens", "generated_tokens", "scored_tokens", "flops", "flops_canonical",
    "gpu_seconds", "dollars",
)  # fmt: skip
UNKNOWABLE = ("cached_tokens", "flops", "dollars")
"""Amounts that may be NULL, unknown; how many rows do not say is counted as `unknown_AMOUNT`."""

Labels = tuple[Any, ...]
Tally = Counter[Labels]
T = TypeVar("T")


class Paced(Generic[T]):
    """A reading that is repeated at most every 5 s, and never more than a twentieth of the time."""

    def __init__(self, read: Callable[[], T], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._monotonic = monotonic
        self._next = float("-inf")
        self._found: T

    def get(self) -> T:
        began = self._monotonic()
        if began >= self._next:
            self._found = self._read()
            ended = self._monotonic()
            self._next = ended + max(SHORTEST_PAUSE, PATIENCE * (ended - began))
        return self._found


class Ledger:
    """The sums of `usage` by (model, phase, disposition, reused, amount); the idle rows of workers are left out."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._settled: Tally = Counter()
        self._settled_id = 0
        self._seen: deque[tuple[float, int]] = deque()

    def read(self) -> Tally:
        """The sums of now. Rows are only ever added, in about the order of their ids."""
        with self._database.reading() as connection:
            last: int = connection.execute(select(func.coalesce(func.max(USAGE.c.id), 0))).scalar_one()
            old = self._settled_id
            now = self._monotonic()
            while self._seen and self._seen[0][0] <= now - SETTLE_SECONDS:
                self._settled_id = self._seen.popleft()[1]
            if self._settled_id > old:
                self._settled += self._sums(connection, old, self._settled_id)
            recent = self._sums(connection, self._settled_id, last)
        self._seen.append((now, last))
        return self._settled + recent

    def _sums(self, connection: Connection, after: int, last: int) -> Tally:
        if after == last:
            return Counter()
        labels = (USAGE.c.model, USAGE.c.phase, USAGE.c.disposition, USAGE.c.reused)
        unknown = [
            func.sum(case((USAGE.c[name].is_(None), 1), else_=0)).label(f"unknown_{name}") for name in UNKNOWABLE
        ]
        sums = select(*labels, *(func.sum(USAGE.c[name]).label(name) for name in AMOUNTS), *unknown)
        rows = connection.execute(
            sums.where(USAGE.c.id > after, USAGE.c.id <= last, USAGE.c.phase != "idle").group_by(*labels)
        )
        found: Tally = Counter()
        for row in rows:
            for name in (*AMOUNTS, *(f"unknown_{name}" for name in UNKNOWABLE)):
                if (value := row._mapping[name]) is not None:
                    found[row.model, row.phase, row.disposition, row.reused, name] = float(value)  # type: ignore[assignment]
        return found


class Attempts:
    """Ended attempts by (generator, how they ended): done, drained, cancelled, lost, retried, failed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settled: Tally = Counter()
        self._settled_at: datetime | None = None

    def read(self) -> Tally:
        with self._database.reading() as connection:
            until = self._database.clock.now(connection) - timedelta(seconds=SETTLE_SECONDS)
            self._settled += self._ended(connection, self._settled_at, until)
            self._settled_at = until
            return self._settled + self._ended(connection, until, None)

    def _ended(self, connection: Connection, after: datetime | None, until: datetime | None) -> Tally:
        chosen = [] if until is None else [ATTEMPT.c.ended_at <= until]
        if after is not None:
            # By job, or the index on (job, end) could not be used.
            jobs = select(JOB.c.id).where(or_(JOB.c.ended_at.is_(None), JOB.c.ended_at > after - LATE_ENDS))
            chosen += [ATTEMPT.c.job_id.in_(list(connection.execute(jobs).scalars())), ATTEMPT.c.ended_at > after]
        ended = ATTEMPT.c.ended_at.is_not(None)
        counts = select(JOB.c.generator, ATTEMPT.c.state, func.count()).join(JOB, JOB.c.id == ATTEMPT.c.job_id)
        found: Tally = Counter()
        for generator, state, count in connection.execute(
            counts.where(ended, *chosen).group_by(JOB.c.generator, ATTEMPT.c.state)
        ):
            found[generator, state] = count
        # The last attempt of a query that has failed is the one it failed with; any other was followed by another try.
        final = (QUERY.c.attempt == ATTEMPT.c.number) & (QUERY.c.state == "failed")
        failed = (
            select(JOB.c.generator, func.count())
            .join(JOB, JOB.c.id == ATTEMPT.c.job_id)
            .join(QUERY, QUERY.c.id == ATTEMPT.c.query_id)
            .where(ATTEMPT.c.state == "failed", ended, final, *chosen)
            .group_by(JOB.c.generator)
        )
        for_good = {generator: count for generator, count in connection.execute(failed)}
        for generator in {generator for generator, state in found if state == "failed"}:
            found[generator, "retried"] = found[generator, "failed"] - for_good.get(generator, 0)
            found[generator, "failed"] = for_good.get(generator, 0)
        return found


@dataclass(frozen=True, slots=True)
class JobTally:
    """A job as monitoring sees it; `queries` counts by state, `graded` and `right` are of its done queries."""

    id: int
    state: str
    generator: str
    strategy: str
    cap_unit: str | None
    cap_amount: float | None
    spent: float
    reserved: float
    queries: dict[str, int]
    graded: int
    right: int

    @property
    def has_ended(self) -> bool:
        return self.state in ("done", "cancelled")


class Jobs:
    """All jobs with their queries counted; those of an ended job are counted once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted: dict[tuple[int, datetime], tuple[dict[str, int], int, int]] = {}

    def read(self) -> list[JobTally]:
        names = ("id", "state", "generator", "strategy", "cap_unit", "cap_amount", "spent", "reserved", "ended_at")
        with self._database.reading() as connection:
            rows = connection.execute(select(*(JOB.c[name] for name in names)).order_by(JOB.c.id)).all()
            todo = [row.id for row in rows if (row.id, row.ended_at) not in self._counted]
            counted = _counted(connection, todo)
        found, kept = [], {}
        for row in rows:
            counts = counted[row.id] if row.id in counted else self._counted[row.id, row.ended_at]
            columns = {name: row._mapping[name] for name in names[:-1]}
            queries, graded, right = counts
            found.append(JobTally(**columns, queries=queries, graded=graded, right=right))
            # While a worker still holds one of its queries, an ended job's are not yet what they will be.
            if row.ended_at is not None and not {"running", "queued"} & counts[0].keys():
                kept[row.id, row.ended_at] = counts
        self._counted = kept
        return found


def _counted(connection: Connection, job_ids: Sequence[int]) -> dict[int, tuple[dict[str, int], int, int]]:
    """Job id -> (queries by state, graded done ones, right ones)."""
    states: dict[int, dict[str, int]] = {job_id: {} for job_id in job_ids}
    graded: Counter[int] = Counter()
    right: Counter[int] = Counter()
    right_ones = func.coalesce(func.sum(case((QUERY.c.correct, 1), else_=0)), 0)
    counts = select(QUERY.c.job_id, QUERY.c.state, func.count(), func.count(QUERY.c.correct), right_ones)
    for job_id, state, queries, with_grade, correct in connection.execute(
        counts.where(QUERY.c.job_id.in_(job_ids)).group_by(QUERY.c.job_id, QUERY.c.state)
    ):
        states[job_id][state] = queries
        if state == "done":
            graded[job_id], right[job_id] = with_grade, int(correct)
    return {job_id: (states[job_id], graded[job_id], right[job_id]) for job_id in job_ids}
