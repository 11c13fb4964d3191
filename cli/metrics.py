"""`tts-jobs metrics`: what the database and the broker know, for Prometheus."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from cli.exposition import Exposition
from cli.logs import configure, log_options
from models.database import Database, open_database
from models.errors import UserError
from models.heartbeats import WORKER, live_processes
from models.settings import settings
from models.tallies import UNKNOWABLE, Attempts, Jobs, JobTally, Ledger, Paced, Tally
from models.transitions import JOB

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from scheduler.doorbell import Doorbell

PORT = 9464
MOST_JOBS = 20
"""Jobs that have not ended and are shown one by one, the newest: more would be a series for every job there ever was."""
LEDGER = {
    "calls": ("tts_calls", "Requests to the engines."),
    "samples": ("tts_samples", "Solutions begun."),
    "gpu_seconds": ("tts_gpu_seconds", "GPU-seconds."),
    "dollars": ("tts_dollars", "US dollars, of rows with a known price."),
    "flops": ("tts_flops", "FLOPs as executed, of models with a known architecture."),
    "flops_canonical": ("tts_canonical_flops", "FLOPs as if each query ran alone."),
}
ENDS = ("done", "drained", "cancelled", "lost", "retried", "failed")
"""All are told once a generator has any: what begins at its first event would never be seen to rise."""
TOKENS = {"prompt_tokens": "prompt", "cached_tokens": "cached", "generated_tokens": "generated", "scored_tokens": "scored"}  # fmt: skip

log = logging.getLogger(__name__)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 is any free one.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 is everywhere.")
@log_options
def metrics(port: int, address: str, log_level: str, log_format: str) -> None:
    """Serve metrics for Prometheus until SIGTERM, at http://ADDRESS:PORT/metrics.

    One is enough, however many schedulers and workers there are: all is read from the database and the broker. What one
    engine does right now is told by its worker: `tts-jobs worker --metrics-port N`. On another address than this machine's
    own it starts only with a login, `user:password` in TTS_METRICS_BASIC_AUTH.

    \b
    Example:
      tts-jobs metrics --port 9464
    """
    from prometheus_client import CollectorRegistry

    from scheduler.doorbell import Doorbell

    configure(log_level, log_format)
    options = settings()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with contextlib.closing(open_database()) as database:
        doorbell = Doorbell(options.broker) if options.broker_is_shared else None
        registry = CollectorRegistry()
        registry.register(ServiceCollector(database, doorbell))
        exposition = Exposition(registry, address, port)
        log.info("metrics at http://%s:%d/metrics", address, exposition.port)
        stopping.wait()
        exposition.close()
        if doorbell is not None:
            doorbell.close()


class ServiceCollector:
    """The service's metrics. Labels are the configuration's own words (generators, models, states), never a query's or
    a dataset's; single jobs are told by number, at most `MOST_JOBS` of them."""

    def __init__(self, database: Database, doorbell: Doorbell | None) -> None:
        self._database = database
        self._doorbell = doorbell
        self._turn = threading.Lock()
        self._ledger = Paced(Ledger(database).read)
        self._attempts = Paced(Attempts(database).read)
        self._jobs = Paced(Jobs(database).read)
        self._engines = Paced(self._engine_seconds)

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when it is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        with self._turn:
            found: list[Metric] = []
            sources = [("tts_database_up", "Whether the database answers.", self._of_the_database)]
            if self._doorbell is not None:
                sources.append(("tts_broker_up", "Whether the broker answers.", self._of_the_broker))
            for name, what, parts in sources:
                try:
                    found += parts()
                    answers = True
                except (UserError, DBAPIError, OSError, ConnectionError) as error:
                    log.warning("no metrics of it: %s", error)
                    answers = False
                except Exception as error:
                    if type(error).__module__.partition(".")[0] not in ("redis", "kombu"):
                        raise
                    log.warning("no metrics of the broker: %s", error)
                    answers = False
                found.append(_gauge(name, what, {(): float(answers)}))
        yield from found

    def _of_the_database(self) -> list[Metric]:
        return [
            *_of_jobs(self._jobs.get()),
            *_of_attempts(self._attempts.get()),
            *_of_the_ledger(self._ledger.get()),
            *self._engines.get(),
            *self._of_processes(),
        ]

    def _of_processes(self) -> list[Metric]:
        with self._database.reading() as connection:
            rows = live_processes(connection, self._database.clock.now(connection))
        processes = Counter((row.kind, row.generator or "") for row in rows)
        slots, held = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        for row in rows:
            if row.kind == "worker":
                slots[(row.generator,)] += row.slots
                held[(row.generator,)] += row.in_flight
        return [
            _gauge("tts_processes", "Processes heard of lately.", processes, ("kind", "generator")),
            _gauge("tts_slots", "Sequences that the live workers can run at once.", slots, ("generator",)),
            _gauge("tts_in_flight", "Queries that the live workers hold.", held, ("generator",)),
        ]

    def _engine_seconds(self) -> list[Metric]:
        sums = select(WORKER.c.generator, func.sum(WORKER.c.busy_seconds), func.sum(WORKER.c.idle_seconds))
        with self._database.reading() as connection:
            rows = connection.execute(sums.where(WORKER.c.kind == "worker").group_by(WORKER.c.generator)).all()
        seconds = {(name, "busy"): busy for name, busy, _ in rows} | {(name, "idle"): idle for name, _, idle in rows}
        what = "Seconds that engines were held, by whether a request was in flight."
        return [_counter("tts_engine_seconds", what, seconds, ("generator", "state"))]

    def _of_the_broker(self) -> list[Metric]:
        assert self._doorbell is not None
        live = select(JOB.c.lane, JOB.c.generator).where(JOB.c.state.not_in(("done", "cancelled"))).distinct()
        with self._database.reading() as connection:
            lanes = {lane: generator for lane, generator in connection.execute(live)}
        waiting, unacknowledged = self._doorbell.waiting(lanes)
        by_generator: Counter[tuple[str, ...]] = Counter()
        for lane, generator in lanes.items():
            by_generator[(generator,)] += waiting[lane]
        return [
            _gauge("tts_queue_messages", "Messages that wait in the broker.", by_generator, ("generator",)),
            _gauge("tts_unacknowledged_messages", "Messages at workers, not yet acknowledged.", {(): unacknowledged}),
        ]


