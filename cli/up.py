"""`tts-jobs up`: the whole service on this machine, as processes of this one command."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import click
from filelock import FileLock, Timeout
from sqlalchemy.exc import DBAPIError

from cli import output
from cli.local_servers import (
    HOST,
    STORE_TIER,
    is_own_postgres,
    is_own_redis,
    postgres_service,
    private_directory,
    redis_service,
    secret,
    write_private,
)
from cli.logs import log_format_option
from cli.supervisor import POLL_SECONDS, GivenUp, Service, Supervisor
from models.catalogue import DEFAULT_GENERATOR, find_generator
from models.database import Database, upgrade
from models.errors import UserError
from models.heartbeats import live_processes
from models.settings import Settings, settings

ROOT = Path(__file__).resolve().parents[1]
WATCHER_TIER, WORKER_TIER = STORE_TIER + 1, STORE_TIER + 2
EXTRA_GRACE_SECONDS = 10.0


@click.command()
@click.option("--generator", "-g", "generators", multiple=True, default=(DEFAULT_GENERATOR,), show_default=True, help="A model to serve; may be given again.")  # fmt: skip
@click.option("--workers", "-n", type=click.IntRange(1), default=1, show_default=True, help="Worker processes for each model.")  # fmt: skip
@click.option("--redis-port", type=click.IntRange(0, 65535), default=0, help="Port of the Redis it starts; any free one by default.")  # fmt: skip
@click.option("--flower-port", type=click.IntRange(0, 65535), default=5555, show_default=True, help="0 leaves Flower out.")  # fmt: skip
@click.option("--postgres", is_flag=True, help="Start a PostgreSQL in TTS_HOME instead of using the SQLite file.")
@log_format_option
@output.json_option
def up(
    generators: tuple[str, ...],
    workers: int,
    redis_port: int,
    flower_port: int,
    postgres: bool,
    log_format: str,
    as_json: bool,
) -> None:
    """Start Redis, scheduler, workers and Flower on this machine; keep them running until Ctrl-C.

    Uses TTS_BROKER_URL and TTS_DATABASE_URL where they are set. Source the file it names to submit from another shell.

    \b
    Example:
      tts-jobs up --generator smollm2 --workers 2
      source .tts-jobs/env && tts-jobs submit problems.jsonl
    """
    options = settings()
    served = _served(generators)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    with _only_one(options.home.absolute()) as home:
        supervisor = Supervisor(lambda text: output.notes.print(output.safe(text), soft_wrap=True))
        stack = _Stack(home, options, supervisor, stopping, log_format)
        try:
            stack.start_stores(redis_port, postgres)
            stack.start_services(served, workers, flower_port)
            if not stopping.is_set():
                stack.show(as_json)
            while not stopping.wait(POLL_SECONDS):
                supervisor.watch()
        except GivenUp as error:
            output.notes.print(f"[red]{output.safe(str(error))}[/red]", soft_wrap=True)
            sys.exit(1)
        finally:
            if supervisor.children:
                output.notes.print("stopping ...")
            supervisor.stop(options.drain_seconds + EXTRA_GRACE_SECONDS)


def _served(generators: tuple[str, ...]) -> dict[str, str]:
    """Queue name -> what the user calls the model; a wrong name is told before anything is started."""
    served: dict[str, str] = {}
    for generator in dict.fromkeys(generators):
        name = find_generator(generator).name
        if name in served:
            raise UserError(
                f"--generator: {served[name]} and {generator} are both called {name}; name one in tts-jobs.toml"
            )
        served[name] = generator
    return served


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[Path]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / "up.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{home}: another `tts-jobs up` is running here; stop it, or set TTS_HOME to another directory"
        ) from None
    except OSError as error:
        raise UserError(f"{home}: {error.strerror}; set TTS_HOME to a directory you can write to") from None
    try:
        yield home
    finally:
        lock.release()


class _Stack:
    """What one `up` runs: where it is, and the environment that its parts and other shells share."""

    def __init__(
        self, home: Path, options: Settings, supervisor: Supervisor, stopping: threading.Event, log_format: str
    ) -> None:
        self._home = home
        self._options = options
        self._supervisor = supervisor
        self._stopping = stopping
        self._log_format = log_format
        self._urls: dict[str, str] = {"TTS_HOME": str(home)}
        self._flower_url: str | None = None
        self._login_file = home / "flower" / "login"
        self._database: Database

    def start_stores(self, redis_port: int, postgres: bool) -> None:
        """Have a broker and a migrated database, started here where none is configured."""
        redis, self._urls["TTS_BROKER_URL"] = self._broker(redis_port)
        postgresql, self._urls["TTS_DATABASE_URL"] = self._database_server(postgres)
        for service in filter(None, (redis, postgresql)):
            self._supervisor.start(service)
        self._wait("starting the stores ...")
        if self._stopping.is_set():
            return
        self._database = Database(self._urls["TTS_DATABASE_URL"])
        if self._database.is_sqlite:  # other shells may be in other directories
            self._urls["TTS_DATABASE_URL"] = f"sqlite:///{Path(self._database.label).absolute()}"
        upgrade(self._database)
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self._urls.items())
        write_private(self._home / "env", exports)

    def start_services(self, served: Mapping[str, str], workers: int, flower_port: int) -> None:
        """Start scheduler, workers and Flower, and wait until they are heard of in the database."""
        if self._stopping.is_set():
            return
        self._start("scheduler", ["scheduler"], WATCHER_TIER, self._is_heard_of)
        for name, generator in served.items():
            for number in range(1, workers + 1):
                arguments = ["worker", "--generator", generator]
                self._start(f"worker-{name}-{number}", arguments, WORKER_TIER, self._is_heard_of)
        if flower_port:
            self._flower_url = f"http://{HOST}:{flower_port}"
            login = os.environ.get("TTS_FLOWER_BASIC_AUTH") or self._login()
            self._start(
                "flower",
                ["flower", "--address", HOST, "--port", str(flower_port)],
                WATCHER_TIER,
                lambda _pid: _answers(f"{self._flower_url}/healthcheck"),
                {"TTS_FLOWER_BASIC_AUTH": login},
            )
        self._wait("starting the services ...")

    def show(self, as_json: bool) -> None:
        """What runs, where its logs are, and how to reach it; never a secret."""
        children = self._supervisor.children
        login = self._login_file if self._flower_url and not os.environ.get("TTS_FLOWER_BASIC_AUTH") else None
        if as_json:
            output.print_json(
                {
                    "urls": {
                        "broker": _without_password(self._urls["TTS_BROKER_URL"]),
                        "database": self._database.label,
                        "flower": self._flower_url,
                    },
                    "environment_file": str(self._home / "env"),
                    "flower_login_file": str(login) if login else None,
                    "processes": [
                        {"name": name, "pid": child.process.pid, "log": str(child.service.log)}
                        for name, child in children.items()
                    ],
                }
            )
            sys.stdout.flush()
            return
        columns = [("process", "left"), ("pid", "right"), ("log", "left")]
        rows = [(name, child.process.pid, child.service.log) for name, child in children.items()]
        output.console.print(output.table(None, columns, rows))
        output.console.print(f"\nbroker    {output.safe(_without_password(self._urls['TTS_BROKER_URL']))}")
        output.console.print(f"database  {output.safe(self._database.label)}")
        if self._flower_url:
            where = f"USER:PASSWORD in {login}" if login else "as in TTS_FLOWER_BASIC_AUTH"
            output.console.print(f"Flower    {self._flower_url}   login: {output.safe(where)}")
        source = shlex.quote(str(self._home / "env"))
        output.console.print(
            f"\nin another shell: source {output.safe(source)} && tts-jobs submit FILE   (Ctrl-C stops all)"
        )

    def _broker(self, port: int) -> tuple[Service | None, str]:
        given = self._options.broker
        if self._options.broker_is_shared and not is_own_redis(self._home, given):
            from scheduler.doorbell import Doorbell

            Doorbell(given).check()
            return None, given
        return redis_service(self._home, port)

    def _database_server(self, postgres: bool) -> tuple[Service | None, str]:
        given = self._options.database_url.get_secret_value() if self._options.database_url else None
        own = given is not None and is_own_postgres(self._home, given)
        if postgres or own:
            if given is not None and not own:
                raise UserError(
                    "--postgres: TTS_DATABASE_URL names a database already; unset it or leave --postgres out"
                )
            return postgres_service(self._home)
        return None, given or f"sqlite:///{self._home / 'tts-jobs.db'}"

    def _login(self) -> str:
        private_directory(self._login_file.parent)
        password = secret(self._login_file.with_name("password"))
        write_private(self._login_file, f"tts:{password}\n")
        return f"tts:{password}"

    def _start(
        self,
        name: str,
        arguments: list[str],
        tier: int,
        is_ready: Callable[[int], bool],
        extra: Mapping[str, str] | None = None,
    ) -> None:
        environment = {**os.environ, "TTS_LOG_FORMAT": self._log_format, **self._urls, **(extra or {})}
        if (ROOT / "pyproject.toml").exists():
            # A checkout need not be installed; an installed package needs no help to be found.
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        # -P: the working directory may hold folders named like our packages.
        command = [sys.executable, "-P", "-m", "cli.main", *arguments]
        log = self._home / "logs" / f"{name}.log"
        self._supervisor.start(Service(name, command, environment, log, tier, is_ready))

    def _is_heard_of(self, pid: int) -> bool:
        try:
            with self._database.reading() as connection:
                rows = live_processes(connection, self._database.clock.now(connection))
        except (UserError, DBAPIError):  # a database that restarts is waited for, as its clients do
            return False
        return any(row.pid == pid and row.hostname == socket.gethostname() for row in rows)

    def _wait(self, what: str) -> None:
        with output.notes.status(what):
            while not self._supervisor.is_ready and not self._stopping.is_set():
                self._supervisor.watch()
                self._stopping.wait(POLL_SECONDS)


def _answers(url: str) -> bool:
    """Whether a page of this machine is there; no proxy is asked for it."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=2.0) as page:
            return page.status == HTTPStatus.OK  # type: ignore[no-any-return]
    except (OSError, HTTPException):
        return False


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    _, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{'***@' if at else ''}{host}"
