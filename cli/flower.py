"""`tts-jobs flower`: the web page that shows workers and tasks, behind a password and read-only."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import click

from cli.logs import configure
from models.errors import UserError
from models.settings import settings

LOGIN_VARIABLE = "TTS_FLOWER_BASIC_AUTH"
COLUMNS = "name,args,state,received,started,runtime,worker,uuid"
KEPT_TASKS = 20_000
SAVE_MILLISECONDS = 60_000


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5555, show_default=True)
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 is everywhere.")
@click.option(
    "--persistent",
    "state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that keeps the tasks seen over restarts.  [default: flower/flower.db in TTS_HOME]",
)
def flower(port: int, address: str, state: Path | None) -> None:
    """Show the workers and their tasks in a browser, until SIGTERM.

    The login is `user:password` in TTS_FLOWER_BASIC_AUTH. Nothing can be changed from the page: use `tts-jobs`.

    \b
    Example:
      TTS_BROKER_URL=redis://localhost:6379/0 TTS_FLOWER_BASIC_AUTH=me:secret tts-jobs flower
    """
    options = settings()
    if not options.broker_is_shared:
        raise UserError(
            "TTS_BROKER_URL: Flower cannot watch the in-process broker of `tts-jobs run`; use `tts-jobs up`, or set redis://..."
        )
    login = _login()
    state = state or options.home / "flower" / "flower.db"
    try:
        state.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--persistent: {state.parent}: {error.strerror}; name a file you can write to") from None
    configure("INFO", os.environ.get("TTS_LOG_FORMAT", "text"))
    for talkative in ("alembic", "tornado.access"):
        logging.getLogger(talkative).setLevel(logging.ERROR)
    _serve(options.broker, login, address, port, state)


def _login() -> str:
    login = os.environ.get(LOGIN_VARIABLE, "")
    user, colon, password = login.partition(":")
    if not (user and colon and password):
        raise UserError(f"{LOGIN_VARIABLE}: Flower starts only behind a login; set it to USER:PASSWORD")
    return login


def _serve(broker_url: str, login: str, address: str, port: int, state: Path) -> None:
    from flower.app import Flower
    from flower.options import options
    from flower.urls import settings as pages

    from scheduler.doorbell import Doorbell
    from worker.app import make_app

    Doorbell(broker_url).check()
    # Flower's own command would also take FLOWER_* variables and run a flowerconfig.py of the working directory.
    chosen: dict[str, Any] = {
        "port": port,
        "address": address,
        "basic_auth": [login],
        "read_only": True,
        "persistent": True,
        "db": str(state),
        "state_save_interval": SAVE_MILLISECONDS,
        "max_tasks": KEPT_TASKS,
        "tasks_columns": COLUMNS,
    }
    for name, value in chosen.items():
        setattr(options, name, value)
    server = Flower(capp=make_app(broker_url), options=options, **pages)
    try:
        server.start_http_server()
    except OSError as error:
        raise UserError(f"--port: {address}:{port}: {error.strerror}; choose another port or address") from None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    logging.getLogger(__name__).info("Flower listens on http://%s:%d", address, port)
    try:
        server.start()
    except SystemExit:
        server.stop()


def _leave(*_: Any) -> None:
    raise SystemExit(0)
