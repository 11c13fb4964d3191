"""`tts-jobs worker`: one engine, served until SIGTERM."""

from __future__ import annotations

import os
import sys

import click

from cli.logs import configure
from models.database import open_database
from models.errors import UserError
from models.settings import settings


@click.command()
@click.option("--generator", "-g", default="smollm2", show_default=True, help="The model to serve.")
@click.option(
    "--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"])
)
def worker(generator: str, log_level: str) -> None:
    """Serve one model: one engine, one event loop, until SIGTERM; then drain and leave.

    \b
    Example:
      tts-jobs worker --generator qwen-1.5b
    """
    from models.catalogue import find_generator
    from scheduler.doorbell import Doorbell
    from strategies.protocols import TransientError
    from worker.app import serve
    from worker.runtime import Runtime

    options = settings()
    if not options.broker_is_shared:
        raise UserError(
            "TTS_BROKER_URL: memory:// cannot be shared with another process; set redis://..., or use `tts-jobs run`"
        )
    configure(log_level)
    database = open_database()
    model = find_generator(generator)
    Doorbell(options.broker).check()
    try:
        runtime = Runtime(database, model, options)
    except TransientError as error:
        click.echo(f"Error: {error} Start it, then this worker again.", err=True)
        sys.exit(os.EX_TEMPFAIL)
    sys.exit(serve(runtime, options.broker, log_level))
