"""One active scheduler at a time: an advisory lock on PostgreSQL, a file lock beside a SQLite database."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from models.database import Database

LOCK_NUMBER = 0x7474736A  # "ttsj": any number that is ours alone


class Leadership(Protocol):
    """Held by at most one process; given up by the operating system or the server when that process dies."""

    def hold(self) -> bool:
        """Take it if it is free; True while it is ours. Called before every round."""
        ...

    def release(self) -> None: ...


def leadership(database: Database) -> Leadership:
    return FileLeadership(database) if database.is_sqlite else AdvisoryLeadership(database)


class FileLeadership:
    def __init__(self, database: Database) -> None:
        # Taken on one thread, kept on another: the lock is the process's, not the thread's.
        self._lock = FileLock(Path(f"{database.engine.url.database}.scheduler.lock"), thread_local=False)

    def hold(self) -> bool:
        if self._lock.is_locked:
            return True
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        self._lock.release()


class AdvisoryLeadership:
    """The lock lives as long as one connection of ours; losing the connection is losing the lock."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._connection: Connection | None = None

    def hold(self) -> bool:
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT 1"))
                return True
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": LOCK_NUMBER}).scalar_one():
                self._connection = connection
                return True
            connection.close()
        except DBAPIError:
            self.release()
        return False

    def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # On a broken connection, whose lock is gone, this fails with more than the driver's errors.
            with contextlib.suppress(SQLAlchemyError):
                connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": LOCK_NUMBER})
            with contextlib.suppress(SQLAlchemyError):
                connection.invalidate()
            connection.close()
