"""Connections: one code base for SQLite (WAL, one writer) and PostgreSQL (psycopg 3), and the database's clock."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError

from models.errors import UserError
from models.settings import settings
from models.views import create_views, definitions, drop_views

MIGRATIONS = Path(__file__).parent / "migrations"
POOL_SIZE = 4
UPGRADE_LOCK = 0x74747375  # any number that is ours alone: two upgrades of one server wait for each other


class Clock(Protocol):
    """The time that leases are measured in."""

    def now(self, connection: Connection) -> datetime: ...


class DatabaseClock:
    """The database server's own time, so that a worker's wrong clock cannot extend or expire a lease."""

    def now(self, connection: Connection) -> datetime:
        if connection.dialect.name == "sqlite":
            return datetime.now(UTC)
        moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return moment.astimezone(UTC)


class Database:
    """An engine with the habits of its dialect.

    Raises:
        UserError: the URL is malformed, its driver is not installed, or nothing answers there.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self.url = url
        self.clock = clock or DatabaseClock()
        self.engine = _create(url)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def label(self) -> str:
        """The URL without its password; for SQLite the file's path."""
        if self.is_sqlite:
            return str(self.engine.url.database)
        return self.engine.url.difference_update_query(["password"]).render_as_string(hide_password=True)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One write transaction, committed at the end, rolled back on any exception."""
        with friendly(self), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for SELECTs that never waits for a writer; all of them see the database at one moment."""
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with friendly(self), self.engine.connect() as connection:
            yield connection.execution_options(read_only=True, **options)

    def close(self) -> None:
        self.engine.dispose()


@contextlib.contextmanager
def friendly(database: Database) -> Iterator[None]:
    """Turn what a user can mend (no server, full disk, no schema) into a sentence; let the rest pass."""
    try:
        yield
    except DatabaseError as error:
        if not isinstance(error, OperationalError) and type(error) is not DatabaseError:
            raise
        reason = (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
        # SQLite says "disk I/O error" when a quota or a file size limit refuses the write.
        if any(sign in reason for sign in ("disk is full", "No space left", "disk I/O error")):
            raise UserError(
                f"{database.label}: the disk is full; free some space and run the same command again"
            ) from None
        if "no such table" in reason:
            raise UserError(f"{database.label}: the database has no tables yet; run `tts-jobs db upgrade`") from None
        if "is locked" in reason:
            raise UserError(f"{database.label}: another program keeps it locked; close that and try again") from error
        if "readonly" in reason or "not a database" in reason:
            raise UserError(f"{database.label}: {reason}; check the file and TTS_DATABASE_URL") from None
        # An error without an SQLSTATE never came from a PostgreSQL server.
        unreachable = error.connection_invalidated or getattr(error.orig, "sqlstate", "") is None
        if unreachable or "connect" in reason or "unable to open" in reason:
            raise UserError(
                f"{database.label}: the database cannot be reached ({reason}); check TTS_DATABASE_URL"
            ) from error
        raise


def _create(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.host and "@" in parsed.host:
            raise UserError("TTS_DATABASE_URL: write an @ inside the password as %40")
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise UserError("TTS_DATABASE_URL: a database in memory cannot be shared; use sqlite:///FILE")
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(parsed, pool_size=POOL_SIZE, max_overflow=0, pool_timeout=120)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        if parsed.get_backend_name() != "postgresql":
            raise UserError(
                f"TTS_DATABASE_URL: {parsed.get_backend_name()} is not supported; use sqlite:///FILE or postgresql://"
            )
        return create_engine(parsed, pool_size=POOL_SIZE, max_overflow=0, pool_timeout=120, pool_pre_ping=True)
    except (ArgumentError, ValueError):
        raise UserError(
            "TTS_DATABASE_URL: not a database URL; write sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None
    except (NoSuchModuleError, ModuleNotFoundError):
        raise UserError(
            "TTS_DATABASE_URL: the PostgreSQL driver is missing; run pip install 'tts-jobs[postgres]'"
        ) from None
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; set TTS_HOME to a directory you can write to") from None


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would otherwise emit a deferred BEGIN of its own
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")
    _switch_to_wal(cursor)
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Only a new file is switched; SQLite does not wait for others that switch it at the same moment, so we do."""
    for pause in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, None):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if pause is None or "locked" not in str(error):
                raise
            time.sleep(pause)


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def upgrade(database: Database) -> str:
    """Migrate to the newest schema and return its version.

    Raises:
        UserError: the database was made by a newer version of tts-jobs.
    """
    check_version(database, allow_older=True)
    if _is_current(database):
        return _head()
    config = _alembic_config()
    with database.transaction() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": UPGRADE_LOCK})
        config.attributes["connection"] = connection
        drop_views(connection)
        command.upgrade(config, "head")
        create_views(connection)
    return _head()


def _is_current(database: Database) -> bool:
    """Whether a SQLite file needs no change, so that a command that only reads takes no write lock."""
    if not database.is_sqlite or current_version(database) != _head():
        return False
    with database.reading() as connection:
        views = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
        return {name: sql.strip() for name, sql in views} == {
            name: sql.strip() for name, sql in definitions("sqlite").items()
        }


def current_version(database: Database) -> str | None:
    with database.reading() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def check_version(database: Database, *, allow_older: bool = False) -> None:
    """Refuse to work on a schema this code does not know.

    Raises:
        UserError: the schema is newer, or (unless `allow_older`) older or missing.
    """
    version = current_version(database)
    known = {script.revision for script in ScriptDirectory.from_config(_alembic_config()).walk_revisions()}
    if version is not None and version not in known:
        raise UserError(f"{database.label}: made by a newer tts-jobs (schema {version}); upgrade tts-jobs to use it")
    if not allow_older and version != _head():
        raise UserError(
            f"{database.label}: its schema is {version or 'missing'}, not {_head()}; run `tts-jobs db upgrade`"
        )


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@functools.cache
def _head() -> str:
    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    assert head is not None
    return head


def open_database() -> Database:
    """The configured database. The default SQLite file is migrated by itself; a server's schema is only checked."""
    database = Database(settings().database)
    if database.is_sqlite and current_version(database) != _head():
        upgrade(database)
    else:
        check_version(database)
    return database
