"""Traffic: what live workers could take, and what is rung or running for them already."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from models.heartbeats import ALIVE_SECONDS, WORKER
from models.transitions import JOB, QUERY

WINDOW = 4
"""Sequences rung per live slot: a batch that is drawn, one that the verifier reads, and as many waiting. With half of that,
of two votes of 64 samples on 64 sequences, either the generator or the verifier mostly stood still."""


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


def traffic_of(connection: Connection, now: datetime) -> dict[str, Traffic]:
    """The traffic of each lane that has any."""
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
