"""The process's one writer to the database: claims and commits that wait together go in one transaction."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, TimeoutError

from models.database import Database
from models.errors import UserError
from models.logcontext import about
from models.transitions import Claim, Outcome, claim, commit
from worker.work import JobContext, Work, load_work

log = logging.getLogger(__name__)

LARGEST_GROUP = 200
LINGER_SECONDS = 0.05
"""How long a group is kept open for more once several came together; a lone item never waits."""
RETRY_SECONDS = 1.0

Bell = tuple[int, int, bool]
"""What a doorbell says: query id, stage, and whether the query must run alone."""


class Writer:
    """One thread that groups whatever is waiting: under load the groups grow, at rest nothing waits.

    A commit is retried until the database answers: the work is done and must not be lost. A claim is not: its row
    is still queued, and the scheduler will ring again.
    """

    def __init__(self, database: Database, worker_id: str, lease_seconds: float) -> None:
        self._database = database
        self._worker_id = worker_id
        self._lease_seconds = lease_seconds
        self._contexts: dict[int, JobContext] = {}
        self._waiting: queue.SimpleQueue[tuple[Any, Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tts-writer", daemon=True)
        self._thread.start()

    def claim(self, bell: Bell) -> Future[Work | None]:
        """The work behind a bell, or None where it is someone else's, over, or not to be done now."""
        return self._put(bell)

    def commit(self, outcome: Outcome) -> Future[bool]:
        """Whether the outcome was accepted; False where the lease had been given away."""
        return self._put(outcome)

    def close(self) -> None:
        """Write what is waiting, then stop."""
        self._waiting.put(None)
        self._thread.join()

    def _put(self, item: Bell | Outcome) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # whoever waits may give up, but what was asked for is still done
        self._waiting.put((item, future))
        return future

    def _run(self) -> None:
        open_ = busy = True
        while open_:
            group = [self._waiting.get()]
            if busy:
                time.sleep(LINGER_SECONDS)
            while not self._waiting.empty() and len(group) < LARGEST_GROUP:
                group.append(self._waiting.get())
            busy = len(group) > 1
            open_ = None not in group
            items = [entry for entry in group if entry is not None]
            self._serve([entry for entry in items if isinstance(entry[0], Outcome)], self._commit_all)
            self._serve([entry for entry in items if not isinstance(entry[0], Outcome)], self._claim_all)

    def _serve(self, group: Sequence[tuple[Any, Future[Any]]], act: Callable[[list[Any]], list[Any]]) -> None:
        if not group:
            return
        try:
            results = act([item for item, _ in group])
        except Exception as error:
            for _, future in group:
                future.set_exception(error)
        else:
            for (_, future), result in zip(group, results, strict=True):
                future.set_result(result)

    def _claim_all(self, bells: list[Bell]) -> list[Work | None]:
        try:
            with self._database.transaction() as connection:
                now = self._database.clock.now(connection)
                claims = claim(connection, self._worker_id, bells, now, self._lease_seconds)
                works = load_work(connection, claims, self._contexts) if claims else []
        except Exception as error:
            if not _passing(error):
                raise
            log.warning("the database does not answer, %d bells will be rung again: %s", len(bells), error)
            return [None] * len(bells)
        by_query = {work.claim.query_id: work for work in works}
        # A bell that was rung twice inside one group gets its work once.
        return [by_query.pop(query_id, None) for query_id, _, _ in bells]

    def _commit_all(self, outcomes: list[Outcome]) -> list[bool]:
        while True:
            try:
                accepted = self._commit(outcomes)
                return [outcome.claim.attempt_id in accepted for outcome in outcomes]
            except Exception as error:
                if _passing(error):
                    log.warning("the database does not answer, %d results wait: %s", len(outcomes), error)
                    time.sleep(RETRY_SECONDS)
                elif len(outcomes) > 1:
                    # One of them is malformed; find it without holding up the others.
                    return [self._commit_all([outcome])[0] for outcome in outcomes]
                elif (smaller := _without_what_failed(outcomes[0], error)) is None:
                    _complain(outcomes[0].claim, "nothing of it can be stored")
                    return [False]
                else:
                    _complain(outcomes[0].claim, "the result cannot be stored")
                    outcomes = [smaller]

    def _commit(self, outcomes: Sequence[Outcome]) -> set[int]:
        with self._database.transaction() as connection:
            return commit(connection, outcomes, self._database.clock.now(connection))


def _complain(claim: Claim, what: str) -> None:
    with about(job=claim.job_id, query=claim.query_id, attempt=claim.attempt):
        log.exception(what)


def _passing(error: Exception) -> bool:
    """Whether the database may accept the same statement later (no connection, restart, disk full, lock)."""
    return isinstance(error, UserError | OperationalError | InterfaceError | InternalError | TimeoutError)


def _without_what_failed(outcome: Outcome, error: Exception) -> Outcome | None:
    """The outcome as a failure without its candidates, then without its usage; None when neither was the trouble."""
    if outcome.candidates or outcome.state != "failed":
        reason = (str(getattr(error, "orig", error)) or type(error).__name__).splitlines()[0]
        text = f"its result cannot be stored: {reason}"
        return Outcome(outcome.claim, "failed", reason=text, usage=outcome.usage)
    return replace(outcome, usage=[]) if outcome.usage else None
