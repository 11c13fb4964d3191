"""`tts-jobs scheduler`: plan and dispatch until SIGTERM."""

from __future__ import annotations

import signal

import click

from cli.logs import configure, log_options
from models.database import open_database
from models.errors import UserError
from models.settings import settings


@click.command()
@log_options
def scheduler(log_level: str, log_format: str) -> None:
    """Plan and dispatch the open jobs until SIGTERM. A second one stands by.

    \b
    Example:
      TTS_BROKER_URL=redis://localhost:6379/0 tts-jobs scheduler
    """
    from scheduler.service import Scheduler

    options = settings()
    if not options.broker_is_shared:
        raise UserError(
            "TTS_BROKER_URL: memory:// cannot be shared with another process; set redis://..., or use `tts-jobs run`"
        )
    configure(log_level, log_format)
    service = Scheduler(open_database(), options.broker, options.sweep_seconds, options.lease_seconds)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    service.run()
