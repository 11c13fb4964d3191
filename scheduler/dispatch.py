"""Dispatch: keeps about four times the live slots rung, by priority, within each job's cap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, literal_column, or_, select

from models.catalogue import job_costs
from models.costs import CostModel
from models.database import Database
from models.specification import JobSpecification, template_from_dict
from models.templates import Template
from models.transitions import (
    JOB,
    QUERY,
    ROUNDING,
    UNDECIDED,
    UNPROBED,
    end_job,
    plan,
    recall_bells,
    ring,
    settle,
)
from scheduler.decisions import read
from scheduler.difficulty import difficulty_of
from scheduler.doorbell import Bell, Doorbell
from scheduler.planning import FixedPlanner, Plan, Planner, Settled, Waiting
from scheduler.reservations import worst_cases
from scheduler.stages import StagedPlanner
from scheduler.traffic import Traffic, traffic_of
from strategies.evidence import Evidence

MOST_AT_ONCE = 1000
EXHAUSTED = "what is left of its budget does not cover another query"
OVERDUE = "its deadline has passed"


@dataclass(frozen=True, slots=True)
class OpenJob:
    """An open job and what ringing its queries needs; all but priority, cap and deadline is immutable."""

    id: int
    lane: str
    priority: int
    cap_unit: str | None
    deadline: datetime | None
    planner: Planner
    specification: JobSpecification
    template: Template
    costs: CostModel


@dataclass(frozen=True, slots=True)
class Ready:
    """A planned query that can be rung."""

    id: int
    stage: int
    suspect: int
    sequences: int
    final: bool


class Dispatcher:
    """Rings bells for the open jobs of one database. Safe if two run: every step is a guarded UPDATE."""

    def __init__(self, database: Database, doorbell: Doorbell) -> None:
        self._database = database
        self._doorbell = doorbell
        self._jobs: dict[int, OpenJob] = {}

    def dispatch(self) -> int:
        """One round over all open jobs, most urgent first; returns how many bells were rung."""
        with self._database.reading() as connection:
            now = self._database.clock.now(connection)
            jobs = self._open_jobs(connection)
            traffic = traffic_of(connection, now)
            returned = {job.id: _returned(connection, job.id) for job in jobs if job.planner.staged}
        rung = 0
        for job in jobs:
            if job.deadline is not None and job.deadline <= now:
                self._stop(job)
                continue
            if returned.get(job.id):
                self._decide(job, returned[job.id])
            lane = traffic.get(job.lane)
            if lane is None or not lane.slots:
                continue
            bells = self._ring(job, lane)
            self._doorbell.ring(bells)
            rung += len(bells)
        return rung

    def _stop(self, job: OpenJob) -> None:
        """Start nothing more of a job whose deadline has passed; it ends when what is running has ended."""
        with self._database.transaction() as connection:
            recall_bells(connection, job.id)
            now = self._database.clock.now(connection)
            if job.planner.staged:
                _withdraw(connection, job, _staged(connection, job.id), "deadline", now)
            end_job(connection, job.id, "budget_exhausted", now, OVERDUE)

    def _decide(self, job: OpenJob, returned: Sequence[Row[Any]]) -> None:
        """Plan or settle what has come back from a stage, before anything is chosen to be rung."""
        with self._database.transaction() as connection:
            _decided(connection, job, returned, self._database.clock.now(connection))

    def _open_jobs(self, connection: Connection) -> list[OpenJob]:
        rows = connection.execute(
            select(JOB.c.id, JOB.c.lane, JOB.c.priority, JOB.c.cap_unit, JOB.c.deadline)
            .where(JOB.c.state == "open")
            .order_by(JOB.c.priority, JOB.c.id)
        ).all()
        self._jobs = {row.id: self._jobs.get(row.id) or _load(connection, row.id) for row in rows}
        return [
            replace(self._jobs[row.id], priority=row.priority, cap_unit=row.cap_unit, deadline=row.deadline)
            for row in rows
        ]

    def _ring(self, job: OpenJob, lane: Traffic) -> list[Bell]:
        with self._database.transaction() as connection:
            now = self._database.clock.now(connection)
            chosen = _next_suspects(connection, job, lane, now) or _next(connection, job, lane, now)
            ready = _fitting(_decided(connection, job, chosen, now), lane.free(job.priority))
            if not ready:
                return []
            ids = [one.id for one in ready]
            worst = worst_cases(connection, job.specification, job.template, job.costs, job.cap_unit, ids)
            rung = set(ring(connection, job.id, worst, now))
            if not rung:
                _give_up(connection, job, ready, worst, now)
        bells = [one for one in ready if one.id in rung]
        lane.sequences[job.priority] += sum(one.sequences for one in bells)
        lane.suspects += sum(one.suspect > 0 for one in bells)
        return [
            Bell(one.id, one.stage, job.lane, job.priority, alone=one.suspect > 0, probe=not one.final) for one in bells
        ]


def _load(connection: Connection, job_id: int) -> OpenJob:
    row = connection.execute(select(JOB).where(JOB.c.id == job_id)).one()
    specification = JobSpecification(**row.specification)
    return OpenJob(
        id=job_id,
        lane=row.lane,
        priority=row.priority,
        cap_unit=row.cap_unit,
        deadline=row.deadline,
        planner=_planner(connection, specification, row.dataset_id),
        specification=specification,
        template=template_from_dict(specification.template),
        costs=job_costs(connection, specification),
    )


def _planner(connection: Connection, specification: JobSpecification, dataset_id: int) -> Planner:
    if specification.plan is None:
        return FixedPlanner.of(specification)
    return StagedPlanner(specification, difficulty_of(connection, specification, dataset_id))


# --- what waits -------------------------------------------------------------------------------------------------------


def _pending(job_id: int) -> Any:
    names = ("id", "problem_id", "stage", "planned", "suspect", "sequences", "final", "evidence", "decisions")
    return select(*(QUERY.c[name] for name in names)).where(QUERY.c.job_id == job_id, QUERY.c.state == "pending")


def _returned(connection: Connection, job_id: int) -> Sequence[Row[Any]]:
    """What has come back from a stage and is to be decided on."""
    waiting = _pending(job_id).where(QUERY.c.gain >= UNDECIDED).order_by(QUERY.c.gain, QUERY.c.id)
    return connection.execute(waiting.limit(MOST_AT_ONCE)).all()


def _staged(connection: Connection, job_id: int) -> Sequence[Row[Any]]:
    """What waits for a further stage and has an answer."""
    return connection.execute(_pending(job_id).where(QUERY.c.stage > 0)).all()


def _ready(job: OpenJob, now: datetime) -> Any:
    return _pending(job.id).where(or_(QUERY.c.not_before.is_(None), QUERY.c.not_before <= now))


def _next(connection: Connection, job: OpenJob, lane: Traffic, now: datetime) -> list[Row[Any]]:
    free = lane.free(job.priority)
    if free <= 0:
        return []
    limit = min(max(1, free // job.planner.width), MOST_AT_ONCE)
    waiting = _ready(job, now).where(QUERY.c.suspect == 0)
    if not job.planner.by_gain:
        return list(connection.execute(waiting.order_by(QUERY.c.id).limit(limit)))
    # Two ways through one index: nothing is worth more than a query that has not been probed.
    first = waiting.where(QUERY.c.gain == UNPROBED).order_by(QUERY.c.id).limit(limit)
    chosen = list(connection.execute(first))
    behind = waiting.where(QUERY.c.gain < UNPROBED).order_by(QUERY.c.gain.desc(), QUERY.c.id)
    return chosen + list(connection.execute(behind.limit(limit - len(chosen)))) if len(chosen) < limit else chosen


def _next_suspects(connection: Connection, job: OpenJob, lane: Traffic, now: datetime) -> list[Row[Any]]:
    """Suspects run one at a time: each takes a whole worker, so at most one per live worker is rung.

    The least suspect first: who is innocent is cleared before anyone is tried again. The zero is written out, since
    PostgreSQL matches no parameter with the condition of a partial index.
    """
    free = lane.workers - lane.suspects
    if free <= 0:
        return []
    waiting = _ready(job, now).where(QUERY.c.suspect > literal_column("0")).order_by(QUERY.c.suspect, QUERY.c.id)
    return list(connection.execute(waiting.limit(free)))


# --- what becomes of it -----------------------------------------------------------------------------------------------


def _decided(connection: Connection, job: OpenJob, chosen: Sequence[Row[Any]], now: datetime) -> list[Ready]:
    """Those of `chosen` that are to be rung, in their order: what has no plan is given one, or settled."""
    made = job.planner.decide(connection, _waiting([row for row in chosen if not row.planned]))
    plan(connection, [one.row() for one in made if isinstance(one, Plan)])
    settle(connection, [one.row() for one in made if isinstance(one, Settled)], now)
    decided = {one.query.id: one for one in made}
    ready = []
    for row in chosen:
        new = decided.get(row.id)
        if not isinstance(new, Settled):
            ready.append(Ready(row.id, row.stage, row.suspect, (new or row).sequences, (new or row).final))
    return ready


def _fitting(ready: list[Ready], free: int) -> list[Ready]:
    """As many of them as have room, at least one; a suspect has a worker for itself."""
    found: list[Ready] = []
    taken = 0
    for one in ready:
        taken += one.sequences
        if found and taken > free and not one.suspect:
            break
        found.append(one)
    return found


def _give_up(
    connection: Connection, job: OpenJob, ready: Sequence[Ready], worst: dict[int, float], now: datetime
) -> None:
    """Of what does not fit the cap: settle what has an answer; where a query has none, end the job.

    Not while anything is in flight: refunds may still make room.
    """
    row = connection.execute(
        select(JOB.c.cap_amount, JOB.c.spent, JOB.c.reserved).where(JOB.c.id == job.id, JOB.c.state == "open")
    ).one_or_none()
    in_flight = select(QUERY.c.id).where(QUERY.c.job_id == job.id, QUERY.c.state.in_(("queued", "running"))).limit(1)
    if row is None or row.cap_amount is None or connection.execute(in_flight).first():
        return
    left = row.cap_amount * ROUNDING - row.spent - row.reserved
    without = {one.id for one in ready if worst[one.id] > left}
    unanswered = any(one.stage == 0 for one in ready if one.id in without)
    staged = _staged(connection, job.id) if job.planner.staged else []
    _withdraw(connection, job, [row for row in staged if unanswered or row.id in without], "budget", now)
    if unanswered:
        end_job(connection, job.id, "budget_exhausted", now, EXHAUSTED)


def _withdraw(
    connection: Connection,
    job: OpenJob,
    rows: Sequence[Row[Any]],
    reason: Literal["budget", "deadline"],
    now: datetime,
) -> None:
    """Settle queries that have an answer and will not get what they would have got."""
    settle(connection, [one.row() for one in job.planner.withdraw(_waiting(rows), reason)], now)


def _waiting(rows: Sequence[Row[Any]]) -> list[Waiting]:
    return [
        Waiting(
            row.id, row.problem_id, row.stage, Evidence(**row.evidence) if row.evidence else None, read(row.decisions)
        )
        for row in rows
    ]
