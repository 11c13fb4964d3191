"""The real service on a stage: its processes, what they are made to suffer, and the record they leave."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy import text

from models.database import Database, upgrade
from tests.commands import Shop
from tests.servers import tail, wait_until

LEASE_SECONDS = 2.0
SWEEP_SECONDS = 1.0

WAIT_SECONDS = 300.0
"""How long anything may take on a machine that is busy with something else; what is waited for ends the waiting."""

DONE = "SELECT COUNT(*) FROM query WHERE state = 'done'"
RUNNING = "SELECT COUNT(*) FROM query WHERE state = 'running'"
MARK = "CHAOS_STAGE"

GENERATORS = """
[generators.brisk]
engine = "instant"
model = "instant"
max_sequences = 8
engine_args = { latency = 0.2 }

[generators.steady]
engine = "instant"
model = "instant"
max_sequences = 4
engine_args = { latency = 0.8 }
"""


class Stage(Shop):
    """A directory, a database and a broker, and the processes of one service on them.

    Every process started here, and every process that those start, carries `mark` in its environment, so that whoever
    is left behind can be told. `expected` are exit statuses that are no surprise.
    """

    def __init__(self, directory: Path, database_url: str, broker_url: str, **environment: str) -> None:
        self.mark = uuid.uuid4().hex
        super().__init__(
            directory,
            **{
                "TTS_DATABASE_URL": database_url,
                "TTS_BROKER_URL": broker_url,
                "TTS_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
                "TTS_SWEEP_SECONDS": f"{SWEEP_SECONDS:g}",
                "TTS_DRAIN_SECONDS": "10",
                MARK: self.mark,
                **environment,
            },
        )
        self.processes: list[subprocess.Popen[bytes]] = []
        self.expected = {0, -signal.SIGKILL, -signal.SIGTERM}
        self._database = Database(database_url)
        upgrade(self._database)
        with (directory / "tts-jobs.toml").open("a") as file:
            file.write(GENERATORS)

    # --- the processes ------------------------------------------------------------------------------------------------

    def add_generator(self, name: str, **settings: Any) -> None:
        """A `[generators.NAME]` table more in tts-jobs.toml; `engine_args` are written as a table of numbers."""
        lines = [f"[generators.{name}]"]
        for key, value in settings.items():
            if isinstance(value, dict):
                value = "{ " + ", ".join(f"{one} = {number!r}" for one, number in value.items()) + " }"
            else:
                value = repr(value).replace("'", '"')
            lines.append(f"{key} = {value}")
        with (self.directory / "tts-jobs.toml").open("a") as file:
            file.write("\n" + "\n".join(lines) + "\n")

    def start_process(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """A command of the service in the background, its output in a log of its own."""
        log = self.directory / f"{len(self.processes):02d}-{command[0]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(*command),
                cwd=self.directory,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)
        return process

    def scheduler(self, **environment: str) -> subprocess.Popen[bytes]:
        return self.start_process("scheduler", **environment)

    def worker(self, generator: str = "brisk", **environment: str) -> subprocess.Popen[bytes]:
        return self.start_process("worker", "-g", generator, **environment)

    def keep_alive(self, generator: str, count: int) -> None:
        """As a supervisor would: start anew what has died, so that `count` workers of the generator run."""
        named = [process for process in self.processes if list(process.args)[-2:] == ["-g", generator]]  # type: ignore[arg-type]
        for _ in range(count - sum(process.poll() is None for process in named)):
            self.worker(generator)

    def ready(self, *processes: subprocess.Popen[bytes]) -> None:
        """Wait until each of them has been heard of in the database."""
        for process in processes:
            self.wait_for(lambda process=process: self.is_heard_of(process), f"process {process.pid}: {process.args}")

    def is_heard_of(self, process: subprocess.Popen[bytes]) -> bool:
        status = process.poll()
        assert status is None, f"it ended with {status}:\n{self.log_of(process)}"
        return bool(self.scalar(f"SELECT COUNT(*) FROM worker WHERE pid = {process.pid} AND stopped_at IS NULL"))

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        number = self.processes.index(process)
        (log,) = self.directory.glob(f"{number:02d}-*.log")
        return tail(log)

    def kill(self, process: subprocess.Popen[bytes]) -> datetime:
        """SIGKILL; returns the database's time just before."""
        before = self.now()
        process.kill()
        process.wait()
        return before

    def leave(self, seconds: float = WAIT_SECONDS) -> None:
        """SIGTERM to whoever still runs, workers first; nobody may ignore it, and nobody may be left behind."""
        running = [process for process in self.processes if process.poll() is None]
        for process in reversed(running):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)  # a test that failed may have left it stopped
        for process in running:
            process.wait(timeout=seconds)
        surprises = {process.returncode for process in self.processes} - self.expected
        assert not surprises, [self.log_of(one) for one in self.processes if one.returncode in surprises]
        wait_until(lambda: not self.orphans(), seconds=20, what=f"{self.orphans()} to be gone")

    def close(self) -> None:
        """The end whatever happened."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for orphan in self.orphans():
            orphan.kill()
        self._database.close()

    def orphans(self) -> list[psutil.Process]:
        """Processes of this stage that are not among those it has started and that still run (I5)."""
        mine = {process.pid for process in self.processes if process.poll() is None}
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                theirs = process.pid not in mine and process.environ().get(MARK) == self.mark
                if theirs and process.status() != psutil.STATUS_ZOMBIE and not _has_parent_in(process, mine):
                    found.append(process)
        return found

    def tts(
        self, *arguments: str, check: bool = True, timeout: float = WAIT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        return super().tts(*arguments, check=check, timeout=timeout)

    # --- the record ---------------------------------------------------------------------------------------------------

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with self._database.reading() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    @property
    def database_name(self) -> str:
        return str(self._database.engine.url.database)

    def forget_connections(self) -> None:
        """After the server was away: what the test itself had open is dead."""
        self._database.close()

    def now(self) -> datetime:
        """The database's time, in which leases are measured."""
        with self._database.reading() as connection:
            return self._database.clock.now(connection)

    def submit(self, count: int, *options: str, generator: str = "brisk", samples: int = 2) -> int:
        """A job of `count` problems with `samples` samples each; returns its number."""
        self.problems(count)
        vote = ("-s", "majority_vote") if "-s" not in options else ()
        self.tts("submit", "problems.jsonl", "-g", generator, *vote, "-b", str(samples), *options)
        return int(self.scalar("SELECT MAX(id) FROM job"))

    def wait_for(self, condition: Any, what: str = "the database to say so", seconds: float = WAIT_SECONDS) -> None:
        try:
            wait_until(condition, seconds=seconds, what=what)
        except TimeoutError as error:
            logs = "\n".join(f"--- {path.name}\n{tail(path, 15)}" for path in sorted(self.directory.glob("*.log")))
            states = self.query("SELECT state, COUNT(*), SUM(suspect), SUM(retries) FROM query GROUP BY state")
            raise AssertionError(f"{error}\nqueries: {states}\n{logs}") from None

    def wait_done(self, job: int = 1, state: str = "done", seconds: float = WAIT_SECONDS) -> None:
        self.wait_for(lambda: self.scalar(f"SELECT state FROM job WHERE id = {job}") == state, f"job {job}", seconds)

    def wait_running(self, at_least: int = 1) -> None:
        self.wait_for(lambda: self.scalar(RUNNING) >= at_least, f"{at_least} queries in flight")

    # --- locks that stop a process at an exact point (PostgreSQL) -----------------------------------------------------

    @contextlib.contextmanager
    def holding(self, statement: str) -> Iterator[psycopg.Connection]:
        """A transaction of the test's own that holds what `statement` locks until the block ends."""
        url = self._database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url) as connection:
            connection.execute(statement)  # type: ignore[call-overload]
            yield connection
            connection.rollback()

    def wait_blocked(self, starts_with: str) -> None:
        """Until a process of the service waits for a lock in a statement that starts so."""
        waiting = (
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
            f"AND query LIKE '{starts_with}%'"
        )
        self.wait_for(lambda: self.scalar(waiting) > 0, f"{starts_with} to be waiting for a lock")


def _has_parent_in(process: psutil.Process, mine: set[int]) -> bool:
    return any(parent.pid in mine for parent in process.parents())


@contextlib.contextmanager
def on_stage(directory: Path, database_url: str, broker_url: str, **environment: str) -> Iterator[Stage]:
    stage = Stage(directory, database_url, broker_url, **environment)
    try:
        yield stage
        stage.leave()
    finally:
        stage.close()


@contextlib.contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """SIGSTOP for the time of the block."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)


def pause(seconds: float) -> None:
    """Let time pass where the fault is that it passes (a stopped process, a silent wire)."""
    time.sleep(seconds)
