"""One worker process: an event loop with one engine, the attempts in flight, their leases, and the way out."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import uuid
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import DBAPIError

from models import heartbeats
from models.catalogue import Model, architecture_of, record_model
from models.database import Database
from models.errors import UserError
from models.logcontext import about
from models.settings import Settings
from models.transitions import extend_leases, lose_worker, take_back
from strategies.protocols import EngineDied
from worker.engines import start_engine
from worker.gate import Gate
from worker.grading import GradingPool
from worker.meter import SharedEngine
from worker.solver import Attempt, EndState
from worker.verifiers import Verifiers
from worker.work import Work
from worker.writer import Bell, Writer

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
"""Between heartbeats, at most: a cancelled job stops generating within about this long."""
ENGINE_DIED_STATUS = 70


class Runtime:
    """The engine and everything in flight on it. `solve` is called from the Celery threads; the rest runs on the loop.

    Raises:
        UserError: the engine cannot be started; the message says what is missing.
    """

    def __init__(self, database: Database, model: Model, options: Settings) -> None:
        self.worker_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.model = model
        self._database = database
        self._options = options
        self._flight: dict[int, tuple[Attempt, asyncio.Task[Any]]] = {}
        self._completed = 0
        self._draining = threading.Event()
        self._gate = Gate()
        self._pool = GradingPool()
        self._verifiers = Verifiers()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tts-loop", daemon=True)
        self._thread.start()
        try:
            self.engine: SharedEngine = self._on_loop(self._start_engine()).result()
        except BaseException:
            self._stop_loop()
            raise
        self.slots = self.engine.generator.capacity
        if model.architecture is None:  # the engine may have downloaded the model only now
            self.model = replace(model, architecture=architecture_of(model.entry, model.path))
        self._writer = Writer(database, self.worker_id, options.lease_seconds)
        with database.transaction() as connection:
            heartbeats.register(connection, self._identity(), database.clock.now(connection))
            record_model(connection, self.model, database.clock.now(connection))
        self._beating = self._on_loop(self._beat_forever())

    @property
    def in_flight(self) -> int:
        """Queries this worker holds now; may be read from any thread."""
        return len(self._flight)

    @property
    def is_draining(self) -> bool:
        return self._draining.is_set()

    # --- called from Celery's threads -------------------------------------------------------------------------------

    def solve(self, bell: Bell) -> None:
        """Answer a doorbell; returns when the attempt has ended. While draining the bell goes back to the scheduler."""
        query_id, _, alone = bell
        with self._gate.passing(alone):
            if self._draining.is_set():
                with self._database.transaction() as connection:
                    take_back(connection, query_id)
                return
            work = self._writer.claim(bell).result()
            if work is not None:
                self._on_loop(self._attempt(work)).result()

    def drain(self) -> None:
        """Stop taking work and abort what is in flight, keeping what was finished; safe in a signal handler."""
        self._draining.set()
        self._loop.call_soon_threadsafe(self._leave_in_time)

    def close(self) -> None:
        """Drain, wait for the commits, and leave: the engine is closed and the heartbeat says goodbye.

        Where the database takes no commit within `drain_seconds` the process ends at once, and its leases run out.
        """
        self.drain()
        self._on_loop(self._land()).result()
        self._beating.cancel()
        try:
            self._on_loop(self._beat(stopped=True)).result(timeout=self._options.drain_seconds)
        except (DBAPIError, UserError, TimeoutError) as error:
            log.warning("this worker leaves without a last heartbeat: %s", error)
        self._writer.close()
        self._on_loop(self._verifiers.close()).result(timeout=self._options.drain_seconds)
        self._on_loop(self.engine.generator.close()).result(timeout=self._options.drain_seconds)
        self._pool.close()
        self._stop_loop()

    # --- on the loop ------------------------------------------------------------------------------------------------

    async def _start_engine(self) -> SharedEngine:
        return SharedEngine.around(await start_engine(self.model.name, self.model.entry))

    async def _attempt(self, work: Work) -> None:
        claim = work.claim
        with about(job=claim.job_id, query=claim.query_id, attempt=claim.attempt):
            await self._carry_out(work)

    async def _carry_out(self, work: Work) -> None:
        attempt = Attempt(work, self.engine, self.model.costs, self._pool, self._verifiers)
        task = asyncio.ensure_future(attempt.run(self._options.max_retries))
        await asyncio.sleep(0)  # a task cancelled before its first step never gets to say what became of it
        self._flight[work.claim.query_id] = (attempt, task)
        if self._draining.is_set():
            self._cancel(attempt, task, "drained")
        try:
            outcome = await task
            accepted = await asyncio.wrap_future(self._writer.commit(outcome))
            self._completed += accepted
            if not accepted:
                log.warning("the result is refused: the lease had been lost")
        except EngineDied as error:
            await asyncio.to_thread(self._die, error)
        except asyncio.CancelledError:
            log.warning("stopped: the lease was lost")
        finally:
            del self._flight[work.claim.query_id]

    async def _beat_forever(self) -> None:
        interval = min(self._options.lease_seconds / 3, BEAT_SECONDS)
        while True:
            await asyncio.sleep(interval)
            try:
                await self._beat()
            except Exception as error:
                log.warning("heartbeat failed, leases run on until the database answers: %s", error)

    async def _beat(self, *, stopped: bool = False) -> None:
        usage = {attempt.work.claim.attempt_id: attempt.usage_if_lost() for attempt, _ in self._flight.values()}
        claims = {query_id: attempt.work.claim.attempt for query_id, (attempt, _) in self._flight.items()}
        busy, idle = self.engine.clock.totals()
        states = await asyncio.to_thread(self._write_beat, usage, busy, idle, stopped)
        for query_id, number in claims.items():
            attempt, task = self._flight.get(query_id, (None, None))
            if attempt is None or task is None or attempt.work.claim.attempt != number:
                continue  # ended while the heartbeat was written
            if query_id not in states:
                task.cancel()
            elif states[query_id] == "cancelled":
                self._cancel(attempt, task, "cancelled")

    def _write_beat(self, usage: dict[int, list[Any]], busy: float, idle: float, stopped: bool) -> dict[int, str]:
        with self._database.transaction() as connection:
            now = self._database.clock.now(connection)
            beat = heartbeats.Beat(self._completed, len(usage), busy, idle, stopped)
            heartbeats.beat(connection, self.worker_id, self.model.name, beat, now)
            return extend_leases(connection, self.worker_id, usage, now, self._options.lease_seconds)

    def _cancel_all(self, reason: EndState) -> None:
        for attempt, task in self._flight.values():
            self._cancel(attempt, task, reason)

    def _cancel(self, attempt: Attempt, task: asyncio.Task[Any], reason: EndState) -> None:
        if attempt.ended_by is None and not task.done():
            attempt.ended_by = reason
            task.cancel()

    async def _land(self) -> None:
        while self._flight:
            await asyncio.wait([task for _, task in self._flight.values()])
            await asyncio.sleep(0)

    def _die(self, error: EngineDied) -> None:
        """The engine is gone: hand over what was in flight as suspects and leave; a supervisor starts us anew."""
        log.critical("the engine died, this worker leaves: %s", error)
        try:
            with self._database.transaction() as connection:
                lose_worker(connection, self.worker_id, self._database.clock.now(connection))
        finally:
            os._exit(ENGINE_DIED_STATUS)

    def _leave_in_time(self) -> None:
        self._cancel_all("drained")
        self._loop.call_later(self._options.drain_seconds, self._abandon)

    def _abandon(self) -> None:
        """The threads that wait for a commit cannot be ended, and would keep the process until the database is back."""
        if self._flight:
            log.critical("the database does not answer, this worker leaves without %d results", len(self._flight))
            os._exit(os.EX_TEMPFAIL)

    # --- plumbing ---------------------------------------------------------------------------------------------------

    def _identity(self) -> heartbeats.Identity:
        return heartbeats.Identity(
            id=self.worker_id,
            kind="worker",
            generator=self.model.name,
            engine=self.model.entry.engine,
            slots=self.slots,
            lane=self.model.lane,
        )

    def _on_loop(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
