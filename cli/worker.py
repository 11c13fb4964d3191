"""`tts-jobs worker`: one engine, served until SIGTERM."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from cli.exposition import Exposition
from cli.logs import configure, log_options
from models.database import open_database
from models.errors import UserError
from models.settings import settings

if TYPE_CHECKING:
    from worker.runtime import Runtime

log = logging.getLogger(__name__)


@click.command()
@click.option("--generator", "-g", default="smollm2", show_default=True, help="The model to serve.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve the engine's metrics for Prometheus; 0 is any free port.")  # fmt: skip
@click.option("--metrics-address", default="127.0.0.1", show_default=True, help="Where to; elsewhere than here it takes TTS_METRICS_BASIC_AUTH.")  # fmt: skip
@log_options
def worker(generator: str, metrics_port: int | None, metrics_address: str, log_level: str, log_format: str) -> None:
    """Serve one model: one engine, one event loop, until SIGTERM; then drain and leave.

    \b
    Example:
      tts-jobs worker --generator qwen-1.5b
      tts-jobs worker --generator qwen-1.5b --metrics-port 9465 --log-format json
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
    configure(log_level, log_format)
    database = open_database()
    model = find_generator(generator)
    Doorbell(options.broker).check()
    # Before the engine, which may take minutes: a port that is taken is told at once.
    exposition = None if metrics_port is None else _expose(metrics_address, metrics_port)
    try:
        runtime = Runtime(database, model, options)
    except TransientError as error:
        click.echo(f"Error: {error} Start it, then this worker again.", err=True)
        sys.exit(os.EX_TEMPFAIL)
    if exposition is not None:
        _tell(runtime)
    try:
        sys.exit(serve(runtime, options.broker, log_level, quiet=log_format == "json"))
    finally:
        if exposition is not None:
            exposition.close()


def _expose(address: str, port: int) -> Exposition:
    """What the library tells of the process itself: memory, processor time, open files."""
    from prometheus_client import REGISTRY

    exposition = Exposition(REGISTRY, address, port)
    log.info("metrics at http://%s:%d/metrics", address, exposition.port)
    return exposition


def _tell(runtime: Runtime) -> None:
    """And from now on what the engine does."""
    from prometheus_client import REGISTRY

    from worker.occupancy import OccupancyCollector

    REGISTRY.register(OccupancyCollector(runtime))
