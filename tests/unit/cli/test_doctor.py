"""`tts-jobs doctor`: each thing that can be wrong is seen and told with its cure."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from sqlalchemy import Connection, text
from sqlmodel import Session

from cli.checks import run_checks
from cli.doctor import doctor
from cli.health import unhealthy
from cli.shadowing import Finding, shadowing
from models import heartbeats, tables
from models.database import Database, upgrade
from models.settings import settings
from tests.servers import redis_server

ROOT = Path(__file__).parents[3]
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield
    settings.cache_clear()


def found(check: str) -> Finding:
    settings.cache_clear()
    return next(finding for finding in run_checks() if finding.check == check)


def test_a_fresh_directory_has_no_problem_and_is_left_as_it_was(tmp_path: Path) -> None:
    done = CliRunner().invoke(doctor, ["--json"])
    assert done.exit_code == 0, done.output
    states = {finding["check"]: finding["state"] for finding in json.loads(done.output)}
    assert "problem" not in states.values()
    assert states["settings"] == states["database"] == states["broker"] == "ok"
    assert states["models"] == "warning"
    assert not (tmp_path / ".tts-jobs" / "tts-jobs.db").exists()


def test_a_wrong_setting_is_named_and_ends_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_LEASE_SECONDS", "soon")
    done = CliRunner().invoke(doctor)
    assert done.exit_code == 1
    assert "TTS_LEASE_SECONDS" in done.output
    assert "broker" not in done.output


def test_a_newer_schema_is_a_problem() -> None:
    with closing(Database(settings().database)) as database:
        upgrade(database)
        assert found("database").state == "ok"
        with database.transaction() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert found("database").state == "problem"
    assert "newer tts-jobs" in found("database").message


def test_a_database_without_a_schema_or_a_server_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    monkeypatch.setenv("TTS_DATABASE_URL", postgres_url)
    assert "tts-jobs db upgrade" in found("database").message
    monkeypatch.setenv("TTS_DATABASE_URL", "postgresql://me:river@127.0.0.1:1/tts")
    assert found("database").state == "problem"
    assert "river" not in found("database").message


def test_a_database_that_may_only_be_read_is_a_problem(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    monkeypatch.setenv("TTS_DATABASE_URL", postgres_url)
    with closing(Database(postgres_url)) as database:
        upgrade(database)
        assert found("database").state == "ok"
        with database.transaction() as connection:
            name = connection.execute(text("SELECT current_database()")).scalar_one()
            connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    assert found("database").state == "problem"
    assert "read-only" in found("database").message


def test_the_habits_of_redis_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_server(password="river") as url, redis.Redis.from_url(url) as client:
        monkeypatch.setenv("TTS_BROKER_URL", url)
        assert found("broker").state == "ok"
        client.config_set("appendonly", "no")
        assert (found("broker").state, "appendonly yes" in found("broker").message) == ("warning", True)
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert (found("broker").state, "noeviction" in found("broker").message) == ("problem", True)
        monkeypatch.setenv("TTS_BROKER_URL", url.replace("river", "bank"))
        assert found("broker").state == "problem"
        assert "wants a password" in found("broker").message
        assert "bank" not in found("broker").message
    assert found("broker").state == "problem"
    assert "cannot be reached" in found("broker").message


def test_a_redis_without_a_password_is_a_warning(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("TTS_BROKER_URL", redis_url)
    assert found("broker").state == "warning"
    assert "requirepass" in found("broker").message


def test_an_engine_that_is_configured_must_be_installed() -> None:
    Path("tts-jobs.toml").write_text('[generators.big]\nengine = "instant"\nmodel = "instant"\n')
    assert found("engines").state in ("ok", "warning")
    Path("tts-jobs.toml").write_text('[generators.big]\nengine = "vllm"\nmodel = "owner/name"\n')
    installed = subprocess.run(
        [sys.executable, "-c", "import importlib.util as u; raise SystemExit(not u.find_spec('vllm'))"]
    )
    assert found("engines").state == ("ok" if installed.returncode == 0 else "problem")


def test_folders_named_like_our_packages_are_seen() -> None:
    assert shadowing().state == "ok"
    Path("worker").mkdir()
    assert shadowing().state == "warning"
    assert "worker/" in shadowing().message


@pytest.mark.parametrize("room", ["models", "worker"])
def test_a_package_in_the_place_of_ours_is_a_problem_told_in_one_sentence(room: str, tmp_path: Path) -> None:
    (tmp_path / "trap" / room).mkdir(parents=True)
    (tmp_path / "trap" / room / "__init__.py").write_text("raise RuntimeError('imported')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "trap"), str(ROOT)])}
    command = [sys.executable, "-P", "-m", "cli.main", "doctor"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == ""
    assert done.stdout.startswith(f"problem shadowing  `import {room}` finds {tmp_path / 'trap' / room}")


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self, connection: Connection) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def database(sqlite_url: str, clock: HandClock) -> Iterator[Database]:
    with closing(Database(sqlite_url, clock)) as made:
        upgrade(made)
        yield made


WORKER = heartbeats.Identity(id="worker-1", kind="worker", generator="fast", engine="instant", slots=4, lane="fast")


def beat(database: Database, completed: int, in_flight: int) -> None:
    with database.transaction() as connection:
        said = heartbeats.Beat(completed=completed, in_flight=in_flight)
        heartbeats.beat(connection, WORKER.id, "fast", said, database.clock.now(connection))


def started(database: Database) -> None:
    with database.transaction() as connection:
        heartbeats.register(connection, WORKER, database.clock.now(connection))


def test_a_worker_is_healthy_while_it_is_heard_of(database: Database, clock: HandClock) -> None:
    assert f"no worker on {socket.gethostname()} was heard of" in str(unhealthy(database, "worker"))
    started(database)
    assert unhealthy(database, "worker") is None
    assert unhealthy(database, "scheduler") is not None
    clock.advance(29)
    assert unhealthy(database, "worker") is None
    clock.advance(2)
    assert unhealthy(database, "worker") is not None


def test_a_worker_that_completes_nothing_is_stuck(database: Database, clock: HandClock) -> None:
    started(database)
    for _ in range(20):
        clock.advance(15)
        beat(database, completed=0, in_flight=3)
    assert unhealthy(database, "worker") is None
    clock.advance(15)
    beat(database, completed=0, in_flight=3)
    assert "completed none of its 3 queries" in str(unhealthy(database, "worker"))
    beat(database, completed=1, in_flight=3)
    assert unhealthy(database, "worker") is None


def test_an_idle_worker_that_hears_no_bell_is_stuck(database: Database, clock: HandClock) -> None:
    started(database)
    with Session(database.engine) as session:
        session.add(tables.Dataset(id=1, name="d", source="d", content_hash="d", created_at=START))
        session.add(tables.Problem(id=1, dataset_id=1, position=1, key="1", prompt="?"))
        session.flush()
        session.add(
            tables.Job(
                id=1, name="j", dataset_id=1, fingerprint="f", state="open", generator="fast", lane="fast", budget="1", strategy="greedy",
                sampling_key="k", specification={}, created_at=START,
            )
        )  # fmt: skip
        session.flush()
        session.add(tables.Query(id=1, job_id=1, problem_id=1, state="queued", rung_at=START))
        session.commit()
    clock.advance(290)
    beat(database, completed=0, in_flight=0)
    assert unhealthy(database, "worker") is None
    clock.advance(20)
    beat(database, completed=0, in_flight=0)
    assert "idle while queries wait for fast" in str(unhealthy(database, "worker"))
    beat(database, completed=0, in_flight=1)
    assert unhealthy(database, "worker") is None


def test_the_health_check_speaks_by_its_exit_code() -> None:
    assert CliRunner().invoke(doctor, ["--check", "worker"]).exit_code == 1
    with closing(Database(settings().database)) as database:
        upgrade(database)
        started(database)
    assert CliRunner().invoke(doctor, ["--check", "worker"]).exit_code == 0
    done = CliRunner().invoke(doctor, ["--check", "scheduler", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.output)["healthy"] is False


def test_a_home_that_cannot_be_written_is_a_problem(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("TTS_DATABASE_URL", postgres_url)
    for home in ("file/home", "/proc/self/home"):
        monkeypatch.setenv("TTS_HOME", home)
        assert (found("home").state, "set TTS_HOME" in found("home").message) == ("problem", True)


def test_a_disk_that_is_nearly_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.checks.LITTLE_DISK", 1 << 60)
    assert (found("home").state, "may not fit" in found("home").message) == ("warning", True)
    monkeypatch.setattr("cli.checks.VERY_LITTLE_DISK", 1 << 60)
    assert (found("home").state, "free some space" in found("home").message) == ("problem", True)


def test_an_older_schema_on_a_server_is_a_problem(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    monkeypatch.setenv("TTS_DATABASE_URL", postgres_url)
    with closing(Database(postgres_url)) as database:
        upgrade(database)
        with database.transaction() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert (found("database").state, "tts-jobs db upgrade" in found("database").message) == ("problem", True)


def test_clocks_that_disagree_are_told(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    assert found("clock").state == "ok"
    monkeypatch.setenv("TTS_DATABASE_URL", postgres_url)
    with closing(Database(postgres_url)) as database:
        upgrade(database)
    assert found("clock").state == "ok"

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=90)

    monkeypatch.setattr("cli.checks.datetime", Ahead)
    assert (found("clock").state, "90 s ahead of" in found("clock").message) == ("warning", True)


def test_leases_longer_than_redis_waits_are_told(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("TTS_BROKER_URL", redis_url)
    monkeypatch.setenv("TTS_LEASE_SECONDS", "1000")
    assert (found("broker").state, "TTS_LEASE_SECONDS is 1000" in found("broker").message) == ("warning", True)


def test_a_redis_that_is_too_old_is_a_problem(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("TTS_BROKER_URL", redis_url)
    monkeypatch.setattr("cli.checks.OLDEST_REDIS", (99, 0))
    assert (found("broker").state, "too old; run 99.0" in found("broker").message) == ("problem", True)


class KeyedServer(BaseHTTPRequestHandler):
    """Lists its models to whoever has the key."""

    def do_GET(self) -> None:
        right = self.headers["Authorization"] == "Bearer sesame"
        self.send_response(200 if right and self.path == "/v1/models" else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


def test_a_server_must_answer_and_take_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = (
        '[generators.far]\nengine = "openai"\nmodel = "m"\nurl = "http://127.0.0.1:{}/v1"\napi_key_env = "FAR_KEY"\n'
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), KeyedServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        Path("tts-jobs.toml").write_text(entry.format(server.server_port))
        monkeypatch.delenv("FAR_KEY", raising=False)
        assert "FAR_KEY is not set" in found("servers").message
        monkeypatch.setenv("FAR_KEY", "wrong-one")
        assert (found("servers").state, "refuses the key (401)" in found("servers").message) == ("problem", True)
        assert "wrong-one" not in found("servers").message
        monkeypatch.setenv("FAR_KEY", "sesame")
        assert (found("servers").state, found("servers").message) == ("ok", "far answer")
        server.shutdown()
        thread.join()
    assert (found("servers").state, "does not answer" in found("servers").message) == ("problem", True)


def test_weights_that_are_missing_or_cut_short_are_a_problem() -> None:
    assert "tiny" in found("models").message
    toml = Path("tts-jobs.toml")
    toml.write_text('[generators.own]\nengine = "llamacpp"\nmodel = "./own.gguf"\n')
    assert (found("models").state, "./own.gguf is not there" in found("models").message) == ("problem", True)
    whole = next((ROOT / "models" / "weights").rglob("*.gguf")).read_bytes()
    Path("own.gguf").write_bytes(whole)
    assert found("models").state == "warning"  # only the default model is missing now
    for part in (whole[: len(whole) // 2], whole[:200], b"<html>not found</html>", b""):
        Path("own.gguf").write_bytes(part)
        assert (found("models").state, "own.gguf" in found("models").message) == ("problem", True)


def test_a_directory_of_weights_is_looked_at_file_by_file() -> None:
    Path("tts-jobs.toml").write_text('[generators.own]\nengine = "vllm"\nmodel = "./own"\n')
    Path("own").mkdir()
    assert "no config.json" in found("models").message
    Path("own/config.json").write_text("{")
    assert "config.json: no JSON" in found("models").message
    Path("own/config.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    tensors = struct.pack("<Q", len(header)) + header + bytes(8)
    Path("own/model.safetensors").write_bytes(tensors)
    assert found("models").state == "warning"
    Path("own/model.safetensors").write_bytes(tensors[:-1])
    assert (found("models").state, "cut short" in found("models").message) == ("problem", True)
    Path("own/model.safetensors").write_bytes(b"version https://git-lfs")
    assert "damaged" in found("models").message


def test_an_open_job_without_a_worker_is_told_with_the_command_that_mends_it() -> None:
    with closing(Database(settings().database)) as database:
        upgrade(database)
        with Session(database.engine) as session:
            session.add(tables.Dataset(id=1, name="d", source="d", content_hash="d", created_at=START))
            session.flush()
            session.add(
                tables.Job(
                    id=1, name="j", dataset_id=1, fingerprint="f", state="open", generator="fast", lane="fast", budget="1",
                    strategy="greedy", sampling_key="k", specification={}, created_at=START,
                )
            )  # fmt: skip
            session.commit()
    assert found("processes").state == "warning"
    assert "open jobs wait for fast" in found("processes").message
