"""A directory in which the real command line is run as a user would, in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text

from models.database import Database
from tests.servers import wait_until

ROOT = Path(__file__).parent.parent
CONFIGURATION = """
[generators.fast]
engine = "instant"
model = "instant"

[generators.slow]
engine = "instant"
model = "instant"
max_sequences = 16
engine_args = { latency = 0.3 }

[generators.slower]
engine = "instant"
model = "instant"
max_sequences = 16
engine_args = { latency = 1.5 }
"""


class Shop:
    """`directory` holds tts-jobs.toml with the generators `fast`, `slow` and `slower`; `environment` adds to the process's own."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TTS_DEBUG": "",
            "TTS_LEASE_SECONDS": "3",
            **environment,
        }
        (directory / "tts-jobs.toml").write_text(CONFIGURATION)

    @property
    def database_url(self) -> str:
        return self.environment.get("TTS_DATABASE_URL") or f"sqlite:///{self.directory / '.tts-jobs' / 'tts-jobs.db'}"

    def problems(self, count: int, name: str = "problems.jsonl") -> Path:
        path = self.directory / name
        path.write_text("".join(f'{{"problem": "What is {n} + 1?", "answer": "{n % 10}"}}\n' for n in range(count)))
        return path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "cli.main", *arguments]

    def tts(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one command to its end.

        Raises:
            AssertionError: it failed although `check` is set; the message is what it printed.
        """
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, done.stderr + done.stdout
        assert "Traceback" not in done.stderr, done.stderr
        return done

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command in the background; killed at the end of the block if it still runs."""
        with subprocess.Popen(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            try:
                yield child
            finally:
                if child.poll() is None:
                    child.kill()
                child.communicate()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of a SELECT; none while the database has not been made."""
        if self.database_url.startswith("sqlite") and not Path(self.database_url.removeprefix("sqlite:///")).exists():
            return []
        database = Database(self.database_url)
        try:
            with database.engine.connect() as connection:
                return [tuple(row) for row in connection.execution_options(read_only=True).execute(text(statement))]
        finally:
            database.close()

    def scalar(self, statement: str) -> Any:
        """The one value of a SELECT; 0 while there is no database or table yet."""
        try:
            rows = self.query(statement)
        except Exception:
            return 0
        return rows[0][0] if rows else 0

    def wait_for(
        self, condition: Callable[[], bool], what: str = "the database to say so", seconds: float = 60
    ) -> None:
        wait_until(condition, seconds=seconds, what=what)
