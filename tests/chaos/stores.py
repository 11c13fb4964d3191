"""A Redis and a PostgreSQL of the test's own, which can be stopped, killed, emptied and started again in their place."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis

from tests.servers import ServerError, _postgres_programs, _redis_binary, free_port, process, tail, wait_until

START_SECONDS = 300.0
"""A server that recovers its log on a busy machine takes its time."""


class OwnRedis:
    """Configured as in production: append-only file on, written at every command, no eviction."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self._server: subprocess.Popen[bytes]

    def start(self) -> None:
        self._directory.mkdir(exist_ok=True)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory), "--save", ""]
        options += ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]
        log = self._directory / "log"
        self._server = self._stack.enter_context(process([_redis_binary(), *options], log))
        wait_until(self._answers, seconds=START_SECONDS, what=f"redis-server, see {log}")

    def kill(self, *, with_its_data: bool = False) -> None:
        self._server.kill()
        self._stack.close()
        if with_its_data:
            shutil.rmtree(self._directory)

    def stop(self) -> None:
        self._stack.close()

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.exceptions.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False


class OwnPostgres:
    """A server of its own; `connections` is the most it takes at once."""

    def __init__(self, connections: int = 100) -> None:
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._connections = connections
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._stack = contextlib.ExitStack()
        self._server: subprocess.Popen[bytes]
        # Not below a test's own directory, which is closed to the user that PostgreSQL runs as.
        self._home = tempfile.TemporaryDirectory(prefix="tts-postgres-")
        self._directory = Path(self._home.name)
        self._programs = _postgres_programs(self._directory, as_another=self._user is not None)
        self._make()

    def start(self) -> None:
        options = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "max_connections": self._connections, "superuser_reserved_connections": 0,
        }  # fmt: skip
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        command += [f"--{key}={value}" for key, value in options.items()]
        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
        self._server = self._stack.enter_context(
            process(command, self._log, cwd=self._directory, user=self._user, stop_with=signal.SIGINT)
        )
        wait_until(self._answers, seconds=START_SECONDS, what=f"postgres, see {self._log}")

    def stop(self) -> None:
        self._stack.close()

    def close(self) -> None:
        self.stop()
        self._home.cleanup()

    def kill(self) -> None:
        """As a power cut: its children notice that their parent is gone and leave, the next start recovers the log."""
        self._server.kill()
        self._stack.close()

    def take_all_connections(self, leave: int = 0) -> list[psycopg.Connection]:
        """Connections until the server gives no more, less `leave`."""
        taken = []
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                taken.append(psycopg.connect(self.url))
        for _ in range(leave):
            taken.pop().close()
        return taken

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    @property
    def _log(self) -> Path:
        return self._directory / "log"

    def _make(self) -> None:
        self._data.mkdir()
        if self._user is not None:
            self._directory.chmod(0o755)
            os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        command += ["--no-locale", "--no-sync"]
        with process(command, self._log, cwd=self._directory, user=self._user) as init:
            if init.wait(START_SECONDS):
                raise ServerError(f"initdb ended with code {init.returncode}:\n{tail(self._log)}")

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url).close()
            return True
        return False


@contextlib.contextmanager
def own_redis(directory: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def own_postgres(connections: int = 100) -> Iterator[OwnPostgres]:
    server = OwnPostgres(connections)
    server.start()
    try:
        yield server
    finally:
        server.close()
