"""Dispatch: keeps about twice the live slots rung, by priority, within each job's cap."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_, select

from models import tables
from models.catalogue import job_costs
from models.costs import CostModel
from models.database import Database
from models.errors import UserError
from models.heartbeats import ALIVE_SECONDS, WORKER
from models.specification import JobSpecification, template_from_dict
from models.templates import Template
from models.transitions import JOB, QUERY, end_job, plan, recall_bells, ring, table
from scheduler.doorbell import Bell, Doorbell
from scheduler.planning import Planner
from strategies import registry

PROBLEM = table(tables.Problem)
WINDOW = 2
"""Sequences rung per live slot: one batch running and one waiting, so that no worker starves or hoards."""
MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class OpenJob:
    """An open job and what ringing its queries needs; all but the cap is immutable."""

    id: int
    lane: str
    priority: int
    cap_unit: str | None
    deadline: datetime | None
    planner: Planner
    specification: JobSpecification
    template: Template
    costs: CostModel

    @property
    def width(self) -> int:
        """Sequences that a typical query of the job runs at once."""
        typical: int = self.planner.plan([0])[0]["sequences"]
        return max(1, typical)


@dataclass(slots=True)
class Traffic:
    """What is rung or running on one lane, in sequences by job priority, and how many suspects."""

    slots: int = 0
    workers: int = 0
    sequences: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    suspects: int = 0

    def free(self, priority: int) -> int:
        """Sequences that a job of `priority` may still ring: less urgent ones in the queue do not stand in its way."""
        ahead = sum(count for other, count in self.sequences.items() if other <= priority)
        return WINDOW * self.slots - ahead


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
            traffic = _traffic(connection, now)
        rung = 0
        for job in jobs:
            if job.deadline is not None and job.deadline <= now:
                self._stop(job)
                continue
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
            end_job(connection, job.id, "budget_exhausted", now, "its deadline has passed")

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
            if not chosen:
                return []
            unplanned = [row.id for row in chosen if not row.planned]
            plan(connection, job.planner.plan(unplanned))
            rung = ring(connection, job.id, _reservations(connection, job, [row.id for row in chosen]), now)
            if not rung:
                # Refused while anything is in flight: refunds may still make room for another query.
                reason = "what is left of its budget does not cover another query"
                end_job(connection, job.id, "budget_exhausted", now, reason)
        rows = {row.id: row for row in chosen}
        lane.sequences[job.priority] += job.width * len(rung)
        lane.suspects += sum(rows[query_id].suspect > 0 for query_id in rung)
        return [
            Bell(query_id, rows[query_id].stage, job.lane, job.priority, alone=rows[query_id].suspect > 0)
            for query_id in rung
        ]


def _load(connection: Connection, job_id: int) -> OpenJob:
    row = connection.execute(select(JOB).where(JOB.c.id == job_id)).one()
    specification = JobSpecification(**row.specification)
    every_step = registry.find(specification.strategy).scores_every_step(specification.parameters)
    return OpenJob(
        id=job_id,
        lane=row.lane,
        priority=row.priority,
        cap_unit=row.cap_unit,
        deadline=row.deadline,
        planner=Planner.of(specification),
        specification=specification,
        template=template_from_dict(specification.template),
        costs=replace(job_costs(connection, specification), every_step=every_step),
    )


def _traffic(connection: Connection, now: datetime) -> dict[str, Traffic]:
    lanes: dict[str, Traffic] = defaultdict(Traffic)
    alive = connection.execute(
        select(WORKER.c.lane, func.sum(WORKER.c.slots).label("slots"), func.count().label("workers"))
        .where(
            WORKER.c.kind == "worker",
            WORKER.c.stopped_at.is_(None),
            WORKER.c.seen_at > now - timedelta(seconds=ALIVE_SECONDS),
        )
        .group_by(WORKER.c.lane)
    )
    for row in alive:
        lanes[row.lane].slots, lanes[row.lane].workers = int(row.slots), row.workers
    suspects = func.sum(func.sign(QUERY.c.suspect))
    moving = connection.execute(
        select(JOB.c.lane, JOB.c.priority, func.sum(QUERY.c.sequences).label("sequences"), suspects.label("suspects"))
        .join(JOB, JOB.c.id == QUERY.c.job_id)
        .where(QUERY.c.state.in_(("queued", "running")))
        .group_by(JOB.c.lane, JOB.c.priority)
    )
    for row in moving:
        lanes[row.lane].sequences[row.priority] += int(row.sequences)
        lanes[row.lane].suspects += int(row.suspects)
    return lanes


def _ready(job: OpenJob, now: datetime) -> Any:
    return (
        select(QUERY.c.id, QUERY.c.stage, QUERY.c.planned, QUERY.c.suspect)
        .where(
            QUERY.c.job_id == job.id,
            QUERY.c.state == "pending",
            or_(QUERY.c.not_before.is_(None), QUERY.c.not_before <= now),
        )
        .order_by(QUERY.c.id)
    )


def _next(connection: Connection, job: OpenJob, lane: Traffic, now: datetime) -> list[Any]:
    free = lane.free(job.priority)
    if free <= 0:
        return []
    limit = min(max(1, free // job.width), MOST_AT_ONCE)
    return list(connection.execute(_ready(job, now).where(QUERY.c.suspect == 0).limit(limit)))


def _next_suspects(connection: Connection, job: OpenJob, lane: Traffic, now: datetime) -> list[Any]:
    """Suspects run one at a time: each takes a whole worker, so at most one per live worker is rung.

    The least suspect first: who is innocent is cleared before anyone is tried again.
    """
    free = lane.workers - lane.suspects
    if free <= 0:
        return []
    return list(
        connection.execute(
            _ready(job, now).where(QUERY.c.suspect > 0).order_by(None).order_by(QUERY.c.suspect, QUERY.c.id).limit(free)
        )
    )


def _reservations(connection: Connection, job: OpenJob, query_ids: list[int]) -> dict[int, float]:
    """Query id -> its worst case in the cap's unit; nothing is reserved where there is no cap."""
    if job.cap_unit is None:
        return dict.fromkeys(query_ids, 0.0)
    rows = connection.execute(
        select(
            QUERY.c.id,
            QUERY.c.budget_amount,
            QUERY.c.budget_unit,
            QUERY.c.sequences,
            QUERY.c.strategy,
            QUERY.c.parameters,
            PROBLEM.c.prompt,
            PROBLEM.c.subject,
            PROBLEM.c.level,
        )
        .join(PROBLEM, PROBLEM.c.id == QUERY.c.problem_id)
        .where(QUERY.c.id.in_(query_ids))
        .order_by(QUERY.c.id)
    )
    longest = int(job.specification.sampling["max_tokens"])
    worst = {}
    for row in rows:
        try:
            prompt = job.template.worst_prompt_bytes(row.prompt, row.subject, row.level)
        except UserError:
            worst[row.id] = 0.0  # its worker will fail it for this reason, before it has cost anything
            continue
        budget = (row.budget_amount, row.budget_unit)
        strategy = registry.outline(row.strategy)
        behind = job.template.worst_revision_bytes(
            max(strategy.shown(row.parameters)), longest, feedback=strategy.gives_feedback(row.parameters)
        )
        worst[row.id] = job.costs.worst_case(budget, job.cap_unit, prompt, longest, calls=row.sequences, behind=behind)
    return worst
