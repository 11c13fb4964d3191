"""Log records: what they are about, in both formats, and without secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.logs import JsonFormatter, Redactor, TextFormatter
from models.logcontext import about
from models.settings import settings

SECRETS = {
    "TTS_BROKER_URL": "redis://:b%40ok-water@10.0.0.1:6379/0",
    "TTS_DATABASE_URL": "postgresql://tts:river-stone@10.0.0.2/tts",
    "TTS_FLOWER_BASIC_AUTH": "tts:cloud-cover",
    "TTS_METRICS_BASIC_AUTH": "tts:meadow-lark",
    "FAR_KEY": "sesame-open",
}


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    Path("tts-jobs.toml").write_text(
        '[generators.far]\nengine = "openai"\nmodel = "m"\nurl = "http://10.0.0.3/v1"\napi_key_env = "FAR_KEY"\n'
    )
    settings.cache_clear()
    yield
    settings.cache_clear()


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("worker.runtime", logging.WARNING, __file__, 1, message, arguments, None)


def test_a_record_says_what_it_is_about() -> None:
    with about(job=3), about(query=17, attempt=2):
        text = TextFormatter().format(record("stopped: %s", "lost"))
        said = json.loads(JsonFormatter().format(record("stopped: %s", "lost")))
    assert text.endswith("WARNING worker.runtime: stopped: lost [job 3 query 17 attempt 2]")
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "WARNING", "logger": "worker.runtime", "message": "stopped: lost", "job": 3, "query": 17, "attempt": 2,
    }  # fmt: skip
    assert TextFormatter().format(record("idle")).endswith("worker.runtime: idle")


async def test_queries_that_run_side_by_side_are_not_mixed_up() -> None:
    async def work(number: int) -> int:
        with about(query=number):
            await asyncio.sleep(0)
            found: int = json.loads(JsonFormatter().format(record("")))["query"]
            return found

    assert await asyncio.gather(*(work(number) for number in range(5))) == list(range(5))


def test_no_secret_of_the_settings_is_written() -> None:
    texts = [*SECRETS.values(), "b@ok-water", "river-stone", "cloud-cover", "meadow-lark", "sesame-open"]
    try:
        raise RuntimeError(" ".join(texts))
    except RuntimeError:
        failed = record("all: %s", " ".join(texts))
        failed.exc_info = sys.exc_info()
    for form in (TextFormatter(), JsonFormatter()):
        said = form.format(failed)
        assert [word for word in ("ok-water", "river", "cloud", "meadow", "sesame") if word in said] == []
        assert "10.0.0.1:6379" in said


def test_what_looks_like_a_secret_is_hidden_too() -> None:
    redact = Redactor()
    assert redact("amqp://me:other@host/ and https://host/a:b@c") == "amqp://me:***@host/ and https://host/a:b@c"
    assert redact("Authorization: Bearer abcdefgh12345") == "Authorization: Bearer ***"
    assert redact("nothing to hide: basic arithmetic") == "nothing to hide: basic ***"


def test_a_message_cannot_pose_as_a_record_or_command_a_terminal() -> None:
    hostile = "bad\n2026-01-01 00:00:00 INFO worker: all is well\x1b[2J\x9b31m"
    text = TextFormatter().format(record(hostile))
    assert "\n" not in text
    assert "\x1b" not in text
    assert "\x9b" not in text
    line = JsonFormatter().format(record(hostile))
    assert line.isascii()
    assert "\x1b" not in line
    assert json.loads(line)["message"] == hostile
