"""What a hundred workers ask of one PostgreSQL: claims, commits and heartbeats as workers make them, without engines.

    python -m benchmarks.hundred_workers --workers 100 --slots 64 --latency 20 --seconds 60

Every simulated worker is a thread with a connection of its own. It holds `slots` queries that take `latency` seconds
each, so that workers * slots / latency queries end every second; the figures say whether the database keeps up and how
long a transaction takes. All threads share this process's interpreter, which real workers do not: with many of them
the times are upper bounds. `--database URL` measures a server of yours, which needs a connection for each worker and a
few more, and an empty database.
"""

from __future__ import annotations

import argparse
import queue
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select, text

from benchmarks.tables import Row
from models import heartbeats, transitions
from models.database import Database, upgrade
from models.transitions import QUERY, Claim, Outcome
from tests.builders import add_job, candidate_row, plan_row, usage_row
from tests.servers import fresh_database, postgres_server

LEASE_SECONDS, BEAT_SECONDS, ROUND_SECONDS = 60.0, 2.0, 0.1
GENERATOR = "fast"


class Times:
    """How long each kind of transaction took, in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.by_kind: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def of(self, kind: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        with self._lock:
            self.by_kind[kind].append(time.monotonic() - began)


class SimulatedWorker:
    """The database's view of a worker: one thread that claims, commits and beats."""

    def __init__(self, number: int, url: str, rung: queue.SimpleQueue[int], slots: int, latency: float) -> None:
        self.id = f"worker-{number}"
        self._database = Database(url)
        self._rung = rung
        self._slots = slots
        self._latency = latency
        self._in_flight: list[tuple[float, Claim]] = []
        self.completed = 0

    def run(self, until: float, times: Times) -> None:
        with self._database.transaction() as connection:
            identity = heartbeats.Identity(self.id, "worker", GENERATOR, "instant", self._slots, GENERATOR)
            heartbeats.register(connection, identity, self._database.clock.now(connection))
        next_beat = time.monotonic() + random.uniform(0, BEAT_SECONDS)
        while (now := time.monotonic()) < until:
            self._commit([claim for end, claim in self._in_flight if end <= now], times)
            self._in_flight = [entry for entry in self._in_flight if entry[0] > now]
            self._claim(self._slots - len(self._in_flight), times)
            if now >= next_beat:
                self._beat(times)
                next_beat = now + BEAT_SECONDS
            time.sleep(max(0.0, ROUND_SECONDS - (time.monotonic() - now)))
        self._database.close()

    def _claim(self, free: int, times: Times) -> None:
        bells: list[tuple[int, int, bool]] = []
        while len(bells) < free and not self._rung.empty():
            try:
                bells.append((self._rung.get_nowait(), 0, False))
            except queue.Empty:
                break
        if bells:
            with times.of("claim"), self._database.transaction() as connection:
                now = self._database.clock.now(connection)
                claims = transitions.claim(connection, self.id, bells, now, LEASE_SECONDS)
            began = time.monotonic()
            self._in_flight += [(began + self._latency * random.uniform(0.5, 1.5), claim) for claim in claims]

    def _commit(self, claims: list[Claim], times: Times) -> None:
        if claims:
            done = [
                Outcome(one, "done", answer="2", candidates=[candidate_row()], usage=[usage_row()]) for one in claims
            ]
            with times.of("commit"), self._database.transaction() as connection:
                self.completed += len(transitions.commit(connection, done, self._database.clock.now(connection)))

    def _beat(self, times: Times) -> None:
        usage = {claim.attempt_id: [usage_row(disposition="wasted", at_least=True)] for _, claim in self._in_flight}
        with times.of("heartbeat"), self._database.transaction() as connection:
            now = self._database.clock.now(connection)
            said = heartbeats.Beat(self.completed, len(usage))
            heartbeats.beat(connection, self.id, GENERATOR, said, now)
            transitions.extend_leases(connection, self.id, usage, now, LEASE_SECONDS)


def ring_forever(database: Database, job_id: int, rung: queue.SimpleQueue[int], ahead: int, until: float) -> None:
    """The scheduler's part: keep about twice as many queries rung as the workers have slots."""
    while time.monotonic() < until:
        if rung.qsize() < ahead:
            with database.transaction() as connection:
                pending = select(QUERY.c.id).where(QUERY.c.job_id == job_id, QUERY.c.state == "pending")
                ids = list(connection.execute(pending.order_by(QUERY.c.id).limit(ahead)).scalars())
                transitions.plan(connection, [plan_row(query_id) for query_id in ids])
                now = database.clock.now(connection)
                for query_id in transitions.ring(connection, job_id, dict.fromkeys(ids, 0.0), now):
                    rung.put(query_id)
        time.sleep(ROUND_SECONDS)


def measure(url: str, workers: int, slots: int, latency: float, seconds: float) -> list[Row]:
    database = Database(url)
    upgrade(database)
    asked = workers * slots / latency
    shelf = add_job(database, int(asked * seconds * 1.5) + 3 * workers * slots)
    rung: queue.SimpleQueue[int] = queue.SimpleQueue()
    times, until = Times(), time.monotonic() + seconds
    simulated = [SimulatedWorker(number, url, rung, slots, latency) for number in range(workers)]
    threads = [threading.Thread(target=one.run, args=(until, times)) for one in simulated]
    ringing = (database, shelf.job_id, rung, workers * slots, until)
    threads.append(threading.Thread(target=ring_forever, args=ringing))
    for thread in threads:
        thread.start()
    time.sleep(seconds / 2)
    with database.reading() as connection:
        counted = select(func.count()).select_from(text("pg_stat_activity")).where(text("datname = current_database()"))
        connections: Any = connection.execute(counted).scalar_one()
    for thread in threads:
        thread.join()
    done = sum(one.completed for one in simulated)
    database.close()
    steady = seconds - latency  # nothing ends in the first `latency` seconds
    rate = done / steady if steady > 0 else float("nan")
    rows = [
        Row("queries ended", f"{rate:.0f} /s of {asked:.0f} /s asked", f"{rate / asked:.2f}"),
        Row("connections", str(connections), f"{connections / workers:.2f} a worker"),
    ]
    for kind, found in sorted(times.by_kind.items()):
        cuts = quantiles(found, n=20) if len(found) > 1 else [found[0]] * 19
        figure = f"median {1000 * cuts[9]:.0f} ms, 95 % within {1000 * cuts[18]:.0f} ms"
        rows.append(Row(kind, figure, f"{len(found) / seconds:.0f} transactions/s"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hundred_workers", description=__doc__)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--slots", type=int, default=64, help="sequences each engine runs at once")
    parser.add_argument("--latency", type=float, default=20.0, help="seconds that a query takes, on average")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--database", help="a PostgreSQL of yours instead of one started here")
    options = parser.parse_args()
    with ExitStack() as stack:
        url = options.database
        if url is None:
            server = stack.enter_context(postgres_server(connections=options.workers + 20))
            url = stack.enter_context(fresh_database(server))
        table = Table("measured", "figure", "ratio")
        for row in measure(url, options.workers, options.slots, options.latency, options.seconds):
            table.add_row(*row)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
