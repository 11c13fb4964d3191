"""What `doctor` looks at: each check says ok, warning or problem, and what to do about it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from cli.engine_checks import servers, weights
from cli.health import is_absent
from cli.shadowing import Finding, State
from models.database import Database, check_version
from models.errors import UserError
from models.heartbeats import WORKER, live_processes
from models.settings import CONFIG_FILE, settings
from models.transitions import JOB
from models.wire import celery_settings

PACKAGES = ("celery", "kombu", "redis", "flower", "sqlmodel", "sqlalchemy", "pydantic", "math-verify")
LITTLE_DISK, VERY_LITTLE_DISK = 5 << 30, 1 << 30

OLDEST_REDIS = (6, 2)
"""What the tests run on; older ones lack commands that the client sends."""

MOST_SKEW_SECONDS = 5.0


def run_checks() -> list[Finding]:
    """Every check in order; those that need what has just failed are left out."""
    found = [_guarded("python", _python), _guarded("packages", _packages), _guarded("settings", _settings)]
    if found[-1].state == "problem":
        return found
    found += [_guarded("database", _database), _guarded("broker", _broker)]
    database_works = found[-2].state != "problem"
    checks = {"engines": _engines, "servers": servers, "models": weights, "gpu": _gpu, "home": _home}
    found += [_guarded(name, check) for name, check in checks.items()]
    if database_works:
        found += [_guarded("clock", _clock), _guarded("processes", _processes)]
    return found


def _guarded(name: str, check: Callable[[], tuple[State, str]]) -> Finding:
    try:
        return Finding(name, *check())
    except UserError as error:
        return Finding(name, "problem", str(error))


# --- this installation ----------------------------------------------------------------------------------------------


def _python() -> tuple[State, str]:
    said = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    return ("ok", said) if sys.version_info >= (3, 11) else ("problem", f"{said}; install Python 3.11 or newer")


def _packages() -> tuple[State, str]:
    versions, missing = [], []
    for name in ("tts-jobs", *PACKAGES):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing == ["tts-jobs"]:
        return "warning", f"{', '.join(versions)}; tts-jobs runs from a checkout, pip install it to have the command"
    if missing:
        return "problem", f"{', '.join(missing)} not installed; run: pip install --upgrade tts-jobs"
    return "ok", ", ".join(versions)


def _settings() -> tuple[State, str]:
    options = settings()
    file = f"{Path(CONFIG_FILE).absolute()}" if Path(CONFIG_FILE).is_file() else f"no {CONFIG_FILE} here"
    variables = sorted(name for name in os.environ if name.startswith("TTS_"))
    return "ok", f"{file}, {len(options.generators)} generators; set: {', '.join(variables) or 'no TTS_ variable'}"


# --- the stores -----------------------------------------------------------------------------------------------------


def _database() -> tuple[State, str]:
    with contextlib.closing(Database(settings().database)) as database:
        if is_absent(database):
            folder = Path(database.label).parent
            if not os.access(folder, os.W_OK):
                return "problem", f"{folder} cannot be written to; set TTS_HOME to a directory you own"
            return "ok", f"{database.label} does not exist yet and will be made by the first command"
        try:
            check_version(database, allow_older=database.is_sqlite)
            with database.transaction() as connection:
                # Touches no row, and is refused where rows could not be changed.
                connection.execute(update(WORKER).where(WORKER.c.id == "").values(pid=0))
        except DBAPIError as error:
            reason = str(error.orig).strip().splitlines()[0]
            return "problem", f"{database.label}: {reason}; check the rights of the file or the database user"
        return "ok", f"{database.label} can be written to"


def _clock() -> tuple[State, str]:
    with contextlib.closing(Database(settings().database)) as database:
        if database.is_sqlite:
            return "ok", "this machine's own, as the database is a file here"
        before = datetime.now(UTC)
        with database.reading() as connection:
            theirs = database.clock.now(connection)
        ahead = ((before + (datetime.now(UTC) - before) / 2) - theirs).total_seconds()
    if abs(ahead) > MOST_SKEW_SECONDS:
        way = "ahead of" if ahead > 0 else "behind"
        said = f"this machine is {abs(ahead):.0f} s {way} the database"
        return "warning", f"{said}: leases go by the database's time, but logs do not agree; set the clocks by NTP"
    return "ok", f"within {MOST_SKEW_SECONDS:g} s of the database's"


def _broker() -> tuple[State, str]:
    options = settings()
    if not options.broker_is_shared:
        return "ok", "in-process: enough for `tts-jobs run`; `up` starts a Redis, others need TTS_BROKER_URL"
    from scheduler.doorbell import Doorbell

    doorbell = Doorbell(options.broker)
    doorbell.check()
    doorbell.close()
    patience = celery_settings(options.broker)["broker_transport_options"]["visibility_timeout"]
    if options.lease_seconds >= patience:
        return (
            "warning",
            f"TTS_LEASE_SECONDS is {options.lease_seconds:g}, but Redis gives a message to another worker after {patience} s: "
            "a dead worker's queries would come back later than their messages; set it lower",
        )
    return _redis_habits(options.broker)


def _redis_habits(url: str) -> tuple[State, str]:
    import redis

    with redis.Redis.from_url(url, decode_responses=True, socket_timeout=5) as client:
        keywords: dict[str, Any] = client.connection_pool.connection_kwargs
        where = f"{keywords.get('host', 'localhost')}:{keywords.get('port', 6379)}"
        try:
            policy = str(client.config_get("maxmemory-policy").get("maxmemory-policy", "unknown"))
            appends = client.config_get("appendonly").get("appendonly") == "yes"
            running = str(client.info("server")["redis_version"])
        except redis.exceptions.ResponseError:
            return (
                "warning",
                f"{where} answers but hides its settings; see that it has noeviction and an append-only file",
            )
    if tuple(int(part) for part in running.split(".")[:2]) < OLDEST_REDIS:
        oldest = ".".join(map(str, OLDEST_REDIS))
        return "problem", f"{where}: Redis {running} is too old; run {oldest} or newer"
    if policy != "noeviction":
        return "problem", f"{where}: maxmemory-policy is {policy}, so messages may vanish; set it to noeviction"
    if not appends:
        return "warning", f"{where}: no append-only file, so a restart forgets what was rung; set appendonly yes"
    if not keywords.get("password"):
        return "warning", f"{where} wants no password, so whoever reaches it can queue work; set requirepass"
    return "ok", f"{where}: Redis {running}, password, noeviction, append-only file"


# --- engines and room -----------------------------------------------------------------------------------------------


def _engines() -> tuple[State, str]:
    from worker.engines import MODULES, NEEDS

    ready = [engine for engine in MODULES if engine not in NEEDS or importlib.util.find_spec(NEEDS[engine])]
    for name, entry in settings().generators.items():
        if entry.engine not in ready:
            return "problem", f"{name} needs the engine {entry.engine}; run: pip install 'tts-jobs[{entry.engine}]'"
    if not set(ready) & set(NEEDS):
        return "warning", "no engine that runs a model is installed; run: pip install 'tts-jobs[llamacpp]' or [vllm]"
    named = [f"{engine} ({NEEDS[engine]} {_version(NEEDS[engine])})" if engine in NEEDS else engine for engine in ready]
    return "ok", ", ".join(named)


def _version(package: str) -> str:
    owners = packages_distributions().get(package, [])
    return version(owners[0]) if owners else "unknown"


def _gpu() -> tuple[State, str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "ok", "no NVIDIA GPU; llamacpp runs on the CPU and openai on a server"
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return "warning", "nvidia-smi does not answer; look at the driver"
    if done.returncode != 0:
        return "warning", "nvidia-smi finds no working GPU; look at the driver"
    return "ok", "; ".join(line.strip() for line in done.stdout.splitlines())


def _home() -> tuple[State, str]:
    home = settings().home.absolute()
    existing = next(path for path in (home, *home.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return "problem", f"{home}: {error.strerror}; set TTS_HOME to a directory you can write to"
    free = shutil.disk_usage(existing).free
    said = f"{free / 2**30:.1f} GiB free in {home}"
    if free < VERY_LITTLE_DISK:
        return "problem", f"{said}; free some space or set TTS_HOME to a larger disk"
    return ("warning", f"{said}; models and results may not fit") if free < LITTLE_DISK else ("ok", said)


# --- the processes --------------------------------------------------------------------------------------------------


def _processes() -> tuple[State, str]:
    with contextlib.closing(Database(settings().database)) as database:
        if is_absent(database):
            return "ok", "nothing has run here yet"
        with database.reading() as connection:
            rows = live_processes(connection, database.clock.now(connection))
            waiting = select(JOB.c.lane, JOB.c.generator).where(JOB.c.state == "open").distinct()
            wanted = {lane: generator for lane, generator in connection.execute(waiting)}
    served = {row.lane: row.generator for row in rows if row.kind == "worker"}
    schedulers = sum(row.kind == "scheduler" for row in rows)
    models = f" ({', '.join(sorted(set(served.values())))})" if served else ""
    said = f"schedulers: {schedulers}, workers: {len(rows) - schedulers}{models}"
    if missing := sorted({wanted[lane] for lane in wanted.keys() - served.keys()}):
        names = ", ".join(missing)
        return (
            "warning",
            f"{said}; open jobs wait for {names}: start `tts-jobs up --generator {missing[0]}` or a worker",
        )
    if settings().broker_is_shared and not schedulers:
        return "warning", f"{said}; start `tts-jobs scheduler`, or all with `tts-jobs up`"
    return "ok", said
