"""`tts-jobs up`: the whole service as one command, with its processes killed under it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.commands import Shop
from tests.servers import free_port, tail, wait_until

DONE = "SELECT COUNT(*) FROM query WHERE state = 'done'"
STOP_SECONDS = 90.0


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


class Up:
    """A running `tts-jobs up --json`; `said` is what it printed when all was ready."""

    def __init__(self, shop: Shop, process: subprocess.Popen[bytes], said: dict[str, Any]) -> None:
        self.shop = shop
        self.process = process
        self.said = said
        self.tree = psutil.Process(process.pid).children(recursive=True)

    def pid(self, name: str) -> int:
        return next(int(row["pid"]) for row in self.said["processes"] if row["name"] == name)

    def exports(self) -> dict[str, str]:
        """What the environment file sets."""
        lines = Path(self.said["environment_file"]).read_text().splitlines()
        return dict(line.removeprefix("export ").split("=", 1) for line in lines)

    def submit(self, *arguments: str) -> None:
        """Submit from a shell that has sourced the environment file."""
        self.shop.problems(40)
        command = shlex.join(self.shop.command("submit", "problems.jsonl", *arguments))
        script = f". {shlex.quote(self.said['environment_file'])} && {command}"
        subprocess.run(["sh", "-c", script], cwd=self.shop.directory, env=self.shop.environment, check=True, timeout=60)


@contextmanager
def started(shop: Shop, *arguments: str) -> Iterator[Up]:
    """`up` from the moment all is ready; killed at the end of the block if it still runs."""
    out, err = shop.directory / "up.json", shop.directory / "up.log"
    with out.open("wb") as stdout, err.open("ab") as stderr:
        command = shop.command("up", "--json", *arguments)
        process = subprocess.Popen(command, cwd=shop.directory, env=shop.environment, stdout=stdout, stderr=stderr)
    try:

        def ready() -> bool:
            assert process.poll() is None, tail(err)
            return out.read_text().endswith("}\n")

        wait_until(ready, seconds=120, what="up to be ready")
        yield Up(shop, process, json.loads(out.read_text()))
    finally:
        process.kill()
        process.wait()


@contextmanager
def running(shop: Shop, *arguments: str) -> Iterator[Up]:
    """`up` that must leave in an orderly way at the end of the block, and take every process along."""
    with started(shop, *arguments) as up:
        yield up
        tree = [*up.tree, *psutil.Process(up.process.pid).children(recursive=True)]
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(STOP_SECONDS) == 0, tail(shop.directory / "up.log")
        assert [child for child in tree if child.is_running()] == []


@pytest.mark.timeout(300)
def test_two_workers_answer_and_a_killed_one_is_replaced(shop: Shop) -> None:
    port = free_port()
    with running(shop, "-g", "fast", "--workers", "2", "--flower-port", str(port)) as up:
        names = [row["name"] for row in up.said["processes"]]
        assert names == ["redis", "scheduler", "worker-fast-1", "worker-fast-2", "flower"]
        up.submit("-g", "fast")
        shop.wait_for(lambda: shop.scalar(DONE) == 40)

        os.kill(up.pid("worker-fast-1"), signal.SIGKILL)
        alive = "SELECT COUNT(*) FROM worker WHERE kind = 'worker'"
        shop.wait_for(lambda: shop.scalar(alive) == 3, "the killed worker to be started again")
        up.submit("-g", "fast", "--seed", "1")
        shop.wait_for(lambda: shop.scalar(DONE) == 80)

        # The broker forgets nothing that matters, whatever happens to it.
        os.kill(up.pid("redis"), signal.SIGKILL)
        up.submit("-g", "fast", "--seed", "2")
        shop.wait_for(lambda: shop.scalar(DONE) == 120, seconds=120)

        second = shop.tts("up", "-g", "fast", check=False)
        assert (second.returncode, second.stderr.count("\n")) == (2, 1)
        assert "another `tts-jobs up` is running here" in second.stderr
    assert shop.query("SELECT state, COUNT(*) FROM job GROUP BY state") == [("done", 3)]
    assert shop.scalar("SELECT COUNT(*) FROM worker WHERE stopped_at IS NULL") == 1  # the one that was killed


@pytest.mark.timeout(300)
def test_no_secret_is_told_and_flower_wants_the_login(shop: Shop) -> None:
    port = free_port()
    with running(shop, "-g", "fast", "--flower-port", str(port)) as up:
        home = shop.directory / ".tts-jobs"
        password = (home / "redis" / "password").read_text().strip()
        login = Path(up.said["flower_login_file"]).read_text().strip()
        up.submit("-g", "fast")
        shop.wait_for(lambda: shop.scalar(DONE) == 40)

        page = up.said["urls"]["flower"]
        user, _, word = login.partition(":")
        with httpx.Client(base_url=page, trust_env=False) as stranger:
            assert stranger.get("/tasks").status_code == 401
            metrics = stranger.get("/metrics").text
        with httpx.Client(base_url=page, auth=(user, word), trust_env=False) as reader:
            tasks: dict[str, Any] = {}

            def all_seen() -> bool:
                tasks.update(reader.get("/api/tasks").json())
                return [task["state"] for task in tasks.values()].count("SUCCESS") >= 40

            shop.wait_for(all_seen, "Flower to have seen the tasks")
            pages = [reader.get(path).text for path in ("/", "/tasks", "/broker")]
            assert reader.post("/api/task/send-task/tts.solve", json={}).status_code == 403

        commands = [" ".join(process.cmdline()) for process in up.tree if process.is_running()]
        logs = [log.read_text() for log in (home / "logs").iterdir()]
        told = [*commands, *logs, *pages, metrics, json.dumps(up.said), (shop.directory / "up.log").read_text()]
        assert not [text for text in told if password in text or word in text]
        private = [home / "env", home / "redis" / "password", home / "redis" / "redis.conf", home / "flower" / "login"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


@pytest.mark.timeout(300)
def test_killed_itself_it_leaves_nobody_behind_and_the_next_one_goes_on(shop: Shop) -> None:
    with started(shop, "-g", "slow", "--flower-port", "0") as first:
        first.submit("-g", "slow", "-b", "8")
        shop.wait_for(lambda: shop.scalar(DONE) >= 1)
        tree = psutil.Process(first.process.pid).children(recursive=True)
        first.process.kill()
        wait_until(lambda: not any(child.is_running() for child in tree), seconds=60, what="its processes to leave")
    assert shop.scalar(DONE) < 40
    # A shell that has sourced the first one's file may start the second: that broker was its own.
    shop.environment.update(first.exports())
    with running(shop, "-g", "slow", "--flower-port", "0") as second:
        assert second.said["urls"]["flower"] is None
        shop.wait_for(lambda: shop.scalar(DONE) == 40, seconds=120)


def test_what_cannot_work_is_told_at_once_and_leaves_nothing_running(shop: Shop) -> None:
    def refusal(*arguments: str, code: int = 2) -> str:
        done = shop.tts("up", *arguments, check=False)
        assert done.returncode == code, done.stderr
        return done.stderr

    assert "unknown model 'nobody'" in refusal("-g", "nobody")
    assert "models pull smollm2" in refusal()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another port" in refusal("-g", "fast", "--flower-port", port, code=1)
    shop.environment["TTS_BROKER_URL"] = "redis://:river@127.0.0.1:1/0"
    message = refusal("-g", "fast")
    assert "cannot be reached" in message
    assert "river" not in message
    shop.environment["TTS_DATABASE_URL"] = f"sqlite:///{shop.directory / 'own.db'}"
    del shop.environment["TTS_BROKER_URL"]
    assert "--postgres: TTS_DATABASE_URL names a database already" in refusal("-g", "fast", "--postgres")


@pytest.mark.timeout(300)
def test_a_postgres_of_its_own(shop: Shop) -> None:
    arguments = ("-g", "fast", "--postgres", "--flower-port", "0")
    if os.geteuid() == 0:
        assert "refuses to run as root" in shop.tts("up", *arguments, check=False).stderr
        return
    with running(shop, *arguments) as up:
        assert "***" in up.said["urls"]["database"]
        up.submit("-g", "fast")
        shop.environment.update(up.exports())
        shop.wait_for(lambda: shop.scalar(DONE) == 40)
