"""Flower's page, opened in a real browser while a real worker answers."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers import free_port, process, redis_server, wait_for_server, wait_until

pytestmark = pytest.mark.browser

PROBLEMS = [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(3)]
TTS_JOBS = str(Path(sys.executable).with_name("tts-jobs"))
LOGIN = "reader:river"


@pytest.fixture
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.fail("no Chromium on PATH: apt-get install chromium")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a running service: Redis, scheduler and one worker whose engine answers at once."""
    with ExitStack() as stack:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TTS_")},
            "TTS_BROKER_URL": stack.enter_context(redis_server(password="stone")),
            "TTS_HOME": str(tmp_path / "home"),
            "TTS_GENERATORS__MAIN__ENGINE": "instant",
            "TTS_GENERATORS__MAIN__MODEL": "instant",
            "TTS_FLOWER_BASIC_AUTH": LOGIN,
        }
        run(["db", "upgrade"], environment, tmp_path)
        for name, command in {"scheduler": ["scheduler"], "worker": ["worker", "--generator", "main"]}.items():
            log = tmp_path / f"{name}.log"
            started = process([TTS_JOBS, *command], log, environment=environment, cwd=tmp_path)
            child = stack.enter_context(started)

            def healthy(name: str = name) -> bool:
                check = [TTS_JOBS, "doctor", "--check", name]
                return subprocess.run(check, env=environment, cwd=tmp_path, capture_output=True).returncode == 0

            wait_for_server(child, healthy, log, name)
        yield environment


def run(arguments: list[str], environment: dict[str, str], cwd: Path) -> str:
    done = subprocess.run([TTS_JOBS, *arguments], env=environment, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_a_finished_task_is_on_the_page(chromium: str, service: dict[str, str], tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "flower.log"
    command = [TTS_JOBS, "flower", "--address", "127.0.0.1", "--port", str(port)]
    command += ["--persistent", str(tmp_path / "flower.db")]
    with process(command, log, environment=service, cwd=tmp_path) as flower:
        wait_for_server(flower, lambda: status(f"http://127.0.0.1:{port}/healthcheck") == 200, log, "Flower")
        assert status(f"http://127.0.0.1:{port}/tasks") == 401, "Flower must not open without its password"

        # Flower shows what it hears: the events of tasks that ended before it listened would be gone.
        wait_until(lambda: bool(workers_heard_of(port)), what="Flower to hear of the worker")
        file = tmp_path / "problems.jsonl"
        file.write_text("".join(json.dumps(problem) + "\n" for problem in PROBLEMS))
        run(["submit", str(file), "--generator", "main"], service, tmp_path)

        page = ""

        def finished() -> bool:
            nonlocal page
            page = rendered(chromium, f"http://{LOGIN}@127.0.0.1:{port}/tasks", tmp_path / "profile")
            return re.search(r"<td[^>]*>(?:<[^>]+>)*\s*SUCCESS", page) is not None

        try:
            wait_until(finished, seconds=90, what="a SUCCESS row on Flower's page")
        except TimeoutError:
            pytest.fail(f"no finished task on the page:\n{page[-4000:]}")
        assert "tts.solve" in page
        assert "stone" not in page, "the broker's password is on the page"


def workers_heard_of(port: int) -> list[object]:
    """The workers whose events have reached Flower."""
    token = base64.b64encode(LOGIN.encode()).decode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/?json=1", headers={"Authorization": f"Basic {token}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return list(json.load(answer)["data"])


def status(url: str) -> int | None:
    """The HTTP status that the URL answers with, None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


def rendered(chromium: str, url: str, profile: Path) -> str:
    """The page's DOM after its scripts have run and fetched what they show."""
    options = ["--headless=new", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    command = [chromium, *options, f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
