"""Logging of the long-running commands: lines for people or JSON for programs, and never a secret."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import click

from models.logcontext import current
from models.settings import settings

FORMATS = ("text", "json")
LOGIN_VARIABLES = ("TTS_FLOWER_BASIC_AUTH", "TTS_METRICS_BASIC_AUTH")
HIDDEN = "***"
SHORTEST_SECRET = 4
"""A shorter one stands in too many words that are not it; in a URL it is found by its place."""

_URL_PASSWORD = re.compile(r"(?<=://)([^\s:/@]*):[^\s/]*(?=@)")
_AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")


log_format_option: Callable[..., Any] = click.option(
    "--log-format",
    default="text",
    show_default=True,
    type=click.Choice(FORMATS),
    envvar="TTS_LOG_FORMAT",
    show_envvar=True,
    help="Lines to read, or one JSON object a line.",
)


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --log-level and --log-format of a command that runs on."""
    levels = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"])
    level = click.option("--log-level", default="INFO", show_default=True, type=levels)
    decorated: Callable[..., Any] = level(log_format_option(command))
    return decorated


def configure(level: str, form: str = "text") -> None:
    """Log to stderr, one line an event; libraries speak up only when something is wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
    if level != "DEBUG":
        # Celery writes two lines for every task it runs.
        for name in ("alembic", "celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(name).setLevel(logging.WARNING)


class Redactor:
    """Takes the passwords and keys of this process's settings out of a text, and what looks like one."""

    def __init__(self) -> None:
        self._secrets = sorted(_secrets(), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = _URL_PASSWORD.sub(rf"\1:{HIDDEN}", text)
        return _AUTHORIZATION.sub(rf"\1 {HIDDEN}", text)


def _secrets() -> set[str]:
    options = settings()
    entries = (*options.generators.values(), *options.verifiers.values())
    found = {os.environ.get(entry.api_key_env, "") for entry in entries if entry.api_key_env}
    for name in LOGIN_VARIABLES:
        found.add(os.environ.get(name, "").partition(":")[2])
    for url in (options.broker, options.database):
        password = url.rpartition("@")[0].partition("://")[2].partition(":")[2]
        found |= {password, unquote(password)}
    return {secret for secret in found if len(secret) >= SHORTEST_SECRET}


def _harmless(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)


class TextFormatter(logging.Formatter):
    """One line for people, with what it is about at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s%(about)s")
        self._redact = Redactor()

    def format(self, record: logging.LogRecord) -> str:
        about = " ".join(f"{name} {number}" for name, number in current().items())
        record.about = f" [{about}]" if about else ""
        return self._redact(_harmless(super().format(record)))

    def formatMessage(self, record: logging.LogRecord) -> str:
        """A message stays on its line: what a dataset or a server says must not look like a record of ours."""
        record.message = "\\n".join(record.message.strip().splitlines())
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object: time (UTC), level, logger, message, job, query and attempt where there are any, and `error`, a
    traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._redact = Redactor()

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._redact(record.getMessage()),
            **current(),
        }
        if record.exc_info:
            said["error"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(said)