def _of_jobs(jobs: list[JobTally]) -> Iterator[Metric]:
    states = Counter((job.state,) for job in jobs)
    queries, answers = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for job in jobs:
        for state, count in job.queries.items():
            queries[job.generator, state] += count
        done = job.queries.get("done", 0)
        for verdict, count in (
            ("right", job.right),
            ("wrong", job.graded - job.right),
            ("ungraded", done - job.graded),
        ):
            if count:
                answers[job.generator, job.strategy, verdict] += count
    yield _gauge("tts_jobs", "Jobs by state.", states, ("state",))
    yield _gauge("tts_queries", "Queries of all jobs by state.", queries, ("generator", "state"))
    verdicts = ("generator", "strategy", "verdict")
    yield _gauge("tts_answers", "Answered queries by what the reference answer says of them.", answers, verdicts)
    live = [job for job in jobs if not job.has_ended][-MOST_JOBS:]
    shown = {(str(job.id), state): count for job in live for state, count in job.queries.items()}
    yield _gauge("tts_job_queries", f"The newest {MOST_JOBS} jobs that have not ended.", shown, ("job", "state"))
    graded = {(str(job.id),): job.right / job.graded for job in live if job.graded}
    yield _gauge("tts_job_accuracy", "Share of right answers among the graded so far.", graded, ("job",))
    capped = [job for job in live if job.cap_unit is not None]
    for name, what, values in (
        ("tts_job_budget", "A job's cap, in its unit.", {_of(job): job.cap_amount for job in capped}),
        ("tts_job_spent", "Of its cap, spent.", {_of(job): job.spent for job in capped}),
        ("tts_job_reserved", "Of its cap, reserved: the worst case of what is in flight.", {_of(job): job.reserved for job in capped}),
    ):  # fmt: skip
        yield _gauge(name, what, values, ("job", "unit"))


def _of(job: JobTally) -> tuple[str, str]:
    return str(job.id), str(job.cap_unit)


def _of_attempts(attempts: Tally) -> Iterator[Metric]:
    what = "Ended attempts: done, drained, cancelled, lost (its lease ran out), retried (a failure that may pass), failed (for good)."  # fmt: skip
    ends = {(generator, end): attempts[generator, end] for generator in {key[0] for key in attempts} for end in ENDS}
    yield _counter("tts_attempts", what, ends, ("generator", "end"))


def _of_the_ledger(ledger: Tally) -> Iterator[Metric]:
    """Reused work was paid for by another job: it is told apart, and in no other sum."""
    spent: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    reused: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for (model, phase, disposition, is_reused, amount), value in ledger.items():
        if not is_reused:
            spent[amount][model, phase, disposition] = value
        elif amount == "samples":
            reused[(model,)] += value
    labels = ("model", "phase", "disposition")
    for amount, (name, what) in LEDGER.items():
        yield _counter(name, what, spent[amount], labels)
    tokens = {(*key, kind): value for amount, kind in TOKENS.items() for key, value in spent[amount].items() if value}
    what = "Tokens; `cached` are those prompt tokens that a prefix cache had, where an engine says."
    yield _counter("tts_tokens", what, tokens, (*labels, "kind"))
    yield _counter("tts_reused_samples", "Solutions taken over from another job at no cost.", reused, ("model",))
    unknown: defaultdict[tuple[str, str], float] = defaultdict(float)
    for amount in UNKNOWABLE:
        for key, rows in spent[f"unknown_{amount}"].items():
            unknown[key[0], amount] += rows
    what = "Ledger rows that do not know this amount: where it grows, the amount is a lower bound."
    yield _counter("tts_unknown", what, unknown, ("model", "amount"))


def _gauge(name: str, what: str, values: Mapping[Any, Any], labels: tuple[str, ...] = ()) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return _filled(GaugeMetricFamily(name, what, labels=labels), values)


def _counter(name: str, what: str, values: Mapping[Any, Any], labels: tuple[str, ...] = ()) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    return _filled(CounterMetricFamily(name, what, labels=labels), values)


def _filled(family: Any, values: Mapping[Any, Any]) -> Metric:
    for key, value in sorted(values.items()):
        family.add_metric(key, float(value))
    made: Metric = family
    return made
