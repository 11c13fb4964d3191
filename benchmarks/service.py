"""The whole service for the time of a measurement: Redis, PostgreSQL, a scheduler and one worker, all real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text

from models.database import Database
from models.settings import ModelEntry
from tests.servers import fresh_database, postgres_server, process, redis_server, tail, wait_until

ROOT = Path(__file__).parent.parent


class Service:
    """A directory with its own servers; `tts` runs a command in it."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self.environment = environment
        self.database = Database(environment["TTS_DATABASE_URL"])
        self._running: dict[subprocess.Popen[bytes], Path] = {}

    def tts(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cli.main", *arguments],
            cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(done.stderr)
        return done.stdout

    @contextmanager
    def running(self, *arguments: str) -> Iterator[None]:
        log = self.directory / f"{arguments[0]}.log"
        command = [sys.executable, "-P", "-m", "cli.main", *arguments]
        with process(command, log, environment=self.environment, cwd=self.directory) as child:
            self._running[child] = log
            yield
            del self._running[child]

    def one(self, statement: str) -> Any:
        with self.database.reading() as connection:
            return connection.execute(text(statement)).one()

    def wait_for(self, statement: str, expected: Any, seconds: float = 600) -> None:
        def reached() -> bool:
            for child, log in self._running.items():
                if child.poll() is not None:
                    sys.exit(tail(log))
            return bool(self.one(statement)[0] == expected)

        wait_until(reached, seconds=seconds, what=statement)


def entry_table(table: str, entry: ModelEntry) -> str:
    """The entry as a table of tts-jobs.toml."""
    given = entry.model_dump(exclude_defaults=True)
    arguments = given.pop("engine_args", {})
    flat = given | {f"engine_args.{name}": value for name, value in arguments.items()}
    return "".join([f"[{table}]\n", *(f"{name} = {json.dumps(value)}\n" for name, value in flat.items())])


@contextmanager
def service(configuration: str) -> Iterator[Service]:
    """Servers on free ports and a migrated database, gone afterwards."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tts-bench-")))
        (directory / "tts-jobs.toml").write_text(configuration)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TTS_BROKER_URL": stack.enter_context(redis_server()),
            "TTS_DATABASE_URL": stack.enter_context(fresh_database(stack.enter_context(postgres_server()))),
        }
        made = Service(directory, environment)
        stack.callback(made.database.close)
        made.tts("db", "upgrade")
        yield made
