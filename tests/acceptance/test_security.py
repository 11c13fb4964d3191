"""What docs/security.md promises, against real processes: hostile messages, hostile text, and secrets that stay secret."""

from __future__ import annotations

import csv
import json
import os
import pickle
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from kombu import Connection, Queue

from models.wire import KEY_PREFIX, SOLVE_TASK, celery_settings, solve_queue
from tests.commands import Shop
from tests.servers import free_port, process, redis_server, tail, wait_until

KEY, BROKER_PASSWORD, LOGIN_PASSWORD = "sesame-1f8e2c", "bank-77d0aa", "cloud-5b19e3"


@contextmanager
def running(shop: Shop, *commands: tuple[str, ...]) -> Iterator[list[Path]]:
    """Processes of the service, and the files of what they say; they must leave in an orderly way."""
    logs = [shop.directory / f"{number}.log" for number in range(len(commands))]
    with ExitStack() as stack:
        for log, command in zip(logs, commands, strict=True):
            stack.enter_context(process(shop.command(*command), log, environment=shop.environment, cwd=shop.directory))
        yield logs


class Marker:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.timeout(900)
def test_a_worker_takes_no_pickle_and_lives_on(tmp_path: Path, empty_redis_url: str) -> None:
    shop = Shop(tmp_path, TTS_BROKER_URL=empty_redis_url)
    marker = tmp_path / "unpickled"
    body = [[1, 0, False], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    with running(shop, ("scheduler",), ("worker", "-g", "fast")) as (_, said):
        shop.wait_for(lambda: bool(shop.scalar("SELECT lane FROM worker WHERE kind = 'worker'")), "the worker")
        queue = Queue(solve_queue(shop.scalar("SELECT lane FROM worker WHERE kind = 'worker'")), durable=True)
        options = celery_settings(empty_redis_url)["broker_transport_options"]
        with Connection(empty_redis_url, transport_options=options) as connection, connection.Producer() as producer:
            send = {"routing_key": queue.name, "exchange": "", "delivery_mode": 2}
            headers = {"lang": "py", "task": SOLVE_TASK, "id": "1", "argsrepr": "()", "kwargsrepr": "{}"}
            evil = pickle.dumps(Marker(marker))
            for kind in ("application/x-python-serialize", "application/json"):
                producer.publish(evil, content_type=kind, content_encoding="binary", headers=headers, **send)
            producer.publish(
                [[str(marker)], {}, {}], serializer="json", headers={**headers, "task": "os.mkdir"}, **send
            )
            for malformed in ([["1 OR 1=1", 0], {}, {}], [[1 << 70, 0], {}, {}], [[], {}, {}], [[1, 0], {"a": 1}, {}], {"no": 1}, [], 7):  # fmt: skip
                producer.publish(malformed, serializer="json", headers=headers, **send)
            for header in ({"timelimit": "x"}, {"eta": "soon"}, {"expires": "never"}, {"retries": []}):
                producer.publish(body, serializer="json", headers={**headers, **header}, **send)
        with redis.Redis.from_url(empty_redis_url) as client:
            for junk in (b"\x80\x04junk", b"{}", b"[]", b'{"properties": {}}'):
                client.lpush(f"{KEY_PREFIX}{queue.name}", junk)
        wait_until(lambda: said.read_text().count("dropped what is no message") >= 4, what="the worker to drop it all")
        assert "ContentDisallowed" in said.read_text()
        shop.problems(10)
        shop.tts("submit", "problems.jsonl", "-g", "fast")
        shop.wait_for(lambda: shop.scalar("SELECT state FROM job") == "done", "the worker to answer all the same")
    assert not marker.exists()
    assert shop.scalar("SELECT COUNT(*) FROM attempt") == 10
    assert shop.scalar("SELECT COUNT(*) FROM worker WHERE kind = 'worker'") == 1


HOSTILE = "\x1b]0;owned\x07\x1b[2J[red]red[/red] \x9b31m\r=cmd|' /C calc'!A1 '); DROP TABLE query;-- \u202egnp"


@pytest.mark.timeout(900)
def test_hostile_text_is_only_text(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    rows = [
        {"id": f"={HOSTILE}", "problem": HOSTILE, "answer": "=1+1", "subject": HOSTILE, "level": HOSTILE},
        {"id": "'; DELETE FROM job;--", "problem": "@SUM(1+1)", "answer": "+1+cmd"},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = ("run", "p.jsonl", "-g", "fast", "-s", "majority_vote", "-b", "2", "--name", f"[blink]{HOSTILE}")
    shown = [shop.tts(*common)]
    assert dict(shop.query("SELECT state, COUNT(*) FROM query GROUP BY state")) == {"done": 2}
    assert shop.query("SELECT prompt FROM problem ORDER BY position")[0][0] == HOSTILE
    key = rows[0]["id"]
    commands = (["jobs"], ["status", "last"], ["report"], ["explain", "last", key], ["show", "last", key])
    shown += [shop.tts(*command) for command in commands]
    shown.append(shop.tts("show", "last", HOSTILE, check=False))
    shown.append(shop.tts("status", HOSTILE, check=False))
    for done in shown:
        printed = done.stdout + done.stderr
        assert [mark for mark in "\x1b\x07\x9b\r\u202e" if mark in printed] == [], (done.args, printed)
    assert "[red]red[/red]" in shown[5].stdout
    shop.tts("results", "last", "--format", "csv", "--output", "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "@", "-", "\t", "\r")] == []
    assert any(cell.startswith("'=") for cell in cells)


class Leaky(BaseHTTPRequestHandler):
    """A failing server that repeats the key it was given."""

    def _answer(self, status: int, said: Any) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer(200 if self.path.endswith("/models") else 404, {"data": [{"id": "m", "max_model_len": 4096}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(400, {"error": {"message": f"you said {self.headers['Authorization']}"}})

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.mark.timeout(900)
def test_a_secret_is_in_no_log_table_or_report(tmp_path: Path) -> None:
    with redis_server(password=BROKER_PASSWORD) as broker, ThreadingHTTPServer(("127.0.0.1", 0), Leaky) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        login = f"tts:{LOGIN_PASSWORD}"
        shop = Shop(
            tmp_path, TTS_BROKER_URL=broker, FAR_KEY=KEY, TTS_METRICS_BASIC_AUTH=login, TTS_FLOWER_BASIC_AUTH=login
        )
        with (tmp_path / "tts-jobs.toml").open("a") as file:
            file.write(
                '[generators.far]\nengine = "openai"\nmodel = "m"\napi_key_env = "FAR_KEY"\n'
                f'url = "http://127.0.0.1:{server.server_port}/v1"\n'
            )
        shop.problems(3)
        shop.tts("submit", "problems.jsonl", "-g", "far", "-s", "greedy")
        port, flower_port = free_port(), free_port()
        commands = (
            ("scheduler", "--log-format", "json"),
            ("worker", "-g", "far", "--log-format", "json", "--metrics-port", "0"),
            ("metrics", "--port", str(port), "--log-format", "json"),
            ("flower", "--port", str(flower_port)),
        )
        with running(shop, *commands) as logs:
            shop.wait_for(lambda: shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'failed'") == 3, seconds=180)
            shop.wait_for(lambda: f":{flower_port}" in logs[3].read_text(), "Flower", seconds=180)
            with httpx.Client(trust_env=False) as client:
                # Neither listens anywhere but here, and both want the login.
                for page in (f"http://127.0.0.1:{port}/metrics", f"http://127.0.0.1:{flower_port}/workers"):
                    wait_until(lambda page=page: _answers(client, page), seconds=120, what=page)  # type: ignore[misc]
                    assert client.get(page).status_code == 401
                    assert client.get(page, auth=("tts", LOGIN_PASSWORD)).status_code == 200
                scraped = client.get(f"http://127.0.0.1:{port}/metrics", auth=("tts", LOGIN_PASSWORD)).text
        server.shutdown()
    assert 'tts_attempts_total{end="failed",generator="far"} 3.0' in scraped
    shown = [scraped]
    for command in (["jobs", "--json"], ["status", "last"], ["report", "--json"], ["doctor"]):  # fmt: skip
        done = shop.tts(*command, check=False)
        shown.append(done.stdout + done.stderr)
    secrets = (KEY, BROKER_PASSWORD, LOGIN_PASSWORD)
    assert [secret for secret in secrets if any(secret in text for text in shown)] == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "tts-jobs.db" for path in files)
    for path in files:
        content = path.read_bytes()
        assert [secret for secret in secrets if secret.encode() in content] == [], path
    assert "***" in shop.scalar("SELECT error FROM query")
    records = [json.loads(line) for log in logs[:3] for line in log.read_text().splitlines()]
    failures = [record for record in records if record["message"].startswith("failed: ")]
    assert {(record["job"], record["query"], record["attempt"]) for record in failures} == {
        (1, query, 1) for query in (1, 2, 3)
    }, tail(logs[1])


def _answers(client: httpx.Client, page: str) -> bool:
    try:
        return client.get(page).status_code > 0
    except httpx.ConnectError:
        return False
